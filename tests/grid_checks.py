"""What is found of a grid against a look at every pair.

`check_grid` asserts of one head of one call that the products make the mask, and that along each axis the intervals
are sound in both roles; it returns how many pairs of coordinates were looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from integer_oracle import evaluate
from range_checks import Counts, check_ranges, transposed
from truth import Matrix, pairs_of, seen_at

from attnc.analyze.grid_facts import Along, Axis, Digit, Grid
from attnc.ir.nodes import Bool

BLOCKS = (1, 4)


def check_grid(grid: Grid, mask: Bool, values: dict[str, Any], counts: Counts) -> int:
    """`values` has sizes, parameters, and the head where the mask asks for it."""
    at = {
        f"{side}.{axis.name}": np.arange(values[size]).reshape(shape) // number(digit.stride, values)
        for axis in grid.axes
        for side, size, shape, digit in (("i", "N", (-1, 1), axis.query), ("j", "M", (1, -1), axis.key))
    }
    for axis in grid.axes[1:]:
        at[f"i.{axis.name}"] %= number(axis.query.size, values)
        at[f"j.{axis.name}"] %= number(axis.key.size, values)
    _check_coordinates(grid.axes, values, at)
    shape = values["N"], values["M"]
    union, looked_at = np.zeros(shape, bool), 0
    for product in grid.products:
        whole = seen_at(product.guard, values, shape)
        for clause in product.mixed:
            whole &= seen_at(clause, {**values, **_tokens(shape), **at}, shape)
        for along in product.along:
            one_axis = _of_axis(along, values, counts)
            looked_at += one_axis.size
            whole &= one_axis[at[f"i.{along.axis.name}"], at[f"j.{along.axis.name}"]]
        union |= whole
    assert (union == pairs_of(mask, values)).all(), f"other pairs at {values}"
    return looked_at


def number(term: Any, values: dict[str, Any]) -> int:
    return int(evaluate(term, values))


def _tokens(shape: tuple[int, int]) -> dict[str, Matrix]:
    return {"i": np.arange(shape[0])[:, None], "j": np.arange(shape[1])[None, :]}


def _check_coordinates(axes: tuple[Axis, ...], values: dict[str, Any], at: dict[str, Matrix]) -> None:
    """Digits make the position, and lie below the sizes."""
    for side, size in (("i", "N"), ("j", "M")):
        digits: list[Digit] = [axis.query if side == "i" else axis.key for axis in axes]
        parts = [
            at[f"{side}.{axis.name}"] * number(digit.stride, values)
            for axis, digit in zip(axes, digits, strict=True)
        ]
        assert (sum(parts).reshape(-1) == np.arange(values[size])).all()  # type: ignore[union-attr]
        for axis, digit in zip(axes, digits, strict=True):
            assert at[f"{side}.{axis.name}"].max() < number(digit.size, values)


def _of_axis(along: Along, values: dict[str, Any], counts: Counts) -> Matrix:
    """Which key coordinates each query coordinate sees; the intervals of each class are checked on the way."""
    sizes = number(along.axis.query.size, values), number(along.axis.key.size, values)
    seen = np.zeros(sizes, bool)
    step = 1 if along.dilation is None else number(along.dilation, values)
    for residue in range(min(step, max(sizes))):
        here = {**values, "residue": residue}
        shape = number(along.queries, here), number(along.keys, here)
        rows, columns = np.arange(residue, sizes[0], step), np.arange(residue, sizes[1], step)
        assert shape == (len(rows), len(columns)), (shape, here)
        if 0 in shape:
            continue
        places = {"i": np.arange(shape[0])[:, None], "j": np.arange(shape[1])[None, :]}
        inside = seen_at(along.mask, {**here, **places}, shape)
        seen[np.ix_(rows, columns)] = inside
        for block in BLOCKS:
            check_ranges(along.of_keys, inside.tolist(), here, block, 1, counts)
            check_ranges(along.of_queries, transposed(inside.tolist()), here, block, 1, counts)
    return seen
