"""Windows of neighborhood attention along one axis, many at once: length, window, stride, dilation, class and tile.

What is seen is written here as NATTEN documents it (arXiv 2504.16922), not as any spec says it: the window of a query
is that of its group's leader, and is shifted at the border. The intervals that were solved for once are evaluated for
all cases in NumPy, beside a look at every pair of each tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from properties import ANEW
from truth import Matrix, value_at

from attnc.analyze.facts import Ranges
from attnc.analyze.grid import find_grid
from attnc.analyze.grid_facts import Along
from attnc.compiler import Compilation
from attnc.source import Source

SPEC = """\
from std import near

attention a(w: int, step: int, d: int):
    grid      x: cols
    let size = (cols - 1 - i.x % d) // d + 1
    let lead = min(i.x // d // step * step + {lead}, size - 1)
    mask      i.x % d == j.x % d and {seen}
"""
SHIFTED = SPEC.format(lead="step // 2", seen="near(lead, j.x // d, w, size)")
CAUSAL = SPEC.format(lead="step - 1", seen="max(lead - w + 1, 0) <= j.x // d and j.x <= i.x")

LONGEST, WIDEST, AT_ONCE = 24, 6, 20_000


def along_of(text: str) -> Along:
    found = find_grid(Compilation(Source("a.attn", text)).attention)
    assert found is not None
    ((along,),) = (product.along for product in found.products)
    return along


def draw(r: np.random.Generator, count: int) -> dict[str, Matrix]:
    """Cases whose windows fit their classes, as NATTEN asks for; a tile of queries, and one of keys."""
    cols, d = r.integers(1, LONGEST + 1, count), r.integers(1, 5, count)
    residue = r.integers(0, np.minimum(d, cols))
    size = (cols - residue - 1) // d + 1
    w = r.integers(1, size + 1)
    values = {"cols": cols, "d": d, "residue": residue, "w": w, "step": r.integers(1, w + 1), "size": size}
    for axis in ("i", "j"):
        first = r.integers(0, size)
        values[f"{axis}.first"] = first
        values[f"{axis}.last"] = np.minimum(first + r.integers(0, WIDEST, count), size - 1)
    return {name: each[:, None] for name, each in values.items()}


def window_of(at: Matrix, v: dict[str, Matrix], is_causal: bool) -> tuple[Matrix, Matrix]:
    """The first key that a query sees, and the one behind the last."""
    group, size, w = at // v["step"] * v["step"], v["size"], v["w"]
    if is_causal:
        return np.maximum(np.minimum(group + v["step"] - 1, size - 1) - w + 1, 0), at + 1
    start = np.clip(np.minimum(group + v["step"] // 2, size - 1) - w // 2, 0, size - w)
    return start, start + w


def seen_by(v: dict[str, Matrix], is_causal: bool) -> Matrix:
    """[case, query, key]: does a query see a key? Of coordinates that are there."""
    positions = np.arange(LONGEST)[None, :]
    lo, hi = window_of(positions, v, is_causal)
    keys = positions[:, None, :]
    inside = (lo[:, :, None] <= keys) & (keys < hi[:, :, None])
    there = positions < v["size"]
    return inside & there[:, :, None] & there[:, None, :]


def check(ranges: Ranges, seen: Matrix, v: dict[str, Matrix]) -> tuple[int, int]:
    """`seen` has the positions of the tile first. How many positions are visited, and how many have to be."""
    positions = np.arange(LONGEST)[None, :]
    axis = "i" if ranges.target == "j" else "j"
    rows = (v[f"{axis}.first"] <= positions) & (positions <= v[f"{axis}.last"])
    some, every = (seen & rows[:, :, None]).any(1), (seen | ~rows[:, :, None]).all(1)
    visited, full = np.zeros_like(some), np.zeros_like(some)
    for outer, inner in ranges.shown:
        visited |= held(outer, positions, v)
        if inner is not None:
            full |= held(inner, positions, v)
    assert not (some & ~visited).any(), "missed"
    assert not (full & ~every).any(), "wrongly full"
    return int(visited.sum()), int(some.sum())


def held(interval: Any, positions: Matrix, v: dict[str, Matrix]) -> Matrix:
    lo, hi = value_at(interval.lo, v), np.minimum(value_at(interval.hi, v), v["size"])
    return (lo <= positions) & (positions < hi)


def batches(count: int) -> Iterator[dict[str, Matrix]]:
    r = np.random.default_rng(None if ANEW else 7)
    for begin in range(0, count, AT_ONCE):
        yield draw(r, min(AT_ONCE, count - begin))


def check_many(text: str, count: int) -> None:
    along, is_causal = along_of(text), text == CAUSAL
    totals = {"j": [0, 0], "i": [0, 0]}
    for v in batches(count):
        seen = seen_by(v, is_causal)
        for ranges, pairs in ((along.of_keys, seen), (along.of_queries, seen.transpose(0, 2, 1))):
            for at, number in enumerate(check(ranges, pairs, v)):
                totals[ranges.target][at] += number
    (keys, of_keys), (queries, of_queries) = totals["j"], totals["i"]
    assert keys == of_keys, "keys are found exactly"
    assert queries <= 1.02 * of_queries


@pytest.mark.parametrize("text", [SHIFTED, CAUSAL], ids=["shifted", "causal"])
def test_windows(text: str) -> None:
    check_many(text, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("text", [SHIFTED, CAUSAL], ids=["shifted", "causal"])
def test_a_million_windows(text: str) -> None:
    check_many(text, 1_000_000)
