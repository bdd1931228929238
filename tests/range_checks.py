"""Ranges against a look at every pair.

`check_ranges` asserts that ranges are sound for one head of one call; it returns how many tiles they visit and find
full beside how many there are, for a test that wants them tight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from integer_oracle import Values, evaluate

from attnc.analyze.facts import Interval, Ranges, Shown

# What an end of a range may find where it reads outside of an array.
GARBAGE = -12345


@dataclass
class Counts:
    visited: int = 0
    seen: int = 0
    full: int = 0
    truly_full: int = 0


def check_ranges(
    ranges: Ranges, seen: list[list[bool]], values: Values, rows: int, columns: int, counts: Counts
) -> None:
    """`seen` has a row for each position of the tile's axis; a tile is `rows` of them by `columns` of the target."""
    if ranges.takes_several_periods:
        _check(ranges, seen, values, rows, columns, Counts(), one_by_one=True)
    _check(ranges, seen, values, rows, columns, counts, one_by_one=False)


def _check(
    ranges: Ranges,
    seen: list[list[bool]],
    values: Values,
    rows: int,
    columns: int,
    counts: Counts,
    *,
    one_by_one: bool,
) -> None:
    size = len(seen[0])
    for first in range(0, len(seen), rows):
        tile = seen[first : first + rows]
        axis = "i" if ranges.target == "j" else "j"
        here = {**values, f"{axis}.first": first, f"{axis}.last": first + len(tile) - 1}
        some = [any(row[at] for row in tile) for at in range(size)]
        every = [all(row[at] for row in tile) for at in range(size)]
        visited, full = [False] * size, [False] * size
        start = 0
        for place, shown in each_period(ranges, here, 1 if one_by_one else columns):
            for outer, inner in shown:
                lo, hi = ends(outer, place, size)
                if max(lo, 0) < hi:
                    assert start <= max(lo, 0), f"intervals out of order at {place}"
                    start = max(lo, 0)
                visited[max(lo, 0) : max(hi, 0)] = [True] * len(visited[max(lo, 0) : max(hi, 0)])
                if inner is not None:
                    low, high = ends(inner, place, size)
                    if max(low, 0) < high:
                        assert max(lo, 0) <= max(low, 0) and high <= hi, f"full outside of visited at {place}"
                        full[max(low, 0) : high] = [True] * (high - max(low, 0))
        missed = [at for at in range(size) if some[at] and not visited[at]]
        assert not missed, f"missed {missed} at {here}"
        wrong = [at for at in range(size) if full[at] and not every[at]]
        assert not wrong, f"wrongly full {wrong} at {here}"
        if ranges.exact and len(ranges.visited) == 1 and all(any(row) for row in tile):
            assert visited == some, f"said to be exact, at {here}"
        for left in range(0, size, columns):
            counts.visited += any(visited[left : left + columns])
            counts.seen += any(some[left : left + columns])
            counts.full += all(full[left : left + columns])
            counts.truly_full += all(every[left : left + columns])


def each_period(ranges: Ranges, here: Values, columns: int) -> Iterator[tuple[Values, tuple[Shown, ...]]]:
    """The values in each period that the tile looks at, and what it shows; as they are where there are none.

    The suffix after all periods comes last, and nothing that a period shows reaches into it.

    Several periods are taken at once where a tile of `columns` holds them. What comes after an interval has been
    visited when the next period's turn comes, so no interval of that may lie before: where periods begin at the same
    position for all rows, intervals end in theirs, and else those of one period start behind those of the one before.
    """
    if ranges.periods is None:
        yield here, ranges.shown
        return
    periods = ranges.periods
    other = "i" if ranges.target == "j" else "j"
    length, lo, hi = (
        evaluate(term, here, outside=GARBAGE) for term in (periods.length, periods.lo, periods.hi)
    )
    step = max(columns // length, 1) if ranges.takes_several_periods else 1
    before: list[int] = []
    size = here["M" if ranges.target == "j" else "N"]
    suffix = max(ends(ranges.suffix[0], here, size)[0], 0) if ranges.suffix else size
    for number in range(lo, hi, step):
        place = {**here, "period.first": number, "period.last": min(number + step, hi) - 1}
        starts = [
            evaluate(periods.start, {**here, other: here[f"{other}.{end}"], "period.first": each})
            for end in ("first", "last")
            for each in (number, place["period.last"])
        ]
        there = [ends(interval, place, size) for interval in ranges.visited]
        there = [(max(low, 0), high) for low, high in there if max(low, 0) < high]
        if starts[0] == starts[2]:  # for the first row and the last
            assert all(high <= max(starts) + length for _, high in there), f"beyond its period at {place}"
        else:
            assert not before or all(low >= max(before) for low, _ in there), f"before others at {place}"
            before += [low for low, _ in there]
        assert all(high <= suffix for _, high in there), f"into the suffix at {place}"
        yield place, ranges.shown
    if ranges.suffix:
        yield here, (ranges.suffix,)


def ends(interval: Interval, values: Values, size: int) -> tuple[int, int]:
    lo, hi = (evaluate(end, values, outside=GARBAGE) for end in (interval.lo, interval.hi))
    return lo, min(hi, size)


def transposed(seen: list[list[bool]]) -> list[list[bool]]:
    return [list(column) for column in zip(*seen, strict=True)]


def requirements_hold(ranges: Ranges, values: Values) -> bool:
    return all(evaluate(requirement.term, values) >= 1 for requirement in ranges.requires)
