"""Functions that go through products: sizes, what is above 0, logarithms, and powers that are not whole.

Enters: a function and the sum it is taken of. Leaves: the product of the function of each factor, where every factor
knows one side and has the sign that this needs: sqrt(x * y) is sqrt(x) * sqrt(y) where neither is below 0. None where
that is not so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

from attnc.algebra.atoms import Atoms
from attnc.algebra.divisors import settled
from attnc.algebra.exponentials import Sum, rational
from attnc.algebra.exponents import raised
from attnc.algebra.factor import factors
from attnc.algebra.known import Known
from attnc.algebra.polynomials import ONE, Polynomial, atom, number
from attnc.ir import build
from attnc.ir.nodes import Real, RealConst, Splat, Vec

HALF = RealConst(0.5)


@dataclass(frozen=True, slots=True)
class Product:
    """`exp(exponent) * number * factors`."""

    exponent: Polynomial
    number: Fraction
    factors: tuple[Polynomial, ...]


def through(fn: str, whole: Sum, atoms: Atoms, known: Known) -> Sum | None:
    """`abs`, `relu` or `log` of a product."""
    product = _as_product(whole, atoms)
    if product is None:
        return None
    if fn == "log":
        log = _logarithm(product, atoms, known)
        return None if log is None else rational(log + product.exponent)
    found = (_size if fn == "abs" else _positive_part)(product, atoms, known)
    return None if found is None else rational(found) * raised(product.exponent, atoms)


def root(whole: Sum, power: Real, exponent: Polynomial, atoms: Atoms, known: Known) -> Sum | None:
    """A product to a power that knows neither position; as a polynomial that is `exponent`."""
    product = _as_product(whole, atoms)
    found = None if product is None else _power(product, power, atoms, known)
    if product is None or found is None:
        return None
    return rational(found) * raised(product.exponent * exponent, atoms)


def _as_product(whole: Sum, atoms: Atoms) -> Product | None:
    if whole.one is None:
        return None
    exponent, coefficient = whole.one
    content, found = factors(settled(coefficient, atoms))
    return Product(exponent, content, tuple(_whole(part, power, atoms) for part, power in found))


def _whole(part: Polynomial, power: int, atoms: Atoms) -> Polynomial:
    """A factor to its power: a sum of one side as one atom, one of both as it is."""
    if part.monomial is not None:
        return atom(part.atoms[0], power)
    if not _is_of_pair(part, atoms):
        return atom(atoms.number_of(atoms.term(part)), power)
    return _times([part] * power)


def _times(parts: Iterable[Polynomial]) -> Polynomial:
    return reduce(lambda a, b: a * b, parts, ONE)


def _is_of_pair(part: Polynomial, atoms: Atoms) -> bool:
    return atoms.side_of(part) == "pair"


def _size(product: Product, atoms: Atoms, known: Known) -> Polynomial | None:
    whole = number(abs(product.number))
    for part in product.factors:
        if not known.is_at_least_0(atoms.term(part)):
            if _is_of_pair(part, atoms):
                return None
            part = atoms.of(_call("abs", atoms.term(part)))
        whole = whole * part
    return whole


def _positive_part(product: Product, atoms: Atoms, known: Known) -> Polynomial | None:
    whole, rest = ONE, number(product.number)
    for part in product.factors:
        if known.is_at_least_0(atoms.term(part)):
            whole = whole * part
        else:
            rest = rest * part
    if rest.constant is not None:
        return whole * number(max(rest.constant, Fraction(0)))
    return None if _is_of_pair(rest, atoms) else whole * atoms.of(_call("relu", atoms.term(rest)))


def _power(product: Product, power: Real, atoms: Atoms, known: Known) -> Polynomial | None:
    parts = list(product.factors)
    if any(_is_of_pair(part, atoms) for part in parts):
        return None
    if len(parts) == 1:
        return atoms.of(_raise(atoms.term(parts[0] * number(product.number)), power))
    if product.number <= 0 or not all(known.is_at_least_0(atoms.term(part)) for part in parts):
        return None
    if product.number != 1:
        parts.insert(0, number(product.number))
    return _times(atoms.of(_raise(atoms.term(part), power)) for part in parts)


def _logarithm(product: Product, atoms: Atoms, known: Known) -> Polynomial | None:
    parts = [*([number(product.number)] if product.number != 1 else []), *product.factors]
    whole = Polynomial()
    for part in parts:
        if _is_of_pair(part, atoms) or not known.is_positive(atoms.term(part)):
            return None
        whole = whole + atoms.of(_call("log", atoms.term(part)))
    return whole


def _call(fn: str, term: Real | Vec) -> Real | Vec:
    if isinstance(term, Vec):
        return build.vec_call(fn, term)  # type: ignore[arg-type]
    return build.call(fn, term)  # type: ignore[arg-type]


def _raise(term: Real | Vec, power: Real) -> Real | Vec:
    """A root stays one."""
    if power == HALF:
        return _call("sqrt", term)
    return build.vector("**", term, Splat(power)) if isinstance(term, Vec) else build.real("**", term, power)
