"""The intervals of a tile: what some row of it sees of each piece of a mask, and what all its rows do.

Enters: pieces, as `solve` finds them for one row, and a tile. Leaves: `TileInterval`s, one for each, in the order of
their starts; or one around all of them, and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from attnc.analyze.facts import Interval, Reason
from attnc.ir.nodes import OverTile
from attnc.sets.convert import to_int, to_polynomial
from attnc.sets.folding import choice, extreme, items_of
from attnc.sets.pieces import Piece, Plane
from attnc.sets.polynomial import ZERO, Atom, Choice, Leaf, Polynomial, Quotient, polynomial
from attnc.sets.predicate import ALWAYS, All, NonNegative, Predicate, Some, every, negation, nonnegative
from attnc.sets.project import Shadow, Tile, project_every, project_some

# More intervals than this cost a kernel more than the tiles they save.
MOST_INTERVALS = 6
# And one around more than this has ends that nobody would read.
MOST_AROUND = 12


@dataclass(frozen=True)
class TileInterval:
    """One interval over a tile: what is visited, `[lo, hi)`, and what of it is full.

    `guard` says where it is there at all; `known`, that both ends have a closed form; `searched`, that the steps were
    enough to look for full tiles.
    """

    lo: Polynomial
    hi: Polynomial
    full: tuple[Polynomial, Polynomial] | None
    exact: bool
    guard: Predicate = ALWAYS
    known: bool = True
    searched: bool = True

    @property
    def visited_interval(self) -> Interval:
        return Interval(to_int(self.lo), to_int(self.hi))

    @property
    def full_interval(self) -> Interval | None:
        return Interval(*map(to_int, self.full)) if self.full else None


def make_interval(piece: Piece, under: Sequence[Piece], tile: Tile, plane: Plane) -> TileInterval:
    """Full tiles are looked for with steps of their own: without them a kernel is slower, without the others lost."""
    shadow, beside = project_some(piece, tile, plane), plane.afresh()
    inner = piece if piece in under else next((part for part in under if beside.covers(piece, part)), None)
    core = inner and project_every(inner, tile, beside)
    full = _ends(core, beside) if core else None
    if full and beside.prover.prove_at_most(full[1], full[0]):
        full = None
    searched = not beside.prover.budget.is_spent
    return TileInterval(
        *_ends(shadow, plane), full, shadow.exact, every(shadow.guards), shadow.known, searched
    )


def _ends(shadow: Shadow, plane: Plane) -> tuple[Polynomial, Polynomial]:
    """An interval that a guard switches off ends at 0; it starts as ever, unless that may divide by 0."""
    guard = every(shadow.guards)
    lo = shadow.lo if _always_divides(shadow.lo, plane) else choice(guard, shadow.lo, ZERO)
    return lo, choice(guard, shadow.hi, ZERO)


def _always_divides(a: Polynomial, plane: Plane) -> bool:
    """Is there no call in which it divides by 0? What stands behind a condition is asked for where that holds."""
    for atom in a.atoms:
        match atom:
            case Choice(condition, one, two):
                branches = (condition, one), (negation(condition), two)
                inside = (_always_divides(branch, plane.given((fact,))) for fact, branch in branches)
                if not (_always_decides(condition, plane) and all(inside)):
                    return False
                continue
            case Quotient(_, n):
                if not plane.prover.prove_nonnegative(n - 1):
                    return False
            case Leaf(OverTile(_, _, term)):
                if not _always_divides(to_polynomial(term), plane):
                    return False
        if not all(_always_divides(part, plane) for part in atom.parts):
            return False
    return True


def _always_decides(condition: Predicate, plane: Plane) -> bool:
    """Does no part of a condition divide by 0, in no call? A mask that reads arrays divides by what is checked."""
    match condition:
        case NonNegative(a):
            return _always_divides(a, plane)
        case All(items) | Some(items):
            return all(_always_decides(item, plane) for item in items)
        case _:
            return True


def in_order(intervals: list[TileInterval], plane: Plane) -> tuple[list[TileInterval], list[Reason]]:
    """By their starts, for certain; one interval around all of them where that is not certain, or they are too many."""
    if len(intervals) > MOST_INTERVALS:
        why = f"{len(intervals)} intervals are more than a kernel should sweep"
        if len(intervals) > MOST_AROUND:
            return [TileInterval(ZERO, plane.target_last + 1, None, False)], [
                Reason(f"{why}, so every tile is visited")
            ]
        return [around(intervals)], [Reason(f"{why}, so one around all of them is visited")]
    first, rest, last = list[TileInterval](), list(intervals), list[TileInterval]()
    while rest:
        at, is_first = _outermost(rest, plane)
        if at is not None:
            first, last = ([*first, rest[at]], last) if is_first else (first, [rest[at], *last])
            del rest[at]
        elif len(rest) == 2:
            one, two = rest
            return [*first, *_in_order_at_run_time(one, two, plane), *last], []
        else:
            why = "it is not certain which interval starts first"
            return [around(intervals)], [Reason(f"{why}, so one around all of them is visited")]
    return first + last, []


def _outermost(intervals: Sequence[TileInterval], plane: Plane) -> tuple[int | None, bool]:
    """Where the one stands that starts before all others, or behind all of them, for certain; is it before them?"""
    for starts_first in (_starts_first, _starts_first_where_it_is):
        for is_first in (True, False):
            for at, one in enumerate(intervals):
                others = [two for two in intervals if two is not one]
                if all(starts_first(*((one, two) if is_first else (two, one)), plane) for two in others):
                    return at, is_first
    return None, True


def _in_order_at_run_time(
    one: TileInterval, two: TileInterval, plane: Plane
) -> tuple[TileInterval, TileInterval]:
    """Two intervals, of which the kernel finds out which starts first, where both are there."""
    ahead = two.lo - one.lo
    simpler = plane.given((one.guard, two.guard)).simplify(ahead)
    is_first = nonnegative(simpler)

    def choose(a: TileInterval, b: TileInterval) -> TileInterval:
        nothing = (ZERO, ZERO)
        (lo, hi), (low, high) = a.full or nothing, b.full or nothing
        full = (choice(is_first, lo, low), choice(is_first, hi, high)) if a.full or b.full else None
        lo = extreme("min" if a is one else "max", (one.lo, two.lo))
        if simpler != ahead:
            lo = choice(is_first, a.lo, b.lo)
        searched = one.searched and two.searched
        return TileInterval(
            lo, choice(is_first, a.hi, b.hi), full, one.exact and two.exact, searched=searched
        )

    return choose(one, two), choose(two, one)


def _starts_first(one: TileInterval, two: TileInterval, plane: Plane) -> bool:
    return plane.prover.prove_at_most(one.lo, extreme("max", (two.lo, ZERO)))


def _starts_first_where_it_is(one: TileInterval, two: TileInterval, plane: Plane) -> bool:
    """The same wherever both hold a position, which is where it matters."""
    one, two = _unguarded(one), _unguarded(two)
    prover, ahead = plane.given((one.guard, two.guard)).prover, two.lo - one.lo
    less = [ahead - rest for rest in (*_rests(one), *_rests(two))]
    return any(map(prover.prove_nonnegative, [ahead, *(gap for gap in less if _size(gap) < _size(ahead))]))


def _size(a: Polynomial) -> int:
    return sum(1 for product in a.terms if product)


def _unguarded(interval: TileInterval) -> TileInterval:
    """Its ends where its guard holds."""

    def decide(atom: Atom) -> Polynomial:
        match atom:
            case Choice(condition, a, _) if condition == interval.guard:
                return a
            case _:
                return polynomial(atom)

    return replace(interval, lo=interval.lo.map_atoms(decide), hi=interval.hi.map_atoms(decide))


def _rests(interval: TileInterval) -> Iterator[Polynomial]:
    """How many more it has, where it holds a position: none of them is negative then."""
    for low in items_of(interval.lo, "max"):
        for high in items_of(interval.hi, "min"):
            yield high - low - 1


def around(intervals: Sequence[TileInterval]) -> TileInterval:
    lo, hi = (
        extreme("min", (interval.lo for interval in intervals)),
        extreme("max", (interval.hi for interval in intervals)),
    )
    full = next((interval.full for interval in intervals if interval.full), None)
    return TileInterval(lo, hi, full, False, searched=all(interval.searched for interval in intervals))


def is_everything(interval: TileInterval, plane: Plane) -> bool:
    return plane.prover.prove_at_most(interval.lo, ZERO) and plane.prover.prove_at_most(
        plane.target_last + 1, interval.hi
    )
