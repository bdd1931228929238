"""Sums over the features of a query and a key.

Enters: a `Sum` whose atoms are reals and vectors, feature by feature. Leaves: the sum over the features, whose atoms
are reals and `DotFactor`s: what does not know the feature stands outside, what knows one side alone is a real of it,
and the rest is the dot product of a vector of the query and one of the key, with the gate of each channel beside it.
"""

from __future__ import annotations

from collections.abc import Callable

from attnc.algebra.atoms import Atoms
from attnc.algebra.divisors import settled
from attnc.algebra.exponentials import Sum
from attnc.algebra.exponents import as_pair, take_apart
from attnc.algebra.polynomials import Monomial, Polynomial, Quotient, times
from attnc.algebra.separated import DotFactor, Refused
from attnc.ir import build
from attnc.ir.nodes import SumD

Width = Callable[[], Polynomial | None]


def sum_over_features(features: Sum, atoms: Atoms, width: Width) -> Sum:
    """The sum; `width` says how many there are, for what is the same for all of them."""
    whole = Sum()
    for exponent, coefficient in features.terms:
        parts = exponent.split(lambda monomial: any(atoms.is_vector(at) for at, _ in monomial))
        gate, plain = parts.get(True, Polynomial()), parts.get(False, Polynomial())
        for monomial, value in settled(coefficient, atoms).terms:
            vectors = tuple(each for each in monomial if atoms.is_vector(each[0]))
            scalars = tuple(each for each in monomial if each not in vectors)
            share = Polynomial(((scalars, value),))
            found = _sum(vectors, gate, atoms, width)
            whole = whole + Sum(((plain, Quotient(share * found)),))
    return whole


def _sum(vectors: Monomial, gate: Polynomial, atoms: Atoms, width: Width) -> Polynomial:
    """Of one product of vectors, times the exponential of the gate."""
    of_query, of_key = take_apart(gate, atoms)
    query, key = atoms.part(vectors, "query", "call"), atoms.part(vectors, "key")
    if not of_query.terms or not of_key.terms:  # one side's exponential is a vector of that side
        query, key = times(query, _exponential(of_query, atoms)), times(key, _exponential(of_key, atoms))
        of_query = of_key = Polynomial()
    if not of_query.terms and not (atoms.part(query, "query") and key):
        return _of_one_side(times(query, key), atoms, width)
    pair = as_pair(gate, atoms, atoms.vector) if of_query.terms else None
    return atoms.of(DotFactor(atoms.vector_monomial(query), atoms.vector_monomial(key), pair))


def _exponential(exponent: Polynomial, atoms: Atoms) -> Monomial:
    if not exponent.terms:
        return ()
    one = atoms.of(build.vec_call("exp", atoms.vector(exponent)))
    assert one.monomial is not None
    return one.monomial[0]


def _of_one_side(vectors: Monomial, atoms: Atoms, width: Width) -> Polynomial:
    """A real, which needs no products of features."""
    if vectors:
        return atoms.of(SumD(atoms.vector_monomial(vectors)))
    found = width()
    if found is None:
        raise Refused("sums a number over features, and nothing says how many there are")
    return found
