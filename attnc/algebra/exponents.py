"""Exponents and angles: each is a sum of terms that know the query or the key, and never both.

Enters: a polynomial. Leaves: its part of the query and its part of the key, or a refusal. Whatever becomes an exponent,
of `exp`, of a power, a root or a quotient, or an angle, goes through `take_apart`, and once more where a sum becomes
terms; there is no other way to an exponential.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attnc.algebra import polynomials
from attnc.algebra.atoms import Atoms
from attnc.algebra.exponentials import Sum, rational
from attnc.algebra.polynomials import Polynomial, Quotient, atom, collect
from attnc.algebra.separated import DotFactor, Refused, at_key
from attnc.ir import build
from attnc.ir.nodes import Node, Real, Vec
from attnc.ir.words import say

T = TypeVar("T", bound=Node)


def take_apart(exponent: Polynomial, atoms: Atoms, word: str = "exponent") -> tuple[Polynomial, Polynomial]:
    """What is added by the query, with all that knows neither position, and by the key."""
    for monomial, value in exponent.terms:
        if atoms.side(monomial) == "pair":
            one = Polynomial(((monomial, value),))
            if atoms.holds_dot(one):
                raise Refused(f"has a dot product in its {word}")
            product = say(atoms.term(one))
            raise Refused(f"has {product}, which has the query and the key in one product, in its {word}")
    parts = exponent.split(lambda monomial: atoms.side(monomial) == "key")
    return parts.get(False, Polynomial()), parts.get(True, Polynomial())


def raised(exponent: Polynomial, atoms: Atoms) -> Sum:
    """The exponential of it."""
    take_apart(exponent, atoms)
    return Sum(((exponent, Quotient(polynomials.ONE)),))


def as_pair(exponent: Polynomial, atoms: Atoms, as_term: Callable[[Polynomial], T]) -> tuple[T, T]:
    """The query's part and what of the key's is subtracted: the same at the key's place, where it is a decay."""
    of_query, of_key = take_apart(exponent, atoms)
    first = as_term(of_query)
    if _at_key(of_query, atoms) == -of_key:
        second = at_key(first)
        assert second is not None
        return first, second  # type: ignore[return-value]
    return first, as_term(-of_key)


def _at_key(polynomial: Polynomial, atoms: Atoms) -> Polynomial | None:
    """What the query knows, at the key's place; None where nothing is there."""
    moved: list[Polynomial] = []
    for monomial, value in polynomial.terms:
        whole = Polynomial((((), value),))
        for at, power in monomial:
            term = atoms[at]
            there = None if isinstance(term, DotFactor) else at_key(term)
            if not isinstance(there, Real | Vec):
                return None
            whole = whole * atom(atoms.number_of(there), power)
        moved.append(whole)
    return collect(term for each in moved for term in each.terms)


def wave(fn: str, angle: Polynomial, atoms: Atoms) -> Sum:
    """A cosine or a sine by the angles of both sides: cos(x - y) = cos(x) * cos(y) + sin(x) * sin(y)."""
    of_query, of_key = take_apart(angle, atoms, "angle")
    is_difference = all(value < 0 for _, value in of_key.terms)
    cos_i, sin_i = _waves(of_query, atoms)
    cos_j, sin_j = _waves(-of_key if is_difference else of_key, atoms)
    sin_j = -sin_j if is_difference else sin_j
    if fn == "cos":
        return rational(cos_i * cos_j - sin_i * sin_j)
    return rational(sin_i * cos_j + cos_i * sin_j)


def _waves(angle: Polynomial, atoms: Atoms) -> tuple[Polynomial, Polynomial]:
    at = atoms.term(angle)
    if isinstance(at, Vec):
        return atoms.of(build.vec_call("cos", at)), atoms.of(build.vec_call("sin", at))
    return atoms.of(build.call("cos", at)), atoms.of(build.call("sin", at))
