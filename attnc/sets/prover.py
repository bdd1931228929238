"""What is provable about integer terms.

Enters: assumptions (bounds of leaves, facts) and a term. Leaves: True where the term is proved not to be negative for
every value of its leaves that the assumptions allow. False only says that no proof was found: the prover is sound and
incomplete, and every caller must be right after a False.

One step takes the outermost atom whose coefficient has a known sign and puts a bound in its place; what is left has
one atom less, or simpler ones. A number is the end of every proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from math import gcd
from types import MappingProxyType

from attnc.errors import CompilerBug
from attnc.ir.nodes import Index, Int, OverTile, Size, TileEnd
from attnc.sets.folding import leaf, multiples, quotient
from attnc.sets.polynomial import (
    ONE,
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
from attnc.sets.predicate import (
    All,
    NonNegative,
    Opaque,
    Predicate,
    Some,
    conditions_of,
    negation,
    nonnegative,
)

# Of sizes: a key head is read by one query head or more.
OF_SIZES = (nonnegative(quotient(leaf(Size("H")), leaf(Size("HKV"))) - 1),)
BUDGET = 80_000
DEPTH = 24


@dataclass(frozen=True)
class Bounds:
    """Terms known to be at most (`low`) and at least (`high`) the bounded one."""

    low: tuple[Polynomial, ...] = ()
    high: tuple[Polynomial, ...] = ()


UNBOUNDED = Bounds()


@cache
def bounds_of_leaves() -> Mapping[Atom, Bounds]:
    """What the language says of its leaves: `0 <= i <= N - 1`, tiles lie inside, sizes are at least 1.

    Of a parameter it says nothing: a window may be 0 or negative, and a default is no promise. The order is that of
    elimination, positions before the sizes that bound them.
    """
    table: dict[Int, Bounds] = {}
    for axis, size in (("i", "N"), ("j", "M"), ("h", "H"), ("b", "B")):
        table[Index(axis)] = Bounds((ZERO,), (leaf(Size(size)) - 1,))  # type: ignore[arg-type]
    for axis, size in (("i", "N"), ("j", "M")):
        first, last = TileEnd(axis, "first"), TileEnd(axis, "last")  # type: ignore[arg-type]
        table[first] = Bounds((ZERO,), (leaf(last),))
        table[last] = Bounds((leaf(first),), (leaf(Size(size)) - 1,))  # type: ignore[arg-type]
    for size in ("N", "M", "H", "HKV", "B", "D", "DV"):
        table[Size(size)] = Bounds((ONE,))  # type: ignore[arg-type]
    return MappingProxyType({atom: bounds for term, bounds in table.items() if (atom := leaf(term).atom)})


class Budget:
    """The budget of an analysis: how much of terms, in characters of keys, it may still look at, and how deep it is.

    Past it nothing is proved. To look again costs as much as one character. What is spent here is spent of `whole` too,
    which several share.
    """

    def __init__(self, left: int = BUDGET, whole: Budget | None = None) -> None:
        self.left = left
        self.whole = whole
        self.depth = 0

    @property
    def is_spent(self) -> bool:
        return self.left <= 0 or (self.whole is not None and self.whole.is_spent)

    def spend(self, cost: int) -> bool:
        """False where that is too much."""
        self.left -= cost
        if self.whole is not None:
            self.whole.left -= cost
        return not self.is_spent


class Prover:
    """A prover of facts on integers. `in_order` has the sizes of the arrays that do not fall along their last axis."""

    def __init__(
        self,
        bounds: Mapping[Atom, Bounds] | None = None,
        facts: tuple[Predicate, ...] = OF_SIZES,
        budget: Budget | None = None,
        in_order: Mapping[str, tuple[Polynomial, ...]] | None = None,
    ) -> None:
        self.budget = budget or Budget()
        self.facts = facts
        self.in_order = in_order or {}
        self._bounds = dict(bounds_of_leaves() if bounds is None else bounds)
        self._known: dict[Polynomial, bool] = {}
        self._given: dict[Predicate, Prover] = {}

    # ---- what callers ask --------------------------------------------------------------------------

    def prove_nonnegative(self, a: Polynomial) -> bool:
        if a.constant is not None:
            return a.constant >= 0
        is_known = a in self._known
        if not self.budget.spend(1 if is_known else len(a.key)) or self.budget.depth >= DEPTH:
            return False
        if not is_known:
            self._known[a] = False  # a proof that rests on itself is none
            self.budget.depth += 1
            self._known[a] = self._follows_from_a_fact(a) or self._follows_from_bounds(a)
            self.budget.depth -= 1
        return self._known[a]

    def prove_at_most(self, a: Polynomial, b: Polynomial) -> bool:
        return self.prove_nonnegative(b - a)

    def prove_less(self, a: Polynomial, b: Polynomial) -> bool:
        return self.prove_nonnegative(b - a - 1)

    def sign(self, a: Polynomial) -> int:
        """1 where it is proved that `a >= 0`, -1 where `a <= 0`, 0 where neither is."""
        return 1 if self.prove_nonnegative(a) else -1 if self.prove_nonnegative(-a) else 0

    def prove(self, predicate: Predicate) -> bool:
        match predicate:
            case NonNegative(a):
                return self.prove_nonnegative(a)
            case All(items):
                return all(self.prove(item) for item in items)
            case Some(items):
                return predicate in self.facts or any(self.prove(item) for item in items)
            case Opaque():
                return predicate in self.facts
            case _:
                raise CompilerBug(f"no proof of {predicate!r}")

    def decide(self, predicate: Predicate) -> bool | None:
        """True or False where one of them is proved."""
        return True if self.prove(predicate) else False if self.prove(negation(predicate)) else None

    def given(self, fact: Predicate) -> Prover:
        """A prover that also assumes `fact`. It draws on the same budget."""
        if fact not in self._given:
            parts = conditions_of(fact)
            bounds = dict(self._bounds)
            for part in parts:
                for atom, new in _bounds_from(part.a) if isinstance(part, NonNegative) else ():
                    old = bounds.get(atom, UNBOUNDED)
                    bounds[atom] = Bounds(new.low + old.low, new.high + old.high)
            self._given[fact] = Prover(bounds, (*self.facts, *parts), self.budget, self.in_order)
        return self._given[fact]

    def afresh(self, budget: int = BUDGET) -> Prover:
        """The same with a budget of its own, out of the same whole."""
        return Prover(self._bounds, self.facts, Budget(budget, self.budget.whole), self.in_order)

    # ---- how it is found ---------------------------------------------------------------------------

    @cached_property
    def _order(self) -> Mapping[Atom, int]:
        """The order of elimination, of those that have bounds."""
        return {atom: at for at, atom in enumerate(self._bounds)}

    def _follows_from_a_fact(self, a: Polynomial) -> bool:
        least = self._least_offset.get(a.products)
        return least is not None and a.offset >= least

    @cached_property
    def _least_offset(self) -> dict[str, int]:
        """By their products, the number for which terms are not negative by some fact."""
        found: dict[str, int] = {}
        for fact in self.facts:
            if isinstance(fact, NonNegative):
                products, offset = fact.a.products, fact.a.offset
                found[products] = min(found.get(products, offset), offset)
        return found

    def _follows_from_bounds(self, a: Polynomial) -> bool:
        for atom in sorted(a.atoms, key=lambda atom: self._rank(atom, a)):
            factor, rest = a.split(atom)
            sign = self.sign(factor)
            if not sign:
                continue
            match atom:
                case Choice(condition, x, y):
                    cases = ((condition, x), (negation(condition), y))
                    return all(
                        self.given(case).prove_nonnegative(factor * value + rest)
                        for case, value in cases
                        if not self.prove(negation(case))
                    )
                case Extreme(kind, items):
                    if (kind == "min") == (sign > 0):
                        return all(self.prove_nonnegative(factor * item + rest) for item in items)
                    # A max is not below any of its items, nor below their mean: `max(x, -x) >= 0`.
                    mean = factor * sum(items, ZERO) + rest * len(items)
                    return any(self.prove_nonnegative(factor * item + rest) for item in items) or (
                        self.prove_nonnegative(mean)
                    )
                case Quotient(_, n):
                    if self.prove_nonnegative(n - 1):
                        return any(map(self.prove_nonnegative, self._below(atom, factor, rest, sign)))
                case Leaf() | Read() | Search():
                    bounds = self._bounds.get(atom, UNBOUNDED)
                    ends = (*(bounds.low if sign > 0 else bounds.high), *self._beside(atom, rest, sign))
                    return any(self.prove_nonnegative(factor * end + rest) for end in ends)
                case _:
                    raise CompilerBug(f"no bounds of the atom {type(atom).__name__}")
        return False

    def _rank(self, atom: Atom, a: Polynomial) -> tuple[int, int, Atom]:
        """The order of elimination: first what splits a proof into all of several, which loses nothing."""
        match atom:
            case Choice():
                return 0, 0, atom
            case Extreme(kind, _):
                number = a.split(atom)[0].constant
                return (0 if number and (kind == "min") == (number > 0) else 1), 0, atom
            case Quotient():
                return 2, 0, atom
            case _:
                return 3, self._order.get(atom, len(self._order)), atom

    def _below(self, atom: Quotient, factor: Polynomial, rest: Polynomial, sign: int) -> Iterator[Polynomial]:
        """Terms that are not above `factor * atom + rest`, where `n >= 1`."""
        a, n = atom.a, atom.n
        # n * (a // n) is one of a - n + 1 ... a.
        scale = n.constant // gcd(n.constant, factor.constant) if n.constant and factor.constant else 1
        times = multiples(factor * scale, n)
        if times * n == factor * scale:
            yield times * (a - n + 1 if sign > 0 else a) + rest * scale
        # a // n moves with a: compare it to the other quotients by n that stand here.
        for other in rest.atoms:
            if isinstance(other, Quotient) and other.n == n:
                ahead = (a - other.a) * sign
                for steps in (1, 0, -1):
                    if self.prove_nonnegative(ahead - n * steps):
                        yield factor * (polynomial(other) + steps * sign) + rest
                        break
        # 0 <= a // n <= a where 0 <= a.
        if self.prove_nonnegative(a):
            yield rest if sign > 0 else factor * a + rest

    # ---- arrays ------------------------------------------------------------------------------------

    def _beside(self, atom: Atom, rest: Polynomial, sign: int) -> Iterator[Polynomial]:
        """Terms that are at most (`sign` 1) or at least (-1) the atom.

        There are some of a read of a sorted array and a place in it, and of the greatest and the least over a tile.
        """
        match atom:
            case Leaf(OverTile(kind, axis, a)) if (kind == "max") == (sign > 0):
                yield leaf(OverTile("min" if kind == "max" else "max", axis, a))
            case Read(array, index) if array in self.in_order:
                for other in rest.atoms:
                    match other:
                        case Read(name, place) if name == array and place[:-1] == index[:-1]:
                            ahead = (index[-1] - place[-1]) * sign
                            inside = self._is_inside(array, index) and self._is_inside(array, place)
                            if inside and self.prove_nonnegative(ahead):
                                yield polynomial(other)
            case Search(array, index, value):
                for other in rest.atoms:
                    match other:
                        case Search(name, place, wanted) if name == array and place == index:
                            if self.prove_nonnegative((value - wanted) * sign):
                                yield polynomial(other)
                yield from self._around(array, index, value, sign)

    def _around(
        self, array: str, index: tuple[Polynomial, ...], value: Polynomial, sign: int
    ) -> Iterator[Polynomial]:
        """Bounds of a place: it is none before the first, and `array[x]` stands at `x` or before it."""
        for read in value.atoms:
            match read:
                case Read(name, (*row, last)) if name == array and tuple(row) == index:
                    above = (value - polynomial(read)).constant
                    if above is not None and self._is_inside(array, (*index, last)):
                        if sign < 0 and above <= 0:
                            yield last
                        if sign > 0 and above >= 1:
                            yield last + 1
        yield ZERO if sign > 0 else self.in_order[array][-1]

    def _is_inside(self, array: str, index: tuple[Polynomial, ...]) -> bool:
        """Is it proved that an index lies inside of an array? What is found elsewhere is in no order."""
        sizes = self.in_order[array]
        return all(
            self.prove_nonnegative(place) and self.prove_less(place, size)
            for place, size in zip(index, sizes, strict=True)
        )


def _bounds_from(fact: Polynomial) -> Iterator[tuple[Atom, Bounds]]:
    """`w - v >= 0` says `w >= v` and `v <= w`."""
    for atom in fact.atoms:
        factor, rest = fact.split(atom)
        if factor.constant == 1:
            yield atom, Bounds(low=(-rest,))
        elif factor.constant == -1:
            yield atom, Bounds(high=(rest,))
