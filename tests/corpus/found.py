"""How tiles are found, as one answer for all ways of finding them.

Enters: what was found out about an attention. Leaves: for one head of one call, the class that each tile is taken
for: `NONE` is not visited, `EDGE` is visited and masked, `FULL` is visited and not masked. Whoever judges sees nothing
else, so a new way of finding tiles is a new class here with `how` and `classes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from range_checks import ends, requirements_hold
from truth import EDGE, FULL, NONE, Matrix, Role

from attnc.analyze.facts import Facts, Ranges


class Finder(Protocol):
    """`classes` has a row for each tile of the role's own positions: queries where keys are looked for."""

    @property
    def how(self) -> str: ...

    def classes(self, values: Mapping[str, Any], rows: int, columns: int) -> Matrix: ...


def finder_of(facts: Facts, role: Role) -> Finder:
    return Intervals(facts.keys if role == "keys" else facts.queries)


@dataclass(frozen=True)
class Intervals:
    """By the ends of intervals, swept in their order as a kernel sweeps them."""

    ranges: Ranges

    @property
    def how(self) -> str:
        return "closed form" if self.ranges.closed else "every tile"

    def classes(self, values: Mapping[str, Any], rows: int, columns: int) -> Matrix:
        assert requirements_hold(self.ranges, values), "a call that would be refused"
        axis, size, target = ("i", "N", "M") if self.ranges.target == "j" else ("j", "M", "N")
        tops = range(0, values[size], rows)
        tiles = np.full((len(tops), -(-values[target] // columns)), NONE)
        for row, first in zip(tiles, tops, strict=True):
            last = min(first + rows, values[size]) - 1
            self._sweep(
                row, {**values, f"{axis}.first": first, f"{axis}.last": last}, values[target], columns
            )
        return tiles

    def _sweep(self, row: Matrix, here: Mapping[str, Any], size: int, columns: int) -> None:
        done = 0
        for outer, inner in zip(self.ranges.visited, self.ranges.full, strict=True):
            lo, hi = ends(outer, here, size)
            start, stop = max(max(lo, 0) // columns, done), -(-hi // columns) if lo < hi else 0
            row[start : max(start, stop)] = EDGE
            if inner is not None and start < stop:
                low, high = ends(inner, here, size)
                whole = len(row) if high == size else high // columns
                first = max(-(-max(low, 0) // columns), start)
                row[first : min(max(whole, first), stop)] = FULL
            done = max(done, stop)
