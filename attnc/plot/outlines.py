"""The outlines of a region of a grid.

Enters: a bool for each cell. Leaves: closed loops around the cells that hold, as corners `(x, y)`; the region lies to
the right of each step (with y downward), so that holes run the other way and any fill rule gives the same picture. One
shape has no seams inside, as many small rectangles would have in a vector format.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]


def find_outlines(region: NDArray[np.bool_]) -> list[list[Corner]]:
    """Loops of corners, in order of their first row, without the first corner repeated."""
    steps = _steps(region)
    loops: list[list[Corner]] = []
    for start in list(steps):
        while steps[start]:
            loops.append(_follow(start, steps))
    return loops


def _steps(region: NDArray[np.bool_]) -> dict[Corner, list[Corner]]:
    """From each corner the next ones, along every side between a cell that holds and one that does not."""
    framed = np.pad(region, 1)
    inside = framed[1:-1, 1:-1]
    # Each side: the neighbor across it, and where the step along it begins and ends, from the cell's upper left corner.
    sides = (
        (framed[:-2, 1:-1], (0, 0), (1, 0)),
        (framed[1:-1, 2:], (1, 0), (1, 1)),
        (framed[2:, 1:-1], (1, 1), (0, 1)),
        (framed[1:-1, :-2], (0, 1), (0, 0)),
    )
    steps: dict[Corner, list[Corner]] = defaultdict(list)
    for across, begin, end in sides:
        for y, x in np.argwhere(inside & ~across).tolist():
            steps[x + begin[0], y + begin[1]].append((x + end[0], y + end[1]))
    return steps


def _follow(start: Corner, steps: dict[Corner, list[Corner]]) -> list[Corner]:
    """One loop from a corner back to it, with corners only where it turns."""
    loop, here = [start], steps[start].pop()
    while here != start:
        there = steps[here].pop()
        if not _is_straight(loop[-1], here, there):
            loop.append(here)
        here = there
    if len(loop) > 2 and _is_straight(loop[-1], start, loop[1]):
        loop.pop(0)
    return loop


def _is_straight(a: Corner, b: Corner, c: Corner) -> bool:
    return a[0] == b[0] == c[0] or a[1] == b[1] == c[1]
