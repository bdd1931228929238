"""Which tiles a call visits, and how many, without making the call.

Enters: the key ranges of an attention, tile sizes, and a value for everything that their ends speak of. Leaves: for
each tile of queries the tiles of keys that are visited and those that are full, and their counts. The work is one
evaluation of the ends for each tile of queries; no key is ever looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attnc.analyze.facts import Interval, Ranges
from attnc.errors import AttncError, Diagnostic
from attnc.ir.nodes import BoolLoad, IntLoad, Member, Rank, RealLoad
from attnc.ir.text import print_ir
from attnc.run import messages
from attnc.run.values import int_value, period_end, tile_end

Run = tuple[int, int]
Intervals = tuple[Interval | None, ...]

# The density of a longer sequence is bounded by strips of queries, so that it takes no longer than that of this one.
MOST_STRIPS = 8192


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


def count_tiles(keys: Ranges, values: Mapping[str, Any], block_q: int, block_k: int) -> Tiles:
    """Count tiles of `block_q` queries by `block_k` keys; `values` has `N`, `M`, and what else the ends name."""
    total = -(-int(values["N"]) // block_q) * -(-int(values["M"]) // block_k)
    return count_rows(find_tile_rows(keys, values, block_q, block_k), total)


def count_rows(rows: Iterable[TileRow], total: int) -> Tiles:
    visited = full = 0
    for row in rows:
        visited += _length(row.visited)
        full += _length(row.full)
    return Tiles(visited, full, total)


def find_tile_rows(keys: Ranges, values: Mapping[str, Any], block_q: int, block_k: int) -> Iterator[TileRow]:
    """The tiles of `block_k` keys for each tile of `block_q` queries, from the first to the last."""
    for required in keys.requires:
        if (value := int_value(required.term, values)) < 1:
            what = messages.wrong_type(print_ir(required.term), "1 or more", str(value))
            raise AttncError(Diagnostic("wrong-value", what, notes=(required.reason.text,)))
    queries, size = int(values["N"]), int(values["M"])
    columns = -(-size // block_k)
    at, first_key, last_key = _with_lists(keys, values), tile_end("i", "first"), tile_end("i", "last")
    periods_at_once = _periods_at_once(keys, block_k, at)
    for first in range(0, queries, block_q):
        at[first_key], at[last_key] = first, min(first + block_q, queries) - 1
        near, whole = list[Run](), list[Run]()
        for visited, full in _each_period(keys, periods_at_once, at):
            near += [(lo // block_k, -(-hi // block_k)) for lo, hi in _ends(visited, at, size)]
            # The last tile may be cut short by the end of the keys, and is whole all the same.
            whole += [
                (-(-lo // block_k), columns if hi == size else hi // block_k)
                for lo, hi in _ends(full, at, size)
            ]
        yield TileRow(join(near), join(whole))


def find_density(keys: Ranges, values: Mapping[str, Any]) -> tuple[float, float]:
    """The least and the greatest share of all pairs that the ranges allow to be visible.

    They are the same where the ranges are exact and the sequence has no more than `MOST_STRIPS` queries.
    """
    queries, size = int(values["N"]), int(values["M"])
    strip = -(-queries // MOST_STRIPS)
    least = most = 0
    for number, row in enumerate(find_tile_rows(keys, values, strip, 1)):
        height = min(strip, queries - number * strip)
        least += height * _length(row.full)
        most += height * _length(row.visited)
    return least / (queries * size), most / (queries * size)


def _with_lists(keys: Ranges, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with a list for each tensor that the ends read: its entries are fetched once, not one by one."""
    read = {
        part.array for part in keys.parts if isinstance(part, IntLoad | RealLoad | BoolLoad | Member | Rank)
    }
    return {
        name: value.tolist() if name in read and hasattr(value, "tolist") else value
        for name, value in values.items()
    }


def _periods_at_once(keys: Ranges, block: int, at: Mapping[str, Any]) -> int:
    """As many as a tile of `block` keys holds, where that may be."""
    if keys.periods is None or not keys.takes_several_periods:
        return 1
    return max(block // int_value(keys.periods.length, at), 1)


def _each_period(keys: Ranges, step: int, at: dict[str, Any]) -> Iterator[tuple[Intervals, Intervals]]:
    """What is visited and what is full of every `step` periods, with their numbers in `at`; and what is behind them."""
    if keys.periods is None:
        yield keys.visited, keys.full
        return
    lo, hi = int_value(keys.periods.lo, at), int_value(keys.periods.hi, at)
    for number in range(lo, hi, step):
        at[period_end("first")], at[period_end("last")] = number, min(number + step, hi) - 1
        yield keys.visited, keys.full
    if keys.behind:
        visited, full = keys.behind
        yield (visited,), (full,)


def _ends(intervals: Intervals, at: Mapping[str, Any], size: int) -> Iterator[Run]:
    """The intervals that hold a key, clipped to the keys there are."""
    for interval in intervals:
        if interval is not None:
            lo, hi = max(int_value(interval.lo, at), 0), min(int_value(interval.hi, at), size)
            if lo < hi:
                yield lo, hi


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
