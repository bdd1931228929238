"""Polynomials over atoms, with exact coefficients; a power may be negative.

Enters: numbers, and atoms by number. Leaves: `Polynomial`s in canonical form: two are the same function of the atoms
where they are equal. What becomes larger than anybody writes is refused, so that the same term takes the same steps on
any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from attnc.algebra.separated import Refused

# An atom and its power, which is not 0, for every atom; in the order of atoms.
Monomial = tuple[tuple[int, int], ...]

T = TypeVar("T")

MOST_TERMS = 64
MOST_DEGREE = 8


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A sum of monomials, in order, each with a coefficient that is not 0."""

    terms: tuple[tuple[Monomial, Fraction], ...] = ()

    @property
    def constant(self) -> Fraction | None:
        """Its value, where it is a number."""
        if not self.terms:
            return Fraction(0)
        (first, value), *more = self.terms
        return None if more or first else value

    @property
    def monomial(self) -> tuple[Monomial, Fraction] | None:
        """The one that it is, where it is one."""
        return self.terms[0] if len(self.terms) == 1 else None

    @property
    def atoms(self) -> tuple[int, ...]:
        return tuple(sorted({atom for monomial, _ in self.terms for atom, _ in monomial}))

    def __add__(self, other: Polynomial) -> Polynomial:
        return collect((*self.terms, *other.terms))

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self + -other

    def __neg__(self) -> Polynomial:
        return Polynomial(tuple((monomial, -value) for monomial, value in self.terms))

    def __mul__(self, other: Polynomial) -> Polynomial:
        return collect((times(a, b), x * y) for a, x in self.terms for b, y in other.terms)

    def split(self, key: Callable[[Monomial], T]) -> dict[T, Polynomial]:
        """Its terms by what `key` says of them, in order."""
        parts: dict[T, list[tuple[Monomial, Fraction]]] = {}
        for monomial, value in self.terms:
            parts.setdefault(key(monomial), []).append((monomial, value))
        return {each: Polynomial(tuple(terms)) for each, terms in parts.items()}


def collect(terms: Iterable[tuple[Monomial, Fraction]]) -> Polynomial:
    """The sum of these."""
    found: dict[Monomial, Fraction] = {}
    for monomial, value in terms:
        found[monomial] = found.get(monomial, Fraction(0)) + value
    kept = sorted((monomial, value) for monomial, value in found.items() if value)
    if len(kept) > MOST_TERMS:
        raise Refused(f"has more than {MOST_TERMS} products, multiplied out")
    return Polynomial(tuple(kept))


def times(a: Monomial, b: Monomial) -> Monomial:
    """The product of two."""
    powers = dict(a)
    for atom, power in b:
        powers[atom] = powers.get(atom, 0) + power
    return to_monomial(powers)


def to_monomial(powers: Mapping[int, int]) -> Monomial:
    if any(abs(power) > MOST_DEGREE for power in powers.values()):
        raise Refused(f"has a power above {MOST_DEGREE}")
    return tuple(sorted((atom, power) for atom, power in powers.items() if power))


def inverse(monomial: Monomial) -> Monomial:
    return tuple((atom, -power) for atom, power in monomial)


def number(value: Fraction | int) -> Polynomial:
    return Polynomial((((), Fraction(value)),) if value else ())


def atom(number: int, power: int = 1) -> Polynomial:
    return Polynomial(((to_monomial({number: power}), Fraction(1)),))


ZERO, ONE = number(0), number(1)


@dataclass(frozen=True, slots=True)
class Quotient:
    """`above / below`; what divides is multiplied out only where something else cannot."""

    above: Polynomial
    below: Polynomial = ONE

    def __add__(self, other: Quotient) -> Quotient:
        if self.below == other.below:
            return Quotient(self.above + other.above, self.below)
        return Quotient(self.above * other.below + other.above * self.below, self.below * other.below)

    def __mul__(self, other: Quotient) -> Quotient:
        return Quotient(self.above * other.above, self.below * other.below)

    @property
    def inverse(self) -> Quotient:
        """Monomials have one of their own."""
        one = self.above.monomial
        if one is None:
            return Quotient(self.below, self.above)
        return Quotient(self.below * Polynomial(((inverse(one[0]), 1 / one[1]),)))
