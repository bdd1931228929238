"""Integer terms in canonical form.

Enters: numbers and atoms. Leaves: `Polynomial`s with integer coefficients over them. An atom is a leaf (an index, a
size, a parameter, the end of a tile), or an operation that no polynomial can say: floor division, min and max, a
choice, a read of an array, a place in a sorted one. `folding.py` makes these of terms.

Two terms are equal where their keys are. A key is the whole structure as text: it depends neither on the order in
which terms were made nor on a table that outlives a compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from attnc.ir.nodes import Coordinate, Index, Int, IntParam, OverTile, Period, Size, TileEnd
from attnc.ir.walk import axes_of
from attnc.sets.structural import Structural

if TYPE_CHECKING:
    from attnc.sets.predicate import Predicate

Kind = Literal["min", "max"]
KEY = attrgetter("key")


# ---- polynomials -----------------------------------------------------------------------------------


class Polynomial(Structural):
    """A sum of products of atoms. `terms` maps each product, its atoms in order, to a coefficient that is not 0.

    It is made of a dictionary that nobody changes later.
    """

    def __init__(self, terms: dict[tuple[Atom, ...], int]) -> None:
        has_zeros = 0 in terms.values()
        self.terms = {product: count for product, count in terms.items() if count} if has_zeros else terms

    @cached_property
    def key(self) -> str:
        if not self.terms or self.offset:
            return f"{self.offset}+{self.products}" if self.products else str(self.offset)
        return self.products

    @cached_property
    def products(self) -> str:
        """The key of its terms without the number: terms that differ by a number have the same."""
        parts = sorted(
            [("*".join(map(KEY, product)), count) for product, count in self.terms.items() if product]
        )
        return "+".join([f"{count}*{product}" for product, count in parts])

    @cached_property
    def leaves(self) -> frozenset[str]:
        return frozenset[str]().union(*(atom.leaves for atom in self.atoms))

    @cached_property
    def atoms(self) -> tuple[Atom, ...]:
        return tuple(sorted({atom for product in self.terms for atom in product}))

    @cached_property
    def constant(self) -> int | None:
        """Its value, where it is a number."""
        return None if any(self.terms) else self.terms.get((), 0)

    @cached_property
    def offset(self) -> int:
        """The number among its terms."""
        return self.terms.get((), 0)

    @cached_property
    def atom(self) -> Atom | None:
        """The atom that it is, where it is one."""
        if len(self.terms) != 1:
            return None
        ((product, count),) = self.terms.items()
        return product[0] if count == 1 and len(product) == 1 else None

    def __add__(self, other: Polynomial | int) -> Polynomial:
        return self._plus(other, 1)

    def __sub__(self, other: Polynomial | int) -> Polynomial:
        return self._plus(other, -1)

    def _plus(self, other: Polynomial | int, times: int) -> Polynomial:
        others = other.terms if isinstance(other, Polynomial) else {(): other} if other else {}
        if not others:
            return self
        terms = dict(self.terms)
        for product, count in others.items():
            terms[product] = terms.get(product, 0) + count * times
        return Polynomial(terms)

    def __neg__(self) -> Polynomial:
        return self * -1

    def __mul__(self, other: Polynomial | int) -> Polynomial:
        number = other if isinstance(other, int) else other.constant
        if number is not None:
            return self if number == 1 else Polynomial({p: count * number for p, count in self.terms.items()})
        terms: dict[tuple[Atom, ...], int] = {}
        for a, x in self.terms.items():
            for b, y in polynomial(other).terms.items():
                product = tuple(sorted(a + b)) if a and b else a or b
                terms[product] = terms.get(product, 0) + x * y
        return Polynomial(terms)

    def split(self, atom: Atom) -> tuple[Polynomial, Polynomial]:
        """`(c, r)` with `self == c * atom + r` and no `atom` in `r`; it stands in `c` where the term is not linear."""
        factor: dict[tuple[Atom, ...], int] = {}
        rest: dict[tuple[Atom, ...], int] = {}
        for product, count in self.terms.items():
            if atom in product:
                at = product.index(atom)
                factor[product[:at] + product[at + 1 :]] = count
            else:
                rest[product] = count
        return Polynomial(factor), Polynomial(rest)

    def map_atoms(self, change: Callable[[Atom], Polynomial]) -> Polynomial:
        whole = ZERO
        for product, count in self.terms.items():
            term = polynomial(count)
            for atom in product:
                term = term * change(atom)
            whole = whole + term
        return whole


def polynomial(value: Polynomial | Atom | int) -> Polynomial:
    match value:
        case Polynomial():
            return value
        case Atom():
            return Polynomial({(value,): 1})
        case _:
            return Polynomial({(): value})


# ---- atoms -----------------------------------------------------------------------------------------


class Atom(Structural):
    """An atom of polynomials: what they are polynomials in."""

    @property
    def parts(self) -> tuple[Polynomial, ...]:
        """The terms that it is made of."""
        return ()

    @cached_property
    def leaves(self) -> frozenset[str]:
        return frozenset[str]().union(*(part.leaves for part in self.parts))

    @property
    def reads(self) -> bool:
        """Does it read an array, or look into one?"""
        return any(atom.reads for part in self.parts for atom in part.atoms)


@dataclass(frozen=True, eq=False, repr=False)
class Leaf(Atom):
    """An index, a size, a parameter, the end of a tile; or a term the sets know nothing about, as `floor(x)`."""

    term: Int

    @cached_property
    def key(self) -> str:
        match self.term:
            case Index(axis):
                return axis
            case Size(name):
                return name
            case TileEnd(axis, end):
                return f"{axis}.{end}"
            case Period(end):
                return f"period.{end}"
            case Coordinate(axis, name):
                return f"{axis}:{name}"
            case IntParam(name):
                return f"${name}"
            case _:
                return f"<{self.term!r}>"

    @cached_property
    def leaves(self) -> frozenset[str]:
        bound = {self.term.axis} if isinstance(self.term, OverTile) else set[str]()
        return frozenset({self.key, *axes_of(self.term)} - bound)


@dataclass(frozen=True, eq=False, repr=False)
class Quotient(Atom):
    """`a // n`, rounded down."""

    a: Polynomial
    n: Polynomial

    @cached_property
    def key(self) -> str:
        return f"({self.a.key})//({self.n.key})"

    @property
    def parts(self) -> tuple[Polynomial, ...]:
        return self.a, self.n


@dataclass(frozen=True, eq=False, repr=False)
class Extreme(Atom):
    """The least or the greatest of several terms."""

    kind: Kind
    items: tuple[Polynomial, ...]

    @cached_property
    def key(self) -> str:
        return f"{self.kind}({','.join(item.key for item in self.items)})"

    @property
    def parts(self) -> tuple[Polynomial, ...]:
        return self.items


@dataclass(frozen=True, eq=False, repr=False)
class Choice(Atom):
    """`a` where `condition` holds, else `b`."""

    condition: Predicate
    a: Polynomial
    b: Polynomial

    @cached_property
    def key(self) -> str:
        return f"({self.a.key}?{self.condition.key}:{self.b.key})"

    @property
    def parts(self) -> tuple[Polynomial, ...]:
        return self.a, self.b

    @cached_property
    def leaves(self) -> frozenset[str]:
        return self.condition.leaves | self.a.leaves | self.b.leaves


@dataclass(frozen=True, eq=False, repr=False)
class Read(Atom):
    """`array[index]`, of an int array."""

    array: str
    index: tuple[Polynomial, ...]

    @cached_property
    def key(self) -> str:
        return f"{self.array}[{','.join(item.key for item in self.index)}]"

    @property
    def parts(self) -> tuple[Polynomial, ...]:
        return self.index

    @property
    def reads(self) -> bool:
        return True


@dataclass(frozen=True, eq=False, repr=False)
class Search(Atom):
    """How many entries of `array[index, :]`, which is in order, are below `value`."""

    array: str
    index: tuple[Polynomial, ...]
    value: Polynomial

    @cached_property
    def key(self) -> str:
        return f"rank({self.array}[{','.join(item.key for item in self.index)}],{self.value.key})"

    @property
    def parts(self) -> tuple[Polynomial, ...]:
        return (*self.index, self.value)

    @property
    def reads(self) -> bool:
        return True


ZERO = polynomial(0)
ONE = polynomial(1)
