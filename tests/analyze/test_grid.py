"""Grids: products of masks along one axis each make the mask, and intervals along an axis are sound in both roles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compilations import file, one_of
from grid_checks import check_grid
from hypothesis import given
from hypothesis import strategies as st
from properties import cases, tries
from random_grids import draw_call, random_grids, written_out
from range_checks import Counts

from attnc.analyze.grid import find_grid
from attnc.analyze.grid_facts import Grid
from attnc.compiler import Compilation
from attnc.source import Source

SPECS = Path(__file__).parent / "specs" / "grids.attn"


def grid_of(compilation: Compilation) -> Grid:
    found = find_grid(compilation.attention)
    assert found is not None
    return found


# ---- specs that people write -----------------------------------------------------------------------


NAMES = [attention.name for attention in file(SPECS).attentions]


@pytest.mark.parametrize("name", NAMES)
def test_products_make_the_mask(name: str) -> None:
    compilation, counts = one_of(SPECS, name), Counts()
    grid, r, met = grid_of(compilation), np.random.default_rng(len(name)), 0
    while met < tries(200, 12):
        values = draw_call(compilation, r)
        try:
            check_grid(grid, compilation.attention.mask, values, counts)
        except ZeroDivisionError:
            continue
        met += 1


# ---- masks that nobody wrote -----------------------------------------------------------------------


@cases(400, few=60)
@given(random_grids(), st.integers(0, 1))
def test_random_grids_are_sound(drawn: tuple[str, dict[str, int]], head: int) -> None:
    text, sides = drawn
    compilation, n = Compilation(Source("a.attn", text)), int(np.prod(list(sides.values())))
    values = {**sides, "N": n, "M": n, "H": 2, "h": head, "b": 0}
    check_grid(grid_of(compilation), compilation.attention.mask, values, Counts())


@cases(400, few=60)
@given(random_grids(), st.integers(0, 1), st.integers(0, 7))
def test_digits_that_are_written_out(drawn: tuple[str, dict[str, int]], head: int, more: int) -> None:
    """Where a grid is inferred of them, the last row of the outermost axis may end early, or begin beyond its side."""
    text, sides = drawn
    compilation, n = (
        Compilation(Source("a.attn", written_out(text))),
        int(np.prod(list(sides.values()))) + more,
    )
    values = {**sides, "N": n, "M": n, "H": 2, "h": head, "b": 0}
    found = find_grid(compilation.attention)
    if found is not None:
        assert not found.is_declared
        check_grid(found, compilation.attention.mask, values, Counts())
