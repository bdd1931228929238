"""Masks that repeat: what a tile sees of one period of positions.

Enters: a mask without a closed form as it stands, and the strip of the target where all that it shows lies. Leaves: the
strips of one period, whose ends speak of its number, and which periods a tile looks at; nothing where that does not
help.

`j // cols` says in which row of an image a key lies, and `j % cols` where in the row. With the row as a number of its
own, what is left is a mask like any other, of the keys from the row's first to its last: there `j % cols` is
`j - row * cols`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from attnc.analyze.facts import Periods
from attnc.analyze.places import Places
from attnc.analyze.strips import Strip, in_order
from attnc.ir.nodes import OverTile, Period, Rank
from attnc.ir.text import print_ir
from attnc.ir.walk import holds, walk
from attnc.sets.convert import to_int
from attnc.sets.divisions import find_divisions, flat, map_divisions, times_of
from attnc.sets.pieces import Pieces, Plane
from attnc.sets.polynomial import (
    ONE,
    ZERO,
    Extreme,
    Polynomial,
    Quotient,
    choice,
    extreme,
    items_of,
    polynomial,
    quotient,
)
from attnc.sets.predicate import All, Predicate, every, nonnegative
from attnc.sets.project import PERIOD, Bound, Tile, project_some
from attnc.sets.prover import Prover
from attnc.sets.solve import Limits, Solver

# Bounds that are longer than this, in characters, nobody would read: no tile is known to be full, or all are listed.
MOST_READ = 1000
# Who divides by more numbers than this looks at bits, not at rows.
MOST_TRIED = 3

NUMBER = polynomial(PERIOD)


@dataclass(frozen=True)
class Repeated:
    strips: list[Strip]
    periods: Periods

    @property
    def length(self) -> int:
        """How much there is to read, in characters."""
        ends = [end for strip in self.strips for end in (strip.lo, strip.hi, *(strip.full or ()))]
        terms = (self.periods.lo, self.periods.hi, *map(to_int, ends))
        return sum(len(print_ir(term)) for term in terms)


def find_periods(mask: Predicate, where: Strip, tile: Tile, plane: Plane) -> Repeated | None:
    """By the longest periods that give the mask a closed form."""
    mask = map_divisions(mask, lambda division: flat(division, plane.prover))
    for division in _divisions(mask, plane)[:MOST_TRIED]:
        numbered = map_divisions(mask, lambda other: _by_number(other, division, plane.prover))  # noqa: B023
        lo, hi = _numbers(numbered, where, division, tile, plane.afresh())
        inside = plane.afresh().given(_between(lo, hi))
        strips = _strips_of_one(numbered, division, tile, inside)
        terms = division.n, _shift(division, plane), lo, hi
        found = Repeated(strips, Periods(*map(to_int, terms)))
        if found.length > MOST_READ:
            found = replace(found, strips=[replace(strip, full=None) for strip in strips])
        if strips and found.length <= MOST_READ:
            return found
    return None


def _divisions(mask: Predicate, plane: Plane) -> list[Quotient]:
    """Every `(target + shift) // length` whose shift and length no position moves, the longest first."""

    def is_fixed(a: Polynomial) -> bool:
        return not a.leaves & {plane.target.key, plane.other.key}

    found = []
    for each in find_divisions(mask):
        factor, shift = each.a.split(plane.target)
        if factor == ONE and is_fixed(shift) and is_fixed(each.n) and plane.prover.prove_less(ZERO, each.n):
            found.append(each)
    return sorted(found, key=lambda one: (-sum(times_of(one.n, other.n) is not None for other in found), one))


def _numbers(
    numbered: Predicate, where: Strip, division: Quotient, tile: Tile, plane: Plane
) -> tuple[Polynomial, Polynomial]:
    """The numbers `[lo, hi)` of the periods to look at: those that every condition on a row and a period leaves.

    Numbers are solved for as positions are, from 0 on; where the first may be below, all that the strip reaches into.
    """
    first, last = (_number_at(end, division, plane) for end in (ZERO, plane.target_last))
    numbers = replace(plane, target=PERIOD, target_last=last)
    lows, highs = [first], [last]
    items = numbered.items if isinstance(numbered, All) and plane.prover.prove_nonnegative(first) else ()
    for condition in items:
        pieces = Solver(numbers, "over").solve(condition) if plane.target.key not in condition.leaves else ()
        if pieces:
            shadows = [project_some(piece, tile, numbers) for piece in pieces]
            lo = extreme("min", (choice(every(s.guards), s.lo, last + 1) for s in shadows))
            hi = extreme("max", (choice(every(s.guards), s.hi, first) for s in shadows))
            lows += items_of(lo, "max")
            highs += items_of(hi - 1, "min")
    if len(lows) == 1:
        lows.append(_number_at(where.lo, division, plane))
        highs.append(_number_at(where.hi - 1, division, plane))
    return plane.simplify(extreme("max", lows)), plane.simplify(extreme("min", highs)) + 1


def _number_at(position: Polynomial, division: Quotient, plane: Plane) -> Polynomial:
    """The number of the period that a position lies in; that of a greatest position is the greatest."""
    for atom in position.atoms:
        factor, rest = position.split(atom)
        if isinstance(atom, Extreme) and factor == ONE:
            return extreme(atom.kind, (_number_at(item + rest, division, plane) for item in atom.items))
    return quotient(position + _shift(division, plane), division.n)


def _between(lo: Polynomial, hi: Polynomial) -> Iterator[Predicate]:
    """`lo <= NUMBER < hi`, one fact for each item of a `max` or a `min`, as conditions on a tile come out.

    Of `n * q <= NUMBER` it follows that `q <= NUMBER // n`.
    """
    for low in items_of(lo, "max"):
        yield nonnegative(extreme("max", (NUMBER - item for item in items_of(low, "min"))))
        for n, q, rest in _multiples_of_quotients(low):
            yield nonnegative(quotient(NUMBER - rest, n) - q)
    for high in items_of(hi - 1, "min"):
        yield nonnegative(extreme("max", (item - NUMBER for item in items_of(high, "max"))))
        for n, q, rest in _multiples_of_quotients(high):
            yield nonnegative(q - quotient(NUMBER - rest + n - 1, n))


def _multiples_of_quotients(a: Polynomial) -> Iterator[tuple[Polynomial, Polynomial, Polynomial]]:
    """`n`, `q` and `r` of `n * q + r`, where `q` is a floor division by `n`."""
    for atom in a.atoms:
        factor, rest = a.split(atom)
        if isinstance(atom, Quotient) and factor == atom.n:
            yield factor, polynomial(atom), rest


def _shift(division: Quotient, plane: Plane) -> Polynomial:
    return division.a - polynomial(plane.target)


# ---- one period ------------------------------------------------------------------------------------


def _strips_of_one(numbered: Predicate, division: Quotient, tile: Tile, plane: Plane) -> list[Strip]:
    """What the tile sees of the period `NUMBER`; nothing where that has no closed form either."""
    place, limits = division.a - NUMBER * division.n, Limits()
    here = every((nonnegative(place), nonnegative(division.n - 1 - place), numbered))
    over = _ByTile(plane, "over", limits, tile=tile).solve(here)
    if limits.reached or not all(piece.exact for piece in over):
        return []
    under = _ByTile(plane.afresh(), "under", tile=tile).solve(here)
    plane = plane.afresh()
    places = Places(_shift_of_rows(numbered, division, plane), division.n, tile, plane)
    found = [places.strips(piece, under) for piece in over]
    ahead = [nonnegative(extreme("max", (two.lo, ZERO)) - one.lo) for one, *after in found for two in after]
    strips, notes = in_order([strip for each in found for strip in each], plane.given(ahead))
    is_found = not notes and not plane.prover.budget.is_spent
    return strips if is_found and all(strip.known and not _looks_around(strip) for strip in strips) else []


@dataclass(frozen=True, kw_only=True)
class _ByTile(Solver):
    """Asks conditions on a row and a period of the whole tile: does some row of it meet them, or every one?"""

    tile: Tile

    def _solve_inequality(self, a: Polynomial) -> Pieces:
        if self.plane.other.key not in a.leaves or self.plane.target.key in a.leaves:
            return super()._solve_inequality(a)
        end = Bound(self.plane, self.tile).end(a, "max" if self.side == "over" else "min")
        return self._unknown if end is None else super()._solve_inequality(end)


def _shift_of_rows(numbered: Predicate, division: Quotient, plane: Plane) -> Polynomial | None:
    """That of periods of rows which are as long as those of the target."""
    rows = replace(plane, target=plane.other, other=plane.target)
    shifts = (_shift(each, rows) for each in _divisions(numbered, rows) if each.n == division.n)
    return next(shifts, None)


def _looks_around(strip: Strip) -> bool:
    """Would every period look through the tile, or through an array?"""
    terms = [to_int(end) for end in (strip.lo, strip.hi, *(strip.full or ()))]
    parts = [part for term in terms for part in walk(term)]
    return any(isinstance(part, OverTile | Rank) and holds(part, Period) for part in parts)


def _by_number(other: Quotient, division: Quotient, prover: Prover) -> Polynomial:
    """`x // (n * k)` is `(x // n) // k` where both divide by what is positive: the number of the period, by `k`."""
    times = times_of(other.n, division.n)
    if other.a == division.a and times is not None and prover.prove_less(ZERO, other.n):
        return quotient(NUMBER, times)
    return polynomial(other)
