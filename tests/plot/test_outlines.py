"""Outlines against the region they go around."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from attnc.plot.outlines import Corner, find_outlines

Region = NDArray[np.bool_]


@st.composite
def regions(draw: st.DrawFn) -> Region:
    height, width = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    cells = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return np.array(cells, bool).reshape(height, width)


def turns_around(loops: list[list[Corner]], x: int, y: int) -> int:
    """How often the loops go around the middle of a cell: sides crossed on the way to the left, down minus up."""
    count = 0
    for loop in loops:
        for (x0, y0), (x1, y1) in zip(loop, loop[1:] + loop[:1], strict=True):
            if x0 == x1 <= x and min(y0, y1) <= y < max(y0, y1):
                count += 1 if y1 < y0 else -1
    return count


@given(regions())
def test_loops_go_once_around_what_holds_and_nothing_else(region: Region) -> None:
    loops = find_outlines(region)
    found = [[turns_around(loops, x, y) for x in range(region.shape[1])] for y in range(region.shape[0])]
    assert np.array_equal(found, region.astype(int))


@given(regions())
def test_every_corner_is_a_turn(region: Region) -> None:
    for loop in find_outlines(region):
        assert len(loop) >= 4
        for a, b, c in zip(loop, loop[1:] + loop[:1], loop[2:] + loop[:2], strict=True):
            assert (a[0] == b[0]) != (a[1] == b[1])
            assert (a[0] == b[0]) != (b[0] == c[0])


def test_a_staircase_is_one_loop() -> None:
    causal = np.tril(np.ones((3, 3), bool))
    assert find_outlines(causal) == [[(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (0, 3)]]


def test_nothing_has_no_outline() -> None:
    assert find_outlines(np.zeros((2, 3), bool)) == []
