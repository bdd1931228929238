"""The dK/dV kernel: one program sums the gradient of a tile of keys over the queries that see them.

Enters: a sweep. Leaves: the helper that adds one tile of queries, and the kernel. The program goes through the query
heads of its group in order, so grouped heads need no atomics. Where that makes too few programs for a GPU, it goes
through a share of them, and torch adds up what the shares leave. The gradient of a captured array that is indexed by
keys leaves one number per key and query head.
"""

from __future__ import annotations

from attnc.ir.nodes import Size
from attnc.ir.walk import is_invariant
from attnc.kernel.build import Block
from attnc.kernel.expressions import Expr, List, Lit, Var
from attnc.kernel.nodes import Function
from attnc.lower.gradients import ArrayGradient
from attnc.lower.tiled.again import add_with_care, end_unless_spoiled_backward, left_rows
from attnc.lower.tiled.backward_queries import Gradient, factors, scales_after_sum, store_gradients
from attnc.lower.tiled.bounds import Bounds
from attnc.lower.tiled.forward import body_of, head_rows
from attnc.lower.tiled.frame import (
    BLOCK_K,
    BLOCK_Q,
    FLOAT32,
    HEAD_ID,
    SHARE,
    SHARES,
    B,
    H,
    Kernel,
    zeros,
)
from attnc.lower.tiled.layout import KEYS, parts_of
from attnc.lower.tiled.listed import find_listed
from attnc.lower.tiled.loops import Visits, find_visits
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.tiled.tile import Tile, dot_rows
from attnc.lower.tiled.weights import add_up, gradients_in, load_row_gradients, load_row_sums, weigh
from attnc.lower.triton_terms import INT64, tl

M, H_KV, GROUP = Var("M"), Var("h_kv"), Var("group")
ROW = (B * (Var("HKV") * SHARES) + HEAD_ID) * M


def lower_backward_keys(sweep: TiledSweep) -> tuple[Function, ...]:
    """The helper and the kernel; nothing where no gradient is to be had from keys."""
    kernel = Kernel(sweep)
    group = kernel.group
    keys = [*dict.fromkeys((pair.key, pair.width) for pair in sweep.score.dots)]
    queries = [*dict.fromkeys(pair.query for pair in sweep.score.dots)]
    if sweep.weighs_values:
        keys.append(("v", "DV"))
        queries.append("dout")
    kernel.enter(tl.cdiv(M, BLOCK_K), Var("HKV") * SHARES)
    kernel.start(KEYS, kernel.tile_of(sweep.cover.queries) * BLOCK_K)
    for name, _ in keys:
        kernel.point(name, H_KV)
    kernel.loads.let("j", KEYS.positions[:, None])
    for name, width in keys:
        kernel.loads.let(name, kernel.rows(name, KEYS, width))

    group.let("h", tl.cast(Var("g"), INT64))
    group.let("row", head_rows(H))
    for name in queries:
        kernel.point_in_group(name)
    tile, columns = Tile(kernel, "i"), gradients_in(sweep, "column")
    _one_tile(tile, sweep)
    values = ["dv"] if sweep.weighs_values else []
    products = tuple(dict.fromkeys([*values, *(f"d{pair.key}" for pair in sweep.score.dots)]))
    carried = (*products, *(g.name for g in columns))
    if not carried:
        return ()
    doc = "Add what queries [q0, q0 + BLOCK_Q) of one head say about the gradient of one key tile."
    helper = kernel.helper("_add_queries", "q0", carried, doc)

    for name, width in keys:
        kernel.accumulators.let(f"d{name}", zeros(BLOCK_K, Var(parts_of(width))))
    in_group = HEAD_ID // SHARES * GROUP
    first = kernel.program.let("h_first", in_group + SHARE * GROUP // SHARES)
    end = kernel.program.let("h_end", in_group + (SHARE + 1) * GROUP // SHARES)
    with kernel.loops.loop("g", tl.range(first, end, disable_licm=Lit(True))) as per_head:
        _visits_of_queries(kernel).loop(group, body_of(helper, carried))
        per_head.extend(group)
        per_head.extend(_leave_columns(columns))
    left = [left_rows(f"d{name}", ROW, KEYS, width) for name, width in keys]
    end_unless_spoiled_backward(kernel, left)
    _finish(kernel, sweep)
    doc = "One program: what a share of the query heads says about BLOCK_K keys of one key head."
    return helper, kernel.kernel("_backward_keys", doc)


def _visits_of_queries(kernel: Kernel) -> Visits:
    """The tiles of queries that see the program's keys; their bounds are written, for one head."""
    group, sweep = kernel.group, kernel.sweep
    for gradient in gradients_in(sweep, "column"):
        group.let(gradient.name, tl.zeros(List((BLOCK_K,)), FLOAT32))
    group.blank()
    if "i" in sweep.cover.listed:
        group.comment(
            "Tiles of queries, from the lists: edge tiles see one of these keys, full tiles see all."
        )
        return find_listed(group, kernel, "i")
    group.comment("Tiles of queries: [live_lo, live_hi) see one of these keys, [full_lo, full_hi) see all.")
    kernel.name_reads(sweep.cover.queries, group)
    return find_visits(Bounds(group, kernel.terms, Size("N"), BLOCK_Q), sweep.cover.queries)


def _leave_columns(columns: tuple[ArrayGradient, ...]) -> Block:
    """What is summed over the queries of one head leaves a number for each key."""
    leave = Block()
    if columns:
        at = leave.let("columns", KEYS.positions)
        start = (B * Var("H") + H) * M
        for gradient in columns:
            leave.do(tl.store(Var(f"{gradient.name}_ptr") + start + at, Var(gradient.name), mask=at < M))
    return leave


def _one_tile(tile: Tile, sweep: TiledSweep) -> None:
    kernel, block, columns = tile.kernel, tile.kernel.tile, gradients_in(sweep, "column")
    of_rows = Block()
    tile.positions()
    load_row_gradients(of_rows, Var("row"), sweep, columns)
    # Between a product and its use, a load would have Triton wait for the product. A derivative that changes with the
    # pair or a position takes the registers that the other order needs.
    is_first = all(is_invariant(derivative) for derivative in sweep.gradients.dots)
    if is_first:
        load_row_sums(block, Var("row"), sweep)
    tile.dots()
    if sweep.weighs_values:
        dout = tile.load("dout", "DV")
        block.let("dp", dot_rows(Var("v"), dout))
    if not is_first:
        load_row_sums(block, Var("row"), sweep)
    tile.score([*sweep.gradients.dots, *(g.derivative for g in columns)])
    weigh(tile, columns, of_rows, needs_weights=True)
    if sweep.weighs_values:
        p = Var("p") * Var("dout_size") if sweep.dout_has_any_size else Var("p")
        add_with_care(tile, block, "dv", Var("dv"), p, dout)
    for pair, derivative in zip(sweep.score.dots, sweep.gradients.dots, strict=True):
        value: Expr = Var("ds")
        if not scales_after_sum(sweep, pair.key, derivative):
            value = tile.shown(kernel.terms.times(value, derivative), derivative)
        name = f"d{pair.key}"
        add_with_care(tile, block, name, Var(name), value, Var(pair.query))
    for gradient in columns:
        block.assign(Var(gradient.name), tl.sum(add_up(tile, gradient), 1), "+=")


def _finish(kernel: Kernel, sweep: TiledSweep) -> None:
    row = kernel.store.let("row", ROW)
    values: list[Gradient] = [("v", "DV", None)] if sweep.weighs_values else []
    store_gradients(kernel, KEYS, row, [*factors(sweep, "key"), *values])
