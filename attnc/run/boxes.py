"""What tiles would visit that are boxes of a grid, counted along each axis, without looking at pairs.

Enters: a `Grid`, a value for everything that it speaks of, and how many queries and keys a tile has lanes for. Leaves:
`Boxes`: shapes, and the pairs of lanes that each would visit. A box of queries covers a run of coordinates on each
axis; where neighbors share a window as a group, a run begins with a group and holds whole ones, or ends with one, and
its other lanes stay empty. On each axis its keys are covered by runs that begin at the first key. Queries of a residue
class have boxes of their own. As an axis knows nothing of the others, what is visited is the product of what is visited
along each. Every product of the mask is visited by itself, unless a box of queries sees all of it in another product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnc.analyze.call_check import requirement_check
from attnc.analyze.grid_facts import Along, Grid, Product
from attnc.ir.nodes import Bool, IntConst, IntIf
from attnc.run.checks import check_condition
from attnc.run.coordinates import RESIDUE, tile_end
from attnc.run.values import Columns, int_value

Numbers = NDArray[np.int64]
Shape = tuple[int, ...]

FIRST, LAST = tile_end("i", "first"), tile_end("i", "last")

# Of pairs of coordinates along one axis, as many as are looked at to count what is needed.
MOST_PAIRS = 2**26
MOST_CLASSES = 2**14


@dataclass(frozen=True)
class Box:
    """A shape of tiles: lanes for queries, and for keys in each product of the mask, along each axis.

    `visited` are all pairs of lanes; `longest` is how many lanes of keys the box of queries visits that visits most.
    """

    queries: Shape
    keys: tuple[Shape, ...]
    visited: int
    longest: int


@dataclass(frozen=True)
class Boxes:
    """Shapes, the one that visits least first, and how many pairs are `needed`: None where only a look at each says."""

    axes: tuple[str, ...]
    shapes: tuple[Box, ...]
    needed: int | None


def count_boxes(grid: Grid, values: Mapping[str, Any], lanes: tuple[int, int]) -> Boxes | None:
    """None where the classes are too many to be counted. Raises an `AttncError` where something has no value."""
    for required in grid.requires:
        check_condition(requirement_check(required), values)
    shown = [product for product in grid.products if _holds(product.guard, values)]
    of = [[_Line(along, values) for along in product.along] for product in shown]
    if any(line.classes > MOST_CLASSES for lines in of for line in lines):
        return None
    aligned = [_group(grid.axes[at].name, shown, values) for at in range(len(grid.axes))]
    shapes = [_box(of, aligned, queries, lanes[1]) for queries in _shapes(lanes[0], len(grid.axes))]
    best = sorted(shapes, key=lambda box: (box.visited, box.longest, box.queries))
    return Boxes(tuple(axis.name for axis in grid.axes), tuple(best), _needed(grid, shown, of, values))


def _holds(condition: Bool, values: Mapping[str, Any]) -> bool:
    return bool(int_value(IntIf(condition, IntConst(1), IntConst(0)), values))


def _shapes(lanes: int, axes: int) -> Iterator[Shape]:
    """Every way to lay so many lanes out along axes, in powers of two."""
    if axes == 1:
        yield (1 << (lanes.bit_length() - 1),)
        return
    side = 1
    while side <= lanes:
        for rest in _shapes(lanes // side, axes - 1):
            yield side, *rest
        side *= 2


def _box(of: Sequence[Sequence[_Line]], aligned: Sequence[_Aligned], queries: Shape, lanes: int) -> Box:
    """The best shape of keys for each product, beside this one of queries."""
    runs = [
        [line.runs(side, to) for line, side, to in zip(lines, queries, aligned, strict=True)] for lines in of
    ]
    keys = [min(_shapes(lanes, len(each)), key=lambda shape: (_total(each, shape), shape)) for each in runs]
    visited = np.zeros(1, np.int64)
    for at, (mine, shape) in enumerate(zip(runs, keys, strict=True)):
        own = _outer(np.multiply, [run.lanes(side) for run, side in zip(mine, shape, strict=True)])
        again = [_held(mine, other, ties=before < at) for before, other in enumerate(runs) if before != at]
        visited = visited + np.where(np.logical_or.reduce(again), 0, own) if again else visited + own
    return Box(queries, tuple(keys), prod(queries) * int(visited.sum()), int(visited.max(initial=0)))


def _total(runs: Sequence[_Runs], shape: Shape) -> int:
    """Lanes of keys that all boxes of queries visit."""
    return prod(int(run.lanes(side).sum()) for run, side in zip(runs, shape, strict=True))


def _held(one: Sequence[_Runs], two: Sequence[_Runs], ties: bool) -> NDArray[np.bool_]:
    """Of each box of queries: is all that one product shows of it in what another shows? Both may be, in `ties`."""
    inside = _outer(np.logical_and, [a.held_by(b) for a, b in zip(one, two, strict=True)])
    around = _outer(np.logical_and, [b.held_by(a) for a, b in zip(one, two, strict=True)])
    return inside if ties else inside & ~around


def _outer(operate: np.ufunc, of_axes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Of every box of queries, from what is known of its run along each axis."""
    return reduce(lambda a, b: operate.outer(a, b).reshape(-1), of_axes)


# ---- one axis --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Aligned:
    """Groups of queries, `size` long; the first begins `shift` before the first query."""

    size: int = 1
    shift: int = 0

    def runs(self, count: int, lanes: int) -> Numbers:
        """Where the runs begin that cover so many queries, and behind the last one its end."""
        if self.size <= lanes:
            step = self.size * (lanes // self.size)
            starts = np.arange(-self.shift, count, step)
        else:
            parts = -(-self.size // lanes)
            step = -(-self.size // parts)
            inside = np.arange(0, self.size, step)
            starts = (np.arange(-self.shift, count, self.size)[:, None] + inside).reshape(-1)
        return np.unique(np.clip(np.append(starts, count), 0, count))


def _group(name: str, shown: Sequence[Product], values: Mapping[str, Any]) -> _Aligned:
    """What boxes of queries are aligned to along an axis."""
    for product in shown:
        for along in product.along:
            group = along.window and (along.window.group_before or along.window.group_after)
            if along.axis.name == name and group:
                size = int_value(group.size, values)
                return _Aligned(size, int_value(group.shift, values) % size)
    return _Aligned()


@dataclass(frozen=True)
class _Line:
    """A product along one axis, at these values."""

    along: Along
    values: Mapping[str, Any]

    @cached_property
    def classes(self) -> int:
        """How many residue classes hold a query and may hold a key."""
        if self.along.dilation is None:
            return 1
        return min(
            int_value(self.along.dilation, self.values), int_value(self.along.axis.query.size, self.values)
        )

    @property
    def size(self) -> int:
        """Pairs of a query's coordinate and a key's, of all classes."""
        queries, keys = (
            int_value(digit.size, self.values) for digit in (self.along.axis.query, self.along.axis.key)
        )
        return queries * -(-keys // self.classes)

    def sizes(self, residue: Numbers) -> tuple[Numbers, Numbers]:
        """Of queries and of keys, in classes."""
        columns = Columns((self.along.queries, self.along.keys), self.values)
        queries, keys = columns.at({RESIDUE: residue})
        return np.broadcast_to(queries, residue.shape), np.broadcast_to(keys, residue.shape)

    def runs(self, lanes: int, aligned: _Aligned) -> _Runs:
        """What each run of queries sees: all of it in intervals, none of which begins before the end of one before."""
        classes = np.arange(self.classes)
        counts, keys = self.sizes(classes)
        ends = [aligned.runs(int(count), lanes) for count in counts]
        residue = np.repeat(classes, [len(each) - 1 for each in ends])
        first = np.concatenate([each[:-1] for each in ends])
        last = np.concatenate([each[1:] for each in ends]) - 1
        places = {RESIDUE: residue, FIRST: first, LAST: last}
        terms = [end for shown in self.along.of_keys.visited for end in (shown.lo, shown.hi)]
        found, size = Columns(terms, self.values).at(places), keys[residue]
        intervals, reach = [], np.zeros_like(first)
        for lo, hi in zip(found[::2], found[1::2], strict=True):
            lo, hi = np.maximum(lo, reach), np.minimum(hi, size)
            intervals.append((lo, np.maximum(hi, lo)))
            reach = np.maximum(reach, hi)
        return _Runs(tuple(intervals))

    def pairs(self) -> Iterator[NDArray[np.bool_]]:
        """Which keys each query sees, of each class."""
        columns = Columns((IntIf(self.along.mask, IntConst(1), IntConst(0)),), self.values)
        counts, keys = self.sizes(np.arange(self.classes))
        for residue, (count, size) in enumerate(zip(counts.tolist(), keys.tolist(), strict=True)):
            places = {
                RESIDUE: np.array([residue]),
                "i": np.arange(count)[:, None],
                "j": np.arange(max(size, 0))[None, :],
            }
            yield np.broadcast_to(columns.at(places)[0], (count, max(size, 0))) > 0


@dataclass(frozen=True)
class _Runs:
    """Of each run of queries along an axis, the intervals `[lo, hi)` of the keys that it sees."""

    intervals: tuple[tuple[Numbers, Numbers], ...]

    def lanes(self, side: int) -> Numbers:
        """How many a run visits, where a box of keys has so many along the axis."""
        nothing = np.zeros(1, np.int64)
        return sum((-(-(hi - lo) // side) * side for lo, hi in self.intervals), nothing)

    def held_by(self, other: _Runs) -> NDArray[np.bool_]:
        """Does every interval lie in one of the others?"""
        found = np.ones(1, np.bool_)
        for lo, hi in self.intervals:
            inside = lo == hi
            for low, high in other.intervals:
                inside = inside | (low <= lo) & (hi <= high)
            found = found & inside
        return found


# ---- what is needed --------------------------------------------------------------------------------


def _needed(
    grid: Grid, shown: Sequence[Product], of: Sequence[Sequence[_Line]], values: Mapping[str, Any]
) -> int | None:
    """Pairs that are visible: those of each product, less those of two, and those of three, ..."""
    if any(product.mixed for product in shown) or not _is_whole(grid, values):
        return None
    if sum(line.size for lines in of for line in lines) * 2 ** len(of) > MOST_PAIRS:
        return None
    seen = [[list(line.pairs()) for line in lines] for lines in of]
    total = 0
    for count in range(1, len(of) + 1):
        for some in combinations(seen, count):
            held = prod(map(_seen_by_all, zip(*some, strict=True)))
            total += held if count % 2 else -held
    return total


def _seen_by_all(of_axis: Sequence[list[NDArray[np.bool_]]]) -> int:
    """Pairs of coordinates that several products hold, over all classes."""
    return sum(int(np.logical_and.reduce(each).sum()) for each in zip(*of_axis, strict=True))


def _is_whole(grid: Grid, values: Mapping[str, Any]) -> bool:
    """Does every place of the grid hold a token?"""
    for size, digits in (("N", [axis.query for axis in grid.axes]), ("M", [axis.key for axis in grid.axes])):
        if prod(int_value(digit.size, values) for digit in digits) != int(values[size]):
            return False
    return True
