"""The terms that polynomials are made of, by number, and polynomials as terms again.

Enters: terms that know the query or the key, or neither, and dot products of both. Leaves: a number for each, in the
order in which they came, and what it knows. A polynomial goes back as a person would write it: `2.0 * x ** 2.0 - y`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from attnc.algebra.polynomials import ONE, Monomial, Polynomial, atom, number
from attnc.algebra.products import quotient
from attnc.algebra.separated import DotFactor, Refused
from attnc.errors import CompilerBug
from attnc.ir import build
from attnc.ir.nodes import Node, Real, RealConst, Splat, Vec
from attnc.ir.walk import axes_of

Side = Literal["call", "query", "key", "pair"]


def side_of(term: Node) -> Side:
    """Which positions a term knows: of the `call`, neither."""
    axes = axes_of(term)
    if {"i", "j"} <= axes:
        return "pair"
    return "query" if "i" in axes else "key" if "j" in axes else "call"


class Atoms:
    """The table of the atoms that were met. A `DotFactor` is of the pair; whatever else is, was refused before."""

    def __init__(self) -> None:
        self._values: list[Real | Vec | DotFactor] = []
        self._sides: list[Side] = []
        self._numbers: dict[Real | Vec | DotFactor, int] = {}

    def of(self, value: Real | Vec | DotFactor) -> Polynomial:
        """The value as an atom."""
        return atom(self.number_of(value))

    def number_of(self, value: Real | Vec | DotFactor) -> int:
        if value not in self._numbers:
            side: Side = "pair" if isinstance(value, DotFactor) else side_of(value)
            if side == "pair" and not isinstance(value, DotFactor):
                raise CompilerBug(f"a term of a pair is no atom: {value}")
            self._numbers[value] = len(self._values)
            self._values.append(value)
            self._sides.append(side)
        return self._numbers[value]

    def __getitem__(self, number: int) -> Real | Vec | DotFactor:
        return self._values[number]

    def is_vector(self, number: int) -> bool:
        return isinstance(self._values[number], Vec)

    def holds_vector(self, *polynomials: Polynomial) -> bool:
        return any(self.is_vector(number) for each in polynomials for number in each.atoms)

    def side(self, monomial: Monomial) -> Side:
        """What a product knows."""
        sides = {self._sides[number] for number, _ in monomial} - {"call"}
        return "call" if not sides else "pair" if len(sides) > 1 else next(iter(sides))

    def side_of(self, *polynomials: Polynomial) -> Side:
        """What a sum knows."""
        return self.side(tuple((number, 1) for each in polynomials for number in each.atoms))

    def holds_dot(self, polynomial: Polynomial) -> bool:
        return any(isinstance(self._values[number], DotFactor) for number in polynomial.atoms)

    def part(self, monomial: Monomial, *sides: Side) -> Monomial:
        """The factors of these sides."""
        return tuple((number, power) for number, power in monomial if self._sides[number] in sides)

    # ---- as terms ----------------------------------------------------------------------------------

    def term(self, polynomial: Polynomial) -> Real | Vec:
        """A vector, where a vector is in it."""
        return self.vector(polynomial) if self.holds_vector(polynomial) else self.real(polynomial)

    def real(self, polynomial: Polynomial) -> Real:
        return _sum(polynomial, [self._real_product(m, value) for m, value in _sizes(polynomial)])

    def vector(self, polynomial: Polynomial) -> Vec:
        """Feature by feature; a real stands for a vector of it."""
        return _vector_sum(polynomial, [self._vector_product(m, value) for m, value in _sizes(polynomial)])

    def monomial(self, monomial: Monomial) -> Real:
        return self._real_product(monomial, Fraction(1))

    def vector_monomial(self, monomial: Monomial) -> Vec:
        return self._vector_product(monomial, Fraction(1))

    def _in_reading_order(self, monomial: Monomial) -> list[tuple[int, int]]:
        """What knows neither position comes first; so it does at a query and at a key."""
        return sorted(monomial, key=lambda each: self._sides[each[0]] != "call")

    def _real_product(self, monomial: Monomial, value: Fraction) -> Real:
        above, below = _real_number(value)
        for at, power in self._in_reading_order(monomial):
            here = self._values[at]
            factor = here.term if isinstance(here, DotFactor) else here
            if isinstance(factor, Vec):
                raise CompilerBug(f"a vector in a real: {factor}")
            raised = build.real("**", factor, RealConst(float(abs(power))))
            (above if power > 0 else below).append(raised)
        return quotient(above, below)

    def _vector_product(self, monomial: Monomial, value: Fraction) -> Vec:
        reals = tuple((number, power) for number, power in monomial if not self.is_vector(number))
        whole: Vec = Splat(self._real_product(reals, value))
        for at, power in self._in_reading_order(monomial):
            factor = self._values[at]
            if isinstance(factor, Vec):
                raised = build.vector("**", factor, Splat(RealConst(float(abs(power)))))
                if power < 0:
                    whole = build.vector("/", whole, raised)
                elif whole == Splat(RealConst(1.0)):
                    whole = raised
                else:
                    whole = build.vector("*", whole, raised)
        return whole


def _sizes(polynomial: Polynomial) -> list[tuple[Monomial, Fraction]]:
    return [(monomial, abs(value)) for monomial, value in polynomial.terms]


def _signs(polynomial: Polynomial) -> tuple[int | None, list[bool]]:
    """The first that is added, and which are."""
    added = [value > 0 for _, value in polynomial.terms]
    return next((n for n, plus in enumerate(added) if plus), None), added


def _sum(polynomial: Polynomial, products: list[Real]) -> Real:
    lead, added = _signs(polynomial)
    whole: Real = RealConst(0.0) if lead is None else products[lead]
    for n, product in enumerate(products):
        if n != lead:
            whole = build.real("+" if added[n] else "-", whole, product)
    return whole


def _vector_sum(polynomial: Polynomial, products: list[Vec]) -> Vec:
    lead, added = _signs(polynomial)
    whole: Vec = Splat(RealConst(0.0)) if lead is None else products[lead]
    for n, product in enumerate(products):
        if n != lead:
            whole = build.vector("+" if added[n] else "-", whole, product)
    return whole


def _real_number(value: Fraction) -> tuple[list[Real], list[Real]]:
    """A number above and one below: a half is divided by two."""
    try:
        if value.numerator == 1 and value.denominator != 1:
            return [], [RealConst(float(value.denominator))]
        return ([] if value == 1 else [RealConst(float(value))]), []
    except OverflowError:
        raise Refused("has a number that no double holds") from None


def exact(value: float) -> Polynomial:
    """The decimal that was written."""
    return number(Fraction(repr(value))) if value != 1 else ONE
