"""The kernel of few queries: one program folds its share of the keys into the sums of a tile of rows.

Enters: a sweep whose keys can be split. Leaves: the helper that adds one tile of keys, which is that of the forward
kernel, and the kernel. What it leaves of each row is not finished: a maximum and sums over the share, as [shares, B, H,
N]. A share without a key leaves what changes nothing: -inf and zeros.
"""

from __future__ import annotations

from attnc.errors import CompilerBug
from attnc.kernel.expressions import Expr, Var
from attnc.kernel.nodes import Function
from attnc.lower.names import part_of
from attnc.lower.split.share import SPLIT, SPLITS, find_share
from attnc.lower.tiled.again import end_unless_spoiled, is_spoiled
from attnc.lower.tiled.forward import (
    N,
    body_of,
    bounds_of_keys,
    lower_add_keys,
    point_to_heads,
)
from attnc.lower.tiled.frame import BATCH_ID, BLOCK_Q, HEAD_ID, TILE_ID, B, H, I, Kernel
from attnc.lower.tiled.layout import PACKED_QUERIES, QUERIES
from attnc.lower.tiled.loops import find_tiles
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.triton_terms import INT64, tl

GROUP, H_KV, DV = Var("group"), Var("h_kv"), Var("DV")
PLACE = ((SPLIT * Var("B") + B) * Var("H") + H) * N + I


def lower_split(sweep: TiledSweep) -> tuple[Function, Function]:
    """The helper and the kernel."""
    kernel = Kernel(sweep)
    if sweep.variants.split is None:
        raise CompilerBug("a sweep without shares")
    rows = _enter_packed(kernel) if sweep.variants.split.pack_gqa else _enter_head(kernel)
    _load_queries(kernel)
    add_keys, carried = lower_add_keys(kernel)
    tiles = find_tiles(bounds_of_keys(kernel), sweep.cover.keys)
    share = find_share(kernel.loops, tiles)
    share.loop(kernel.loops, body_of(add_keys, carried))
    if sweep.weighs_values:
        place = Var("part_acc_ptr") + PLACE * DV
        left = PACKED_QUERIES.left(place, "DV")
        end_unless_spoiled(kernel, [is_spoiled(left)])
    _store_parts(kernel, carried)
    return add_keys, kernel.kernel("_forward_split", f"One program: a share of the keys of {rows}.")


def _enter_packed(kernel: Kernel) -> str:
    """A program of rows, each a query of one head of a group: queries in order, the heads of each side by side."""
    program, r0 = kernel.program, Var("r0")
    program.comment("Row r is query r // group of head r % group, of those that share their keys.")
    kernel.enter(tl.cdiv(N * GROUP, BLOCK_Q), Var("HKV") * SPLITS)
    program.let("r0", TILE_ID * BLOCK_Q)
    program.let("row", r0 + tl.arange(0, BLOCK_Q)[:, None])
    _enter_share(kernel, "h_kv")
    program.let("h", H_KV * GROUP + Var("row") % GROUP)
    program.let("b", BATCH_ID.to(INT64))
    program.let("i_first", r0 // GROUP)
    program.let("i_last", (tl.minimum(r0 + BLOCK_Q, N * GROUP) - 1) // GROUP)
    program.let("i", Var("row") // GROUP)
    return "BLOCK_Q rows, of one key head"


def _enter_head(kernel: Kernel) -> str:
    """A program of queries of one head."""
    program = kernel.program
    kernel.enter(tl.cdiv(N, BLOCK_Q), Var("H") * SPLITS)
    program.let("q0", TILE_ID * BLOCK_Q)
    _enter_share(kernel, "h")
    program.let("b", BATCH_ID.to(INT64))
    program.let("i_first", QUERIES.start)
    program.let("i_last", tl.minimum(QUERIES.start + BLOCK_Q, N) - 1)
    program.let("h_kv", H // GROUP)
    program.let("i", QUERIES.start + tl.arange(0, BLOCK_Q)[:, None])
    return "BLOCK_Q queries of one head"


def _enter_share(kernel: Kernel, head: str) -> None:
    """Shares of one head are neighbors."""
    kernel.program.let("split", HEAD_ID % SPLITS)
    kernel.program.let(head, (HEAD_ID // SPLITS).to(INT64))


def _load_queries(kernel: Kernel) -> None:
    """Pointers to the heads of the program, and its rows of every tensor of queries."""
    point_to_heads(kernel)
    for name, width in dict.fromkeys((pair.query, pair.width) for pair in kernel.sweep.score.dots):
        rows = PACKED_QUERIES.rows(Var(f"{name}_ptr"), Var(f"{name}_stride_t"), width)
        kernel.loads.let(name, rows)


def _store_parts(kernel: Kernel, carried: tuple[str, ...]) -> None:
    store, place = kernel.store, kernel.store.let("place", PLACE)
    for name in carried:
        ptr: Expr = Var(f"{part_of(name)}_ptr")
        if name == "acc":
            store.do(PACKED_QUERIES.store(ptr + place * DV, Var("acc"), "DV"))
        else:
            store.do(tl.store(ptr + place, Var(name)[:, None], mask=PACKED_QUERIES.inside))
