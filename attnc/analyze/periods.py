"""Masks that repeat: what a tile sees of one period of positions.

Enters: a mask without a closed form as it stands, and the pieces of the target where all that it shows lies. Leaves:
the intervals of one period, whose ends speak of its number, and which periods a tile looks at; nothing where that does
not help.

`j // cols` says in which row of an image a key lies, and `j % cols` where in the row. With the row as a number of its
own, what is left is a mask like any other, of the keys from the row's first to its last: there `j % cols` is
`j - row * cols`. Periods of distances, `(i - j) // d`, begin somewhere else for each query: what a tile sees of one is
then as much longer as the tile has more queries than one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from attnc.analyze.clauses import PLURAL
from attnc.analyze.facts import Periods, Reason
from attnc.analyze.places import Places
from attnc.analyze.repeats import NUMBER, Division, by_number, find_repeats
from attnc.analyze.suffix import Suffix, find_suffix
from attnc.analyze.tile_intervals import TileInterval, in_order
from attnc.ir.nodes import OverTile, Period, Rank
from attnc.ir.text import print_ir
from attnc.ir.walk import holds, walk
from attnc.sets.convert import to_int
from attnc.sets.divisions import flat, map_divisions
from attnc.sets.folding import choice, extreme, items_of, quotient
from attnc.sets.pieces import Piece, Pieces, Plane, Stretch
from attnc.sets.polynomial import ZERO, Choice, Polynomial, Quotient, polynomial
from attnc.sets.predicate import Predicate, conditions_of, every, negation, nonnegative
from attnc.sets.project import LAST_PERIOD, PERIOD, Bound, Tile, project_some
from attnc.sets.solve import Limits, Solver
from attnc.sets.substitute import substitute

# Bounds that are longer than this, in characters, nobody would read: no tile is known to be full, and where those of
# the tiles to visit are longer than the second, all are listed.
MOST_READ = 1050
MOST_READ_OF_VISITED = 1300
# Who divides by more numbers than this looks at bits, not at rows.
MOST_TRIED = 3


@dataclass(frozen=True)
class Repeated:
    """The intervals of one period, the periods, and what follows the last of them: the `suffix`."""

    intervals: list[TileInterval]
    periods: Periods
    suffix: TileInterval | None

    @property
    def all_intervals(self) -> list[TileInterval]:
        return [*self.intervals, *([self.suffix] if self.suffix else [])]

    @property
    def length(self) -> int:
        """How much there is to read of one period, in characters."""
        ends = [
            end for interval in self.intervals for end in (interval.lo, interval.hi, *(interval.full or ()))
        ]
        terms = (self.periods.lo, self.periods.hi, *map(to_int, ends))
        return sum(len(print_ir(term)) for term in terms)


def find_periods(
    mask: Predicate, where: Pieces, tile: Tile, plane: Plane
) -> tuple[Repeated | None, list[Reason]]:
    """By the longest periods that give the mask a closed form; and what was found that nobody would read.

    First for what is left of the mask before something that shows all up to the last position.
    """
    suffix = find_suffix(mask, tile, plane.afresh())
    if suffix:
        there = Solver(plane.afresh(), "over").solve(suffix.rest)
        found, notes = _find(suffix.rest, there, tile, plane, suffix)
        if found:
            return found, notes
    return _find(mask, where, tile, plane, None)


def _find(
    mask: Predicate, where: Pieces, tile: Tile, plane: Plane, suffix: Suffix | None
) -> tuple[Repeated | None, list[Reason]]:
    notes = list[Reason]()
    mask = map_divisions(mask, lambda division: flat(division, plane.prover))
    for division in find_repeats(mask, plane)[:MOST_TRIED]:
        if suffix and division.moves_with(plane.other):
            continue
        numbered = map_divisions(mask, lambda other: by_number(other, division, plane.prover))  # noqa: B023
        numbers = _numbers(numbered, where, division, tile, plane.afresh())
        if numbers is None:
            continue
        if suffix:
            numbers = numbers.before(suffix.interval.lo, division, plane.afresh())
        inside = plane.afresh().given(_between(numbers.lo, numbers.hi))
        intervals = _intervals_of_one(numbered, numbers.met, division, tile, inside)
        if not intervals:
            continue
        periods = Periods(*map(to_int, (division.n, division.start, numbers.lo, numbers.hi)))
        if suffix:
            found = Repeated(
                [suffix.cut(interval, inside.afresh()) for interval in intervals], periods, suffix.interval
            )
        else:
            found = Repeated(_taken_together(intervals, inside.afresh()), periods, None)
        if found.length <= MOST_READ:
            return found, []
        period = f"in every period of `{print_ir(to_int(division.n))}` {PLURAL[plane.target.key]}"
        visited = replace(found, intervals=[replace(interval, full=None) for interval in found.intervals])
        if visited.length <= MOST_READ_OF_VISITED:
            why = f"no tile is known to be full: {period} the bounds of those that are would be too long to read"
            return visited, [Reason(why)] if visited != found else []
        notes.append(Reason(f"the bounds {period} would be too long to read, so they are not taken"))
    return None, notes


@dataclass(frozen=True)
class _Numbers:
    """The numbers of the periods to look at: `[lo, hi)`. `met` are the conditions that these numbers alone say."""

    lo: Polynomial
    hi: Polynomial
    met: frozenset[Predicate]

    def before(self, position: Polynomial, division: Division, plane: Plane) -> _Numbers:
        """Those of them that begin before a position, if any position does."""
        match position.atom:
            case Choice(condition, a, b) if a == ZERO:
                begun = self.before(b, division, plane.given((negation(condition),)))
                return replace(self, hi=choice(condition, ZERO, begun.hi))
        end = plane.simplify(division.number_at(position - 1)) + 1
        return replace(self, hi=plane.simplify(extreme("min", (self.hi, end))))


def _numbers(
    numbered: Predicate, where: Pieces, division: Division, tile: Tile, plane: Plane
) -> _Numbers | None:
    """Of the periods that every condition on a row and a period leaves.

    Numbers are solved for as positions are, from 0 on; where the first may be below, all that the pieces reach into.
    None where the periods of a tile of rows have no first or last.
    """
    bound = Bound(plane, tile)
    first = bound.end(division.number_at(ZERO), "min")
    last = bound.end(division.number_at(plane.target_last), "max")
    if first is None or last is None:
        return None
    numbers = replace(plane, target=PERIOD, target_last=last)
    lows, highs, met = [first], [last], set[Predicate]()

    def look_at(pieces: Pieces) -> None:
        shadows = [project_some(piece, tile, numbers) for piece in pieces]
        lo = extreme("min", (choice(every(s.guards), s.lo, last + 1) for s in shadows))
        hi = extreme("max", (choice(every(s.guards), s.hi, first) for s in shadows))
        lows.extend(items_of(lo, "max"))
        highs.extend(items_of(hi - 1, "min"))

    for condition in conditions_of(numbered) if plane.prover.prove_nonnegative(first) else ():
        pieces = Solver(numbers, "over").solve(condition) if plane.target.key not in condition.leaves else ()
        if pieces:
            look_at(pieces)
        if len(pieces) == 1 and pieces[0].exact:
            met.add(condition)
    if len(lows) == 1:
        look_at(tuple(_in_numbers(piece, division, plane) for piece in where))
    lo, hi = plane.simplify(extreme("max", lows)), plane.simplify(extreme("min", highs)) + 1
    return _Numbers(lo, hi, frozenset(met))


def _in_numbers(piece: Piece, division: Division, plane: Plane) -> Piece:
    """The piece, with the numbers of its periods in place of its positions."""
    lows, highs = piece.target.lows or (ZERO,), piece.target.highs or (plane.target_last,)
    ends = (tuple(division.number_at(end) for end in each) for each in (lows, highs))
    return replace(piece, target=Stretch(*ends))


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


# ---- one period ------------------------------------------------------------------------------------


def _intervals_of_one(
    numbered: Predicate, met: frozenset[Predicate], division: Division, tile: Tile, plane: Plane
) -> list[TileInterval]:
    """What the tile sees of the period `NUMBER`; nothing where that has no closed form either.

    Conditions that the numbers of the periods meet are not asked again, but where every row has to meet them.
    """
    place, limits = division.place, Limits()
    inside = nonnegative(place), nonnegative(division.n - 1 - place)
    left = every(each for each in conditions_of(numbered) if each not in met)
    here = every((*inside, numbered))
    over = _ByTile(plane, "over", limits, tile=tile).solve(every((*inside, left)))
    if limits.reached or not all(piece.exact for piece in over):
        return []
    beneath, plane = plane.afresh(), plane.afresh()
    under = _ByTile(beneath, "under", tile=tile).solve(here)
    places = Places(_shift_of_rows(numbered, division, plane), division.n, tile, plane)
    found = [places.intervals(piece, under) for piece in over]
    ahead = [nonnegative(extreme("max", (two.lo, ZERO)) - one.lo) for one, *after in found for two in after]
    intervals, notes = in_order([interval for each in found for interval in each], plane.given(ahead))
    is_found = not notes and not plane.prover.budget.is_spent and _go_on(intervals, division, plane)
    is_found &= all(interval.known and not _looks_around(interval) for interval in intervals)
    if not is_found:
        return []
    searched = not beneath.prover.budget.is_spent
    intervals = [replace(interval, searched=interval.searched and searched) for interval in intervals]
    return [_cut_off(interval, division, plane) for interval in intervals]


def _cut_off(interval: TileInterval, division: Division, plane: Plane) -> TileInterval:
    """At the end of its period, where that is the same for every row.

    What a row sees lies in its period. What some row of a tile sees is found for each condition by itself, and may
    reach further. A tile after it would count as visited then, and an interval of the next period could lie in it.
    """
    end = division.start + division.n
    if division.moves_with(plane.other) or plane.prover.prove_at_most(interval.hi, end):
        return interval
    return replace(interval, hi=extreme("min", (*items_of(interval.hi, "min"), end)))


def _go_on(intervals: Sequence[TileInterval], division: Division, plane: Plane) -> bool:
    """Does no interval of a period start before one of the period before it?

    Intervals end in their periods (`_cut_off`), but where those begin elsewhere for each row: there, those of a tile of
    rows overlap.
    """
    if not division.moves_with(plane.other):
        return True
    nexts = [extreme("max", (substitute(interval.lo, PERIOD, NUMBER + 1), ZERO)) for interval in intervals]
    return all(plane.prover.prove_at_most(interval.lo, lo) for interval in intervals for lo in nexts)


@dataclass(frozen=True, kw_only=True)
class _ByTile(Solver):
    """Asks conditions on a row and a period of the whole tile: does some row of it meet them, or every one?"""

    tile: Tile

    def _solve_inequality(self, a: Polynomial) -> Pieces:
        if self.plane.other.key not in a.leaves or self.plane.target.key in a.leaves:
            return super()._solve_inequality(a)
        end = Bound(self.plane, self.tile).end(a, "max" if self.side == "over" else "min")
        return self._unknown if end is None else super()._solve_inequality(end)


def _taken_together(intervals: list[TileInterval], plane: Plane) -> list[TileInterval]:
    """Up to the end of the last of several periods, where no end ever falls from one period to the next.

    Between two intervals lies less than a period, so where a tile holds several periods none of its tiles lies between.
    """
    steps = [(end, substitute(end, PERIOD, NUMBER + 1)) for each in intervals for end in (each.lo, each.hi)]
    if not all(plane.prover.prove_at_most(end, after) for end, after in steps):
        return intervals
    last = polynomial(LAST_PERIOD)
    return [replace(interval, hi=substitute(interval.hi, PERIOD, last)) for interval in intervals]


def _shift_of_rows(numbered: Predicate, division: Division, plane: Plane) -> Polynomial | None:
    """That of periods of rows which are as long as those of the target."""
    rows = replace(plane, target=plane.other, other=plane.target)
    alike = (each for each in find_repeats(numbered, rows) if each.n == division.n and each.way > 0)
    return next((each.shift for each in alike if plane.target.key not in each.shift.leaves), None)


def _looks_around(interval: TileInterval) -> bool:
    """Would every period look through the tile, or through an array?"""
    terms = [to_int(end) for end in (interval.lo, interval.hi, *(interval.full or ()))]
    parts = [part for term in terms for part in walk(term)]
    return any(isinstance(part, OverTile | Rank) and holds(part, Period) for part in parts)
