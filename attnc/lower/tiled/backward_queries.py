"""The dQ kernel: one program sums the gradient of a tile of queries over the keys that they see.

Enters: a sweep. Leaves: the helper that adds one tile of keys, and the kernel. The gradient of a captured array whose
index holds no key position is summed along the row here, in registers, and leaves one number per query.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from attnc.algebra.derivative import ONE
from attnc.ir.nodes import Real
from attnc.ir.walk import axes_of, is_invariant
from attnc.kernel.build import Block
from attnc.kernel.expressions import Expr, List, Var
from attnc.kernel.nodes import Function
from attnc.lower.tiled.again import (
    add_with_care,
    end_unless_spoiled_backward,
    left_rows,
    lost_rows,
)
from attnc.lower.tiled.forward import (
    N,
    body_of,
    enter_query_tile,
    head_rows,
    visits_of_keys,
)
from attnc.lower.tiled.frame import BLOCK_Q, FLOAT32, H, Kernel, scaled, zeros
from attnc.lower.tiled.layout import QUERIES, Flat, parts_of
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.tiled.tile import Tile, dot_rows
from attnc.lower.tiled.weights import add_up, gradients_in, load_row_statistics, weigh
from attnc.lower.triton_terms import tl

# A tensor that gets a gradient, its width, and the factor that waits for the end of the sum.
Gradient: TypeAlias = tuple[str, str, Real | None]


def lower_backward_queries(sweep: TiledSweep) -> tuple[Function, ...]:
    """The helper and the kernel; nothing where no gradient is to be had from queries."""
    kernel = Kernel(sweep)
    enter_query_tile(kernel)
    if sweep.weighs_values:
        kernel.point("dout", H)
    rows = gradients_in(sweep, "row")
    row = kernel.loads.let("row", head_rows(H))
    load_row_statistics(kernel.loads, row, sweep, rows)
    if sweep.weighs_values:
        kernel.loads.let("dout", kernel.rows("dout", QUERIES, "DV"))

    tile = Tile(kernel, "j")
    tile.positions()
    tile.dots()
    if sweep.weighs_values:
        v = tile.load("v", "DV")
        kernel.tile.let("dp", dot_rows(Var("dout"), v))
    tile.score([*sweep.gradients.dots, *(g.derivative for g in rows)])
    weigh(tile, rows, of_rows=Block())
    for pair, derivative in zip(sweep.score.dots, sweep.gradients.dots, strict=True):
        value: Expr = Var("ds")
        if not scales_after_sum(sweep, pair.query, derivative):
            value = tile.shown(kernel.terms.times(value, derivative), derivative)
        name = f"d{pair.query}"
        add_with_care(tile, kernel.tile, name, Var(name), value, Var(pair.key))
    for gradient in rows:
        kernel.tile.assign(Var(gradient.name), tl.sum(add_up(tile, gradient), 1), "+=")
    products = tuple(dict.fromkeys(f"d{pair.query}" for pair in sweep.score.dots))
    carried = (*products, *(g.name for g in rows))
    if not carried:
        return ()
    doc = "Add what keys [k0, k0 + BLOCK_K) say about the gradient of one query tile."
    helper = kernel.helper("_add_keys_backward", "k0", carried, doc)

    for name, width in dict.fromkeys((pair.query, pair.width) for pair in sweep.score.dots):
        kernel.accumulators.let(f"d{name}", zeros(BLOCK_Q, Var(parts_of(width))))
    for gradient in rows:
        kernel.accumulators.let(gradient.name, tl.zeros(List((BLOCK_Q,)), FLOAT32))
    visits_of_keys(kernel).loop(kernel.loops, body_of(helper, carried))
    widths = dict((pair.query, pair.width) for pair in sweep.score.dots)
    left = [left_rows(f"d{name}", head_rows(H), QUERIES, width) for name, width in widths.items()]
    end_unless_spoiled_backward(kernel, left or lost_rows(sweep, head_rows(H), QUERIES))
    _finish(kernel, sweep)
    return helper, kernel.kernel(
        "_backward_queries", "One program: the gradient of BLOCK_Q queries of one head."
    )


def scales_after_sum(sweep: TiledSweep, tensor: str, derivative: Real) -> bool:
    """May the derivative of a score by a dot product wait until the sum over tiles is done? It must be one factor.

    It is none where it changes with a position, or, in a sum over the heads of a group, with the head; nor where the
    tensor stands in two dot products, whose derivatives may differ.
    """
    uses = sum(tensor in (pair.query, pair.key) for pair in sweep.score.dots)
    over_heads = any(tensor == pair.key for pair in sweep.score.dots)
    return uses == 1 and is_invariant(derivative) and not (over_heads and "h" in axes_of(derivative))


def factors(sweep: TiledSweep, side: Literal["query", "key"]) -> list[Gradient]:
    """Of the tensors of one side."""
    found: dict[tuple[str, str], Real | None] = {}
    for pair, derivative in zip(sweep.score.dots, sweep.gradients.dots, strict=True):
        tensor = pair.query if side == "query" else pair.key
        waiting = scales_after_sum(sweep, tensor, derivative) and derivative != ONE
        found[tensor, pair.width] = derivative if waiting else None
    return [(name, width, factor) for (name, width), factor in found.items()]


def store_gradients(kernel: Kernel, layout: Flat, row: Expr, found: Iterable[Gradient]) -> None:
    """The sums of a tile from this row on, multiplied with what waited for their end."""
    store = kernel.store
    for name, width, factor in found:
        value: Expr = Var(f"d{name}")
        if factor is not None:
            kernel.scope.bind([factor], lambda axes: store)
            value = scaled(value, kernel.terms(factor))
        store.do(layout.store(Var(f"d{name}_ptr") + row * Var(width), value, width))


def _finish(kernel: Kernel, sweep: TiledSweep) -> None:
    store, row = kernel.store, Var("row")
    store_gradients(kernel, QUERIES, row, factors(sweep, "query"))
    rows = gradients_in(sweep, "row")
    if rows:
        at = store.let("rows", QUERIES.positions)
        for gradient in rows:
            store.do(tl.store(Var(f"{gradient.name}_ptr") + row + at, Var(gradient.name), mask=at < N))
