"""How large an integer of a kernel is at most.

Enters: an integer term, and the attention that it is of. Leaves: a polynomial without a minus, in sizes and in the
magnitudes of parameters, which is at least the magnitude of the term at every position of every call. What is divided
and multiplied again is no larger than before, or by the divisor. What is read from an array is as wide as the array,
and counts nothing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import starmap

from attnc.ir.nodes import (
    Attention,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntIf,
    IntOp,
    IntParam,
    Node,
    OverTile,
    Period,
    Size,
    TileEnd,
)
from attnc.lower.proofs import Proofs
from attnc.sets.convert import to_polynomial
from attnc.sets.polynomial import (
    ZERO,
    Atom,
    Choice,
    Extreme,
    Leaf,
    Polynomial,
    Quotient,
    Read,
    Search,
    polynomial,
)

MANY = 2**12
LENGTHS = {"i": Size("N"), "j": Size("M"), "b": Size("B"), "h": Size("H")}

Product = tuple[Atom, ...]


@dataclass(frozen=True, eq=False)
class Magnitudes:
    """The magnitudes of the terms of one attention, where what the proofs rest on is true.

    `remainders` says which arrays are read as remainders, and by what. A period, where terms speak of one, has a number
    that is no larger than one of `numbers`.
    """

    attention: Attention
    proofs: Proofs
    remainders: Mapping[str, Int] = field(default_factory=dict)
    numbers: tuple[Int, ...] = ()
    # By identity, each with its term: an identity is only its own while the term lives.
    _known: dict[int, tuple[Int, Polynomial]] = field(default_factory=dict, init=False, repr=False)
    _wide: dict[int, tuple[Node, bool]] = field(default_factory=dict, init=False, repr=False)

    def of(self, term: Int) -> Polynomial:
        if id(term) not in self._known:
            is_remainder = isinstance(term, IntOp) and term.op == "%"
            found = self.of(term.b) if is_remainder else self._of(to_polynomial(term))  # type: ignore[attr-defined]
            self._known[id(term)] = term, found
        return self._known[id(term)][1]

    def is_wide(self, term: Node) -> bool:
        """Is it of 64 bits? A product in it may be beyond 32 in calls of usual lengths and numbers, or a number is."""
        if id(term) not in self._wide:
            self._wide[id(term)] = term, self._is_wide(term)
        return self._wide[id(term)][1]

    def _is_wide(self, term: Node) -> bool:
        match term:
            case IntConst(value):
                return not -(2**31) <= value < 2**31
            case IntOp("*", a, b) if any(starmap(_is_large, self.of(term).terms.items())):
                return True
            case IntOp(_, a, b) | IntIf(_, a, b):
                return self.is_wide(a) or self.is_wide(b)
            case IntAbs(a) | OverTile(_, _, a):
                return self.is_wide(a)
            case _:
                return False

    def _of(self, a: Polynomial) -> Polynomial:
        whole = ZERO
        for product, count in a.terms.items():
            whole = whole + self._of_product(product, abs(count))
        return whole

    def _of_product(self, product: Product, count: int) -> Polynomial:
        for atom, rest in _one_of(product):
            match atom:
                case Quotient(a, n) if n.constant:  # 8 * (a // 8) is a, or up to 8 less
                    times = -(-count // abs(n.constant))
                    return (self._of(a * _times(rest)) + self._of_product(rest, abs(n.constant))) * times
                case Quotient(a, n) if shared := _shared(
                    rest, n
                ):  # so is n * (a // n), and b * (a // (b * n))
                    left = _times(without(rest, shared))
                    return (self._of(a * left) + self._of_product(rest, 1)) * count
        for atom, rest in _one_of(product):
            others = self._instead(atom)
            if others is not None:
                return largest(self._of(other * _times(rest) * count) for other in others)
        whole = polynomial(count)
        for atom in product:
            whole = whole * self._of_leaf(atom)
        return whole

    def _instead(self, atom: Atom) -> tuple[Polynomial, ...] | None:
        """Terms of which one is as large as the atom."""
        match atom:
            case Extreme(_, items):
                return items
            case Choice(_, a, b):
                return a, b
            case Quotient(a, _):
                return (a,)
            case Leaf(Period()):
                return tuple(map(to_polynomial, self.numbers)) or None
            case Leaf(OverTile(_, _, a)):
                return (to_polynomial(a),)
            case Leaf(IntOp("+" | "-" | "*" as op, a, b)):  # of which the form is too long to work with
                x, y = self.of(a), self.of(b)
                return (x * y if op == "*" else x + y,)
            case Search(array, index):
                return (to_polynomial(self.attention.param(array).sizes[len(index)]),)
            case Read(array) if array in self.remainders:
                return (to_polynomial(self.remainders[array]),)
            case _:
                return None

    def _of_leaf(self, atom: Atom) -> Polynomial:
        match atom:
            case Leaf(Index(axis) | TileEnd(axis)):
                return to_polynomial(LENGTHS[axis])
            case Leaf(IntParam() as param) if not self.proofs.is_nonnegative(param):
                return polynomial(Leaf(IntAbs(param)))
            case Leaf(Size() | IntParam() | IntAbs()):
                return polynomial(atom)
            case _:
                return ZERO  # as wide as an array, or found through reals


def largest(found: Iterable[Polynomial]) -> Polynomial:
    """At least each of them."""
    terms: dict[Product, int] = {}
    for each in found:
        for product, count in each.terms.items():
            terms[product] = max(count, terms.get(product, 0))
    return Polynomial(terms)


def _is_large(product: Product, count: int) -> bool:
    """Two lengths, or one many times."""
    lengths = sum(atom in (Leaf(Size("N")), Leaf(Size("M"))) for atom in product)
    return lengths > 1 or (lengths == 1 and count >= MANY)


def without(product: Product, atoms: Product) -> Product:
    """The product divided by some of its atoms."""
    return tuple(sorted((Counter(product) - Counter(atoms)).elements()))


def _shared(product: Product, n: Polynomial) -> Product:
    """What stands in both."""
    if len(n.terms) > 1:
        return ()
    (other,) = n.terms
    return tuple((Counter(product) & Counter(other)).elements())


def _one_of(product: Product) -> Iterator[tuple[Atom, Product]]:
    """Each atom, and the product of the others."""
    for at, atom in enumerate(product):
        yield atom, (*product[:at], *product[at + 1 :])


def _times(product: Product) -> Polynomial:
    return Polynomial({product: 1})
