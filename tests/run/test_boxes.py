"""Counts of what boxes visit against boxes that are laid out one by one."""

from __future__ import annotations

from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compilations import one_of
from grid_checks import number
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from random_grids import draw_call, random_grids
from truth import Matrix, pairs_of, seen_at

from attnc.analyze.grid_facts import Along, Grid
from attnc.compiler import Compilation
from attnc.run.boxes import Box, count_boxes
from attnc.source import Source

SPECS = Path(__file__).parent.parent / "analyze" / "specs" / "grids.attn"
EXACT = (
    "natten_2d", "natten_3d", "cut_2d", "dilated_2d", "strided_2d", "causal_video", "frames_before", "swin", "halonet",
    "maxvit_blocks", "maxvit_grid", "cswin", "rows_alone", "columns_alone", "axial",
)  # fmt: skip


# What a product shows of a box of queries: along each axis the first key and the end, or nothing.
Shown = tuple[tuple[int, int], ...]


def laid_out(grid: Grid, box: Box, values: dict[str, Any]) -> tuple[int, int]:
    """Pairs of lanes that all boxes of this shape visit, and the keys of the one that visits most; box by box."""
    products = [each for each in grid.products if seen_at(each.guard, values, ()).item()]
    spans = [
        product(*(spans_of(*each, products, values) for each in zip(one.along, box.queries, strict=True)))
        for one in products
    ]
    found = [
        sum(lanes_of(here[at], box.keys[at]) for at in range(len(here)) if not is_in_another(here, at))
        for here in zip(*spans, strict=True)
    ]
    return prod(box.queries) * sum(found), max(found, default=0)


def is_in_another(here: tuple[Shown, ...], at: int) -> bool:
    """Of two that show the same, the later one is."""
    others = [n for n in range(len(here)) if n != at and is_in(here[at], here[n])]
    return any(n < at or not is_in(here[n], here[at]) for n in others)


def is_in(one: Shown, two: Shown) -> bool:
    return all(lo == hi or (low <= lo and hi <= high) for (lo, hi), (low, high) in zip(one, two, strict=True))


def lanes_of(shown: Shown, sides: tuple[int, ...]) -> int:
    return prod(-(-(hi - lo) // side) * side for (lo, hi), side in zip(shown, sides, strict=True))


def spans_of(along: Along, queries: int, products: Any, values: dict[str, Any]) -> list[tuple[int, int]]:
    """Of each run of queries along an axis: the first key that it sees, and the end of the last."""
    found = []
    step = 1 if along.dilation is None else number(along.dilation, values)
    same = [each for one in products for each in one.along if each.axis == along.axis and each.window]
    groups = [each.window.group_before for each in same if each.window.group_before]
    size, shift = (number(groups[0].size, values), number(groups[0].shift, values)) if groups else (1, 0)
    for residue in range(min(step, number(along.axis.query.size, values))):
        here = {**values, "residue": residue}
        shape = number(along.queries, here), max(number(along.keys, here), 0)
        places = {"i": np.arange(shape[0])[:, None], "j": np.arange(shape[1])[None, :]}
        seen = seen_at(along.mask, {**here, **places}, shape)
        for rows in runs_of(shape[0], queries, size, shift):
            columns = np.flatnonzero(seen[rows].any(0))
            found.append((int(columns[0]), int(columns[-1]) + 1) if len(columns) else (0, 0))
    return found


def runs_of(count: int, lanes: int, size: int, shift: int) -> list[list[int]]:
    """Coordinates by the group that they are in, as many whole groups together as there are lanes for."""
    found: dict[int, list[int]] = {}
    parts = -(-size // lanes)
    for at in range(count):
        place, inside = divmod(at + shift % size, size)
        key = place // (lanes // size) if size <= lanes else place * parts + inside // -(-size // parts)
        found.setdefault(key, []).append(at)
    return list(found.values())


def mask_of(compilation: Compilation, values: dict[str, Any]) -> Matrix:
    return pairs_of(compilation.attention.mask, values)


@pytest.mark.parametrize("name", EXACT)
def test_boxes_are_counted(name: str) -> None:
    compilation, r, met = one_of(SPECS, name), np.random.default_rng(len(name)), 0
    grid = compilation.grid
    assert grid is not None
    while met < 8:
        values = draw_call(compilation, r)
        windows = [int(values[each]) for each in ("w", "wt", "wy", "wx") if each in values]
        sides = [
            int(values[each]) // int(values.get("d", 1))
            for each in ("frames", "rows", "cols")
            if each in values
        ]
        if windows and max(windows) > min(sides):
            continue  # wider than the side: nobody means it, and what is found is wider than need be
        if name == "maxvit_grid" and int(values["size"]) > min(sides):
            continue
        met += 1
        found = count_boxes(grid, values, (8, 4))
        assert found is not None and found.needed == mask_of(compilation, values).sum()
        for box in found.shapes:
            assert (box.visited, box.longest) == laid_out(grid, box, values), (box, values)


@cases(200, few=40)
@given(random_grids(), st.integers(0, 1))
def test_no_box_visits_too_little(drawn: tuple[str, dict[str, int]], head: int) -> None:
    text, sides = drawn
    compilation, n = Compilation(Source("a.attn", text)), int(np.prod(list(sides.values())))
    values = {**sides, "N": n, "M": n, "H": 2, "h": head, "b": 0}
    assert compilation.grid is not None
    found, needed = count_boxes(compilation.grid, values, (8, 4)), mask_of(compilation, values).sum()
    assert found is not None and found.needed in (needed, None)
    assert (found.needed is None) == any(product.mixed for product in compilation.grid.products)
    assert all(box.visited >= needed for box in found.shapes)
    assert list(found.shapes) == sorted(found.shapes, key=lambda box: box.visited)


def test_shapes_are_powers_of_two() -> None:
    grid = one_of(SPECS, "natten_3d").grid
    assert grid is not None
    values = {"frames": 4, "rows": 4, "cols": 4, "N": 64, "M": 64, "wt": 3, "wy": 3, "wx": 3}
    found = count_boxes(grid, values, (48, 16))
    assert found is not None and found.axes == ("t", "y", "x")
    assert sorted(box.queries for box in found.shapes) == sorted(
        (1 << a, 1 << b, 1 << (5 - a - b)) for a in range(6) for b in range(6 - a)
    )
    assert all(prod(shape) == 16 for box in found.shapes for shape in box.keys)


def test_what_nobody_counts() -> None:
    """Where clauses of several axes hide pairs, or a grid ends within a row, needed pairs are not known."""
    diamond, inferred = one_of(SPECS, "diamond").grid, one_of(SPECS, "cut_2d_by_digits").grid
    assert diamond and inferred
    found = count_boxes(diamond, {"rows": 4, "cols": 4, "N": 16, "M": 16, "radius": 2}, (8, 8))
    assert found is not None and found.needed is None and found.shapes[0].visited == 16 * 16
    for n, needed in ((16, 100), (15, None)):
        boxes = count_boxes(inferred, {"cols": 4, "N": n, "M": n, "radius": 1}, (8, 8))
        assert boxes is not None and boxes.needed == needed
