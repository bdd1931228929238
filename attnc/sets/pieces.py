"""Unions of intervals whose ends are terms.

Enters: pieces of the plane of two positions, as `solve` finds them. Leaves: fewer and plainer ones that hold the same
pairs: bounds that others imply are dropped, empty and covered pieces too, and pieces that touch become one.

One position is the `target` (where are the intervals?), the other one is `other` (on what do they depend?). A piece is

    every guard  and  lows <= other <= highs  and  lows(other) <= target <= highs(other)

with ends that are included; guards depend on no position. `exact` says that no pair is in it without need, and
`followed` that none is because something was not understood: where a call divides by what is not positive, all pairs
are taken, as nobody means anything by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from attnc.sets.folding import choice, extreme, quotient
from attnc.sets.polynomial import (
    ONE,
    ZERO,
    Atom,
    Choice,
    Extreme,
    Kind,
    Leaf,
    Polynomial,
    Quotient,
    polynomial,
)
from attnc.sets.predicate import NonNegative, Predicate, every, negation, nonnegative
from attnc.sets.prover import Prover
from attnc.sets.substitute import substitute

# What may be spent on one attempt: most fail, and the rest of the analysis should not go without.
BUDGET_OF_A_CHOICE = 10_000


@dataclass(frozen=True)
class Stretch:
    """The positions from every one of `lows` to every one of `highs`; all positions where there are none."""

    lows: tuple[Polynomial, ...] = ()
    highs: tuple[Polynomial, ...] = ()

    def meet(self, more: Stretch) -> Stretch:
        return Stretch(_distinct(self.lows + more.lows), _distinct(self.highs + more.highs))


@dataclass(frozen=True)
class Piece:
    """A conjunct of a mask: pairs whose positions lie in two stretches, where the guards hold."""

    guards: tuple[Predicate, ...] = ()
    other: Stretch = Stretch()
    target: Stretch = Stretch()
    exact: bool = True
    followed: bool = True

    @property
    def conditions(self) -> int:
        """How many there are."""
        ends = self.other.lows + self.other.highs + self.target.lows + self.target.highs
        return len(self.guards) + len(ends)

    def meet(self, more: Piece) -> Piece:
        guards = tuple(dict.fromkeys(self.guards + more.guards))
        return self.among(more, guards, self.other.meet(more.other), self.target.meet(more.target))

    def among(self, more: Piece, guards: tuple[Predicate, ...], other: Stretch, target: Stretch) -> Piece:
        """A piece that is made of this one and another."""
        exact, followed = self.exact and more.exact, self.followed and more.followed
        return Piece(guards, other, target, exact, followed)


Pieces = tuple[Piece, ...]


@dataclass(frozen=True)
class Plane:
    """A target and another position, each with its last place, and what is provable there."""

    target: Leaf
    target_last: Polynomial
    other: Leaf
    other_last: Polynomial
    prover: Prover

    def given(self, facts: Iterable[Predicate]) -> Plane:
        fact = every(facts)
        return self if fact.truth else replace(self, prover=self.prover.given(fact))

    def afresh(self) -> Plane:
        """The plane, with all the steps of an analysis ahead of it."""
        return replace(self, prover=self.prover.afresh())

    def join(self, pieces: Pieces, more: Iterable[Piece]) -> Pieces:
        """All of their pairs, in few pieces; `pieces` are joined already."""
        if self.prover.budget.is_spent:
            return (*pieces, *more)
        for piece in more:
            tidy = self._tidy(piece)
            pieces = self._insert(pieces, tidy) if tidy else pieces
        return pieces

    def _insert(self, pieces: Pieces, new: Piece) -> Pieces:
        if any(self.covers(piece, new) for piece in pieces):
            return pieces
        kept = tuple(piece for piece in pieces if not self.covers(new, piece))
        for piece in kept:
            union = self._union(piece, new)
            tidy = self._tidy(union) if union else None
            if tidy:
                return self._insert(tuple(other for other in kept if other is not piece), tidy)
        return (*kept, new)

    def simplify(self, a: Polynomial) -> Polynomial:
        """The term without those items of a `min` or a `max` that are never the one; `-1 // n` is -1."""

        def change(atom: Atom) -> Polynomial:
            match atom:
                case Extreme(kind, items):
                    return extreme(kind, self._strongest(kind, map(self.simplify, items)))
                case Quotient(x, n) if x == -ONE and self.prover.prove_less(ZERO, n):
                    return x
                case Quotient(x, n):
                    return quotient(self.simplify(x), n)
                case Choice(condition, x, y):
                    then, otherwise = self.given((condition,)), self.given((negation(condition),))
                    return choice(condition, then.simplify(x), otherwise.simplify(y))
                case _:
                    return polynomial(atom)

        return a.map_atoms(change)

    def direction(self, a: Polynomial) -> int:
        """1 where `a` never falls as the other position grows, -1 where it never rises, 0 where neither is proved."""
        follows = nonnegative(self.other_last - polynomial(self.other) - 1)
        return self.given((follows,)).prover.sign(self.step(a) - a)

    def step(self, a: Polynomial) -> Polynomial:
        """The term at the next of the other positions."""
        return substitute(a, self.other, polynomial(self.other) + 1)

    # ---- one piece ---------------------------------------------------------------------------------

    def _tidy(self, piece: Piece) -> Piece | None:
        """None where it is proved that the piece is empty."""
        guards = self._tidy_guards(piece.guards)
        if guards is None:
            return None
        inside = self.given(guards)
        other = inside._tidy_stretch(piece.other, self.other_last)
        target = other and inside._on(other)._tidy_stretch(piece.target, self.target_last)
        return replace(piece, guards=guards, other=other, target=target) if other and target else None

    def _on(self, other: Stretch) -> Plane:
        """The plane where the other position lies in a stretch."""
        return self.given(self._gaps(other))

    def _gaps(self, other: Stretch) -> Iterator[Predicate]:
        """What says that the other position lies in a stretch."""
        at = polynomial(self.other)
        yield from (nonnegative(at - low) for low in other.lows)
        yield from (nonnegative(high - at) for high in other.highs)

    def _tidy_guards(self, guards: tuple[Predicate, ...]) -> tuple[Predicate, ...] | None:
        kept: list[Predicate] = []
        for guard in guards:
            known = self.prover.decide(guard)
            if known is False or any(self._contradict(guard, other) for other in kept):
                return None
            if known is None and not any(self._implies(other, guard) for other in kept):
                kept = [other for other in kept if not self._implies(guard, other)] + [guard]
        return tuple(kept)

    def _contradict(self, one: Predicate, two: Predicate) -> bool:
        if isinstance(one, NonNegative) and isinstance(two, NonNegative):
            return self.prover.prove_nonnegative(-one.a - two.a - 1)
        return one == negation(two)

    def _implies(self, one: Predicate, two: Predicate) -> bool:
        if isinstance(one, NonNegative) and isinstance(two, NonNegative):
            return self.prover.prove_at_most(one.a, two.a)
        return one == two

    def _tidy_stretch(self, stretch: Stretch, last: Polynomial) -> Stretch | None:
        at_most = self.prover.prove_at_most
        lows = [low for low in stretch.lows if not at_most(low, ZERO)]
        highs = [high for high in stretch.highs if not at_most(last, high)]
        if any(self.prover.prove_less(high, low) for low in [ZERO, *lows] for high in [last, *highs]):
            return None
        return Stretch(self._strongest("max", lows), self._strongest("min", highs))

    def _strongest(self, kind: Kind, items: Iterable[Polynomial]) -> tuple[Polynomial, ...]:
        """Those that may be the least or the greatest."""

        def beats(one: Polynomial, two: Polynomial) -> bool:
            return self.prover.prove_nonnegative(one - two if kind == "max" else two - one)

        kept: list[Polynomial] = []
        for item in items:
            if not any(beats(other, item) for other in kept):
                kept = [other for other in kept if not beats(item, other)] + [item]
        return tuple(kept)

    # ---- two pieces --------------------------------------------------------------------------------

    def covers(self, one: Piece, two: Piece) -> bool:
        """Is it proved that all of `two` lies in `one`?"""
        inside = self.given(two.guards)
        return (
            all(inside.prover.prove(guard) for guard in one.guards)
            and inside._covers_stretch(one.other, two.other)
            and inside._on(two.other)._covers_stretch(one.target, two.target)
        )

    def _covers_stretch(self, one: Stretch, two: Stretch) -> bool:
        at_most = self.prover.prove_at_most
        return all(any(at_most(low, other) for other in (*two.lows, ZERO)) for low in one.lows) and all(
            any(at_most(other, high) for other in two.highs) for high in one.highs
        )

    def _union(self, one: Piece, two: Piece) -> Piece | None:
        """Both as one piece, where that holds no other pair."""
        if set(one.guards) == set(two.guards):
            inside = self.given(one.guards)
            if _same(one.other, two.other):
                here = inside._on(one.other)
                target = here._union_of_stretches(one.target, two.target, self.target_last)
                return one.among(two, one.guards, one.other, target) if target else None
            if _same(one.target, two.target):
                other = inside._union_of_stretches(one.other, two.other, self.other_last)
                return one.among(two, one.guards, other, one.target) if other else None
            return inside._choice_by_place(one, two) or inside._choice_by_place(two, one)
        if _same(one.other, two.other):
            return self._choice_of(one, two) or self._choice_of(two, one)
        return None

    def _union_of_stretches(self, one: Stretch, two: Stretch, last: Polynomial) -> Stretch | None:
        if _same_items(one.highs, two.highs) and (low := _weaker(one.lows, two.lows, "min")):
            return Stretch(low, one.highs)
        if _same_items(one.lows, two.lows) and (high := _weaker(one.highs, two.highs, "max")):
            return Stretch(one.lows, high)
        for left, right in ((one, two), (two, one)):
            start, end = self._ends(left, last)
            next_start, next_end = self._ends(right, last)
            at_most = self.prover.prove_at_most
            touches, ends_last = at_most(next_start, end + 1), at_most(end, next_end)
            if touches and at_most(start, next_start):
                return Stretch(left.lows, right.highs if ends_last else (extreme("max", (end, next_end)),))
            if touches and ends_last:
                return Stretch((extreme("min", (start, next_start)),), right.highs)
        return None

    def _ends(self, stretch: Stretch, last: Polynomial) -> tuple[Polynomial, Polynomial]:
        return extreme("max", stretch.lows or (ZERO,)), extreme("min", stretch.highs or (last,))

    def _choice_of(self, one: Piece, two: Piece) -> Piece | None:
        """One piece whose ends depend on the guard of `one`: where it holds, `one` is all there is."""
        guard = every(guard for guard in one.guards if guard not in two.guards)
        rest = [other for other in two.guards if other not in one.guards]
        implied = [other for other in rest if other != negation(guard)]
        if guard.truth or not all(self._implies(guard, other) for other in implied):
            return None
        if negation(guard) not in rest and (rest or not self.covers(one, replace(two, guards=one.guards))):
            return None
        shared = (*(other for other in one.guards if other in two.guards), *implied)
        start, end = self._ends(one.target, self.target_last)
        next_start, next_end = self._ends(two.target, self.target_last)
        target = Stretch((choice(guard, start, next_start),), (choice(guard, end, next_end),))
        return one.among(two, shared, one.other, target)

    def _choice_by_place(self, one: Piece, two: Piece) -> Piece | None:
        """One piece whose ends depend on where the other position lies: where `one` is, it holds every target.

        Only where each end moves one way as the position grows, which it has to show without a look into an array:
        over a tile, an end that moves both ways is all or nothing.
        """
        plane = replace(self, prover=self.prover.afresh(BUDGET_OF_A_CHOICE))
        before = (atom for end in two.target.lows + two.target.highs for atom in end.atoms)
        if one.target != Stretch() or any(atom.reads and self.other.key in atom.leaves for atom in before):
            return None
        other = plane._union_of_stretches(one.other, two.other, self.other_last)
        if not other:
            return None
        there = every(self._gaps(one.other))
        elsewhere = plane._on(other).given((negation(there),))

        def unless_there(end: Polynomial, kind: Kind, whole: Polynomial) -> Polynomial:
            return choice(there, whole, elsewhere.simplify(extreme(kind, (end, whole))))

        lows = tuple(unless_there(low, "max", ZERO) for low in two.target.lows)
        highs = tuple(unless_there(high, "min", self.target_last) for high in two.target.highs)
        if not all(map(plane.direction, lows + highs)):
            return None
        return one.among(two, one.guards, other, Stretch(lows, highs))


def _weaker(one: tuple[Polynomial, ...], two: tuple[Polynomial, ...], kind: Kind) -> tuple[Polynomial, ...]:
    """Two lists of bounds that differ in one of each as one list; empty where they do not."""
    mine = [item for item in one if item not in two]
    theirs = [item for item in two if item not in one]
    if len(mine) != 1 or len(theirs) != 1:
        return ()
    either = extreme(kind, (*mine, *theirs))
    return tuple(either if item == mine[0] else item for item in one)


def _distinct(items: tuple[Polynomial, ...]) -> tuple[Polynomial, ...]:
    return tuple(dict.fromkeys(items))


def _same_items(one: tuple[Polynomial, ...], two: tuple[Polynomial, ...]) -> bool:
    return set(one) == set(two)


def _same(one: Stretch, two: Stretch) -> bool:
    return _same_items(one.lows, two.lows) and _same_items(one.highs, two.highs)
