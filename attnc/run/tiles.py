"""Which tiles a call visits, and how many, without making the call.

Enters: the key ranges of an attention, tile sizes, and a value for everything that their ends speak of. Leaves: for
each tile of queries the tiles of keys that are visited and those that are full, and their counts. The work is one
evaluation of the ends for each tile of queries, of many tiles at a time; no key is ever looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnc.analyze.call_check import requirement_check
from attnc.analyze.facts import Interval, Ranges
from attnc.run.checks import check_condition
from attnc.run.coordinates import period_end, tile_end
from attnc.run.values import Columns, int_value

Run = tuple[int, int]
Numbers = NDArray[np.int64]

# The density of a longer sequence is bounded by strips of queries, so that it takes no longer than that of this one;
# and by fewer where they look at more periods than these.
MOST_STRIPS = 2**16
MOST_PERIODS = 2**20

# How many places are evaluated at a time: enough that each costs little, few enough to stay in the cache.
AT_ONCE = 2**13
TILES_AT_ONCE = 2**10

FIRST, LAST = tile_end("i", "first"), tile_end("i", "last")


@dataclass(frozen=True, slots=True)
class TileRow:
    """One tile of queries: intervals `[lo, hi)` of numbers of tiles of keys, in order, none touching another.

    `full` tiles are among the `visited` ones. Whoever finds tiles, by intervals or one by one, leaves these.
    """

    visited: tuple[Run, ...]
    full: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tiles of one head of one batch entry: of `total`, `visited` are looked at and `full` of those need no mask."""

    visited: int
    full: int
    total: int


@dataclass(frozen=True)
class Runs:
    """Intervals `[lo, hi)` of several rows, in order, none touching another of its row."""

    row: Numbers
    lo: Numbers
    hi: Numbers

    def lengths(self, rows: int) -> Numbers:
        """How many numbers the intervals of each row hold."""
        return np.bincount(self.row, weights=self.hi - self.lo, minlength=rows).astype(np.int64)

    def of(self, row: int) -> tuple[Run, ...]:
        first, last = np.searchsorted(self.row, (row, row + 1))
        return tuple(zip(self.lo[first:last].tolist(), self.hi[first:last].tolist(), strict=True))


@dataclass(frozen=True)
class TileRows:
    """Several tiles of queries, one after the other, and the tiles of keys of each."""

    count: int
    visited: Runs
    full: Runs


def count_tiles(keys: Ranges, values: Mapping[str, Any], block_q: int, block_k: int) -> Tiles:
    """Count tiles of `block_q` queries by `block_k` keys; `values` has `N`, `M`, and what else the ends name."""
    total = -(-int(values["N"]) // block_q) * -(-int(values["M"]) // block_k)
    visited = full = 0
    for rows in _TileFinder(keys, values, block_q, block_k).find():
        visited += int(rows.visited.lengths(rows.count).sum())
        full += int(rows.full.lengths(rows.count).sum())
    return Tiles(visited, full, total)


def longest_row(keys: Ranges, values: Mapping[str, Any], block_q: int, block_k: int) -> int:
    """How many tiles of keys the tile of queries visits that visits most."""
    lengths = (
        rows.visited.lengths(rows.count) for rows in _TileFinder(keys, values, block_q, block_k).find()
    )
    return max((int(each.max(initial=0)) for each in lengths), default=0)


def count_rows(rows: Iterable[TileRow], total: int) -> Tiles:
    visited = full = 0
    for row in rows:
        visited += _length(row.visited)
        full += _length(row.full)
    return Tiles(visited, full, total)


def find_tile_rows(keys: Ranges, values: Mapping[str, Any], block_q: int, block_k: int) -> Iterator[TileRow]:
    """The tiles of `block_k` keys for each tile of `block_q` queries, from the first to the last."""
    for rows in _TileFinder(keys, values, block_q, block_k).find():
        for row in range(rows.count):
            yield TileRow(rows.visited.of(row), rows.full.of(row))


def find_density(keys: Ranges, values: Mapping[str, Any]) -> tuple[float, float]:
    """The least and the greatest share of all pairs that the ranges allow to be visible.

    They are the same where the ranges are exact and the sequence has no more than `MOST_STRIPS` queries.
    """
    queries, size = int(values["N"]), int(values["M"])
    strip = -(-queries // MOST_STRIPS)
    periods = _TileFinder(keys, values, strip, 1).count_periods()
    strip *= max(-(-periods // MOST_PERIODS), 1)
    least = most = first = 0
    for rows in _TileFinder(keys, values, strip, 1).find():
        last = np.minimum((first + np.arange(rows.count) + 1) * strip, queries)
        heights = last - (first + np.arange(rows.count)) * strip
        least += int(heights @ rows.full.lengths(rows.count))
        most += int(heights @ rows.visited.lengths(rows.count))
        first += rows.count
    return least / (queries * size), most / (queries * size)


# ---- many tiles at a time --------------------------------------------------------------------------


@dataclass(frozen=True)
class Spans:
    """Intervals `[lo, hi)` of rows, in any order."""

    row: Numbers
    lo: Numbers
    hi: Numbers

    def in_tiles(self, block: int) -> Spans:
        """The tiles that they touch."""
        return Spans(self.row, self.lo // block, -(-self.hi // block))

    def in_whole_tiles(self, block: int, size: int) -> Spans:
        """The tiles that they hold. The last one may be cut short by the end of the keys, and is whole all the same."""
        lo, hi = -(-self.lo // block), np.where(self.hi == size, -(-size // block), self.hi // block)
        held = lo < hi
        return Spans(self.row[held], lo[held], hi[held])

    def joined(self) -> Runs:
        order = np.lexsort((self.lo, self.row))
        row, lo, hi = self.row[order], self.lo[order], self.hi[order]
        if not len(row):
            return Runs(row, lo, hi)
        wide = int(hi.max()) + 1  # the rows one behind the other, so that none touches the next
        start, reach = row * wide + lo, np.maximum.accumulate(row * wide + hi)
        first = np.flatnonzero(np.append(True, start[1:] > reach[:-1]))
        last = np.append(first[1:], len(row)) - 1
        return Runs(row[first], lo[first], reach[last] - row[first] * wide)


def _together(spans: Sequence[Spans]) -> Spans:
    row, lo, hi = (np.concatenate([getattr(each, name) for each in spans]) for name in ("row", "lo", "hi"))
    return Spans(row, lo, hi)


class _Shown:
    """Intervals whose ends are evaluated at many places at once."""

    def __init__(self, intervals: Sequence[Interval | None], values: Mapping[str, Any]) -> None:
        known = [interval for interval in intervals if interval is not None]
        self._ends = Columns([end for each in known for end in (each.lo, each.hi)], values)

    def at(self, places: Mapping[str, Numbers], asked: NDArray[np.bool_], size: int) -> Spans:
        """Those that hold a key, clipped to the keys there are; a row for each row of places."""
        nothing = np.zeros(0, np.int64)
        found, ends = [Spans(nothing, nothing, nothing)], self._ends.at(places, asked)
        for lo, hi in zip(ends[::2], ends[1::2], strict=True):
            lo, hi = np.maximum(lo, 0), np.minimum(hi, size)
            held = asked & (lo < hi)
            found.append(Spans(held.nonzero()[0], lo[held], hi[held]))
        return _together(found)


class _TileFinder:
    """Finds the tiles of keys of each tile of queries."""

    def __init__(self, keys: Ranges, values: Mapping[str, Any], block_q: int, block_k: int) -> None:
        _check_requirements(keys, values)
        self.queries, self.size = int(values["N"]), int(values["M"])
        self.block_q, self.block_k = block_q, block_k
        self.visited, self.full = _Shown(keys.visited, values), _Shown(keys.full, values)
        visited, full = keys.suffix or (None, None)
        self.suffix = _Shown([visited], values), _Shown([full], values)
        self.periods = keys.periods and Columns((keys.periods.lo, keys.periods.hi), values)
        self.step = 1  # as many periods as a tile of keys holds, where they may be taken at once
        if keys.periods and keys.takes_several_periods:
            self.step = max(block_k // int_value(keys.periods.length, values), 1)

    def find(self) -> Iterator[TileRows]:
        for places in self._tiles():
            if self.periods:
                yield from self._in_periods(self.periods, places)
            else:
                asked = np.ones_like(places[FIRST], np.bool_)
                yield self._rows(
                    self.visited.at(places, asked, self.size),
                    self.full.at(places, asked, self.size),
                    len(asked),
                )

    def count_periods(self) -> int:
        """How many periods all tiles of queries look at."""
        if not self.periods:
            return 0
        numbers = (self.periods.at(places) for places in self._tiles())
        return sum(int(np.maximum(hi - lo, 0).sum()) for lo, hi in numbers)

    def _tiles(self) -> Iterator[dict[str, Numbers]]:
        """The ends of tiles of queries, in columns."""
        for begin in range(0, self.queries, self.block_q * TILES_AT_ONCE):
            end = min(begin + self.block_q * TILES_AT_ONCE, self.queries)
            first = np.arange(begin, end, self.block_q)[:, None]
            yield {FIRST: first, LAST: np.minimum(first + self.block_q, self.queries) - 1}

    def _in_periods(self, periods: Columns, tiles: dict[str, Numbers]) -> Iterator[TileRows]:
        lo, hi = periods.at(tiles)
        steps = np.maximum(-(-(hi - lo) // self.step), 0).reshape(-1)
        for some in _groups(steps.tolist()):
            here = {name: ends[some] for name, ends in tiles.items()}
            start, stop = lo[some], hi[some]
            number = start + self.step * np.arange(max(int(steps[some].max()), 1))
            last = np.minimum(number + self.step, stop) - 1
            asked = number < stop
            places = {**here, period_end("first"): number, period_end("last"): last}
            visited, full = (shown.at(places, asked, self.size) for shown in (self.visited, self.full))
            once = np.ones_like(start, np.bool_)
            suffix = [shown.at(here, once, self.size) for shown in self.suffix]
            yield self._rows(_together((visited, suffix[0])), _together((full, suffix[1])), len(start))

    def _rows(self, visited: Spans, full: Spans, count: int) -> TileRows:
        near, whole = visited.in_tiles(self.block_k), full.in_whole_tiles(self.block_k, self.size)
        return TileRows(count, near.joined(), whole.joined())


def _groups(steps: Sequence[int]) -> Iterator[slice]:
    """Neighbors that take no more than `AT_ONCE` places together, each as many as the one of them that takes most."""
    first = most = 0
    for at, count in enumerate(steps):
        if at > first and max(most, count) * (at + 1 - first) > AT_ONCE:
            yield slice(first, at)
            first = at
            most = 0
        most = max(most, count)
    yield slice(first, len(steps))


def _check_requirements(keys: Ranges, values: Mapping[str, Any]) -> None:
    for required in keys.requires:
        check_condition(requirement_check(required), values)


def join(spans: list[Run]) -> tuple[Run, ...]:
    """The same numbers in intervals that are in order and do not touch."""
    found: list[Run] = []
    for lo, hi in sorted(spans):
        if found and lo <= found[-1][1]:
            found[-1] = (found[-1][0], max(hi, found[-1][1]))
        elif lo < hi:
            found.append((lo, hi))
    return tuple(found)


def _length(spans: tuple[Run, ...]) -> int:
    return sum(hi - lo for lo, hi in spans)
