"""The forward kernel: one program folds the keys that a tile of queries sees into the sums of its rows.

Enters: a sweep. Leaves: the helper that adds one tile of keys, and the kernel. Scores of softmax live in base 2 where
log2(e) has a factor to go into, so that `exp2` is all that is left of exp(s) = exp2(s * log2(e)). Weights of one score
each are added up as they come.
"""

from __future__ import annotations

from collections.abc import Callable

from attnc.algebra.derivative import ONE
from attnc.algebra.fold import Fold, Largest, Softmax, Sums
from attnc.ir.nodes import Real, Score, Size
from attnc.ir.walk import holds
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, List, Var
from attnc.kernel.nodes import Function
from attnc.lower.scope import note_of
from attnc.lower.tiled.again import add_with_care, end_unless_spoiled, left_rows
from attnc.lower.tiled.bounds import Bounds
from attnc.lower.tiled.frame import (
    BLOCK_K,
    BLOCK_Q,
    FLOAT32,
    MINUS_INF,
    B,
    H,
    Kernel,
    call_helper,
    exponential,
    log_sum_exp,
    scaled,
    zeros,
)
from attnc.lower.tiled.layout import QUERIES, parts_of
from attnc.lower.tiled.listed import find_listed
from attnc.lower.tiled.loops import Body, Visits, find_visits
from attnc.lower.tiled.remembered import remember
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.tiled.tile import Tile
from attnc.lower.triton_terms import tl

N, DV = Var("N"), Var("DV")
count_visible = function("_count_visible")


def lower_forward(sweep: TiledSweep) -> tuple[Function, Function]:
    """The helper and the kernel."""
    kernel = Kernel(sweep)
    enter_query_tile(kernel)
    add_keys, carried = lower_add_keys(kernel)
    visits = visits_of_keys(kernel)
    visits.loop(kernel.loops, body_of(add_keys, carried))
    if sweep.weighs_values:
        end_unless_spoiled(kernel, [left_rows("out", head_rows(H), QUERIES, "DV")])
    if isinstance(sweep.fold, Softmax):
        _finish(kernel)
    else:
        _finish_sums(kernel)
    return add_keys, kernel.kernel("_forward", "One program: BLOCK_Q queries of one head.")


def lower_add_keys(kernel: Kernel) -> tuple[Function, tuple[str, ...]]:
    """The helper that adds one tile of keys to what a program keeps of its rows, and the names of that."""
    tile = Tile(kernel, "j")
    tile.positions()
    tile.dots()
    tile.score()
    if kernel.sweep.weighs_values:
        kernel.accumulators.let("acc", zeros(BLOCK_Q, Var(parts_of("DV"))))
    carried, doc = STEPS[type(kernel.sweep.fold)](tile)
    return kernel.helper("_add_keys", "k0", carried, doc), carried


def enter_query_tile(kernel: Kernel, first_row: Expr | None = None) -> None:
    """A program of queries: where it is (in a strip from `first_row` on), and the queries that it keeps."""
    rows = N if first_row is None else tl.minimum(Var("strip"), N - first_row)
    kernel.enter(tl.cdiv(rows, BLOCK_Q), Var("H"))
    place = kernel.tile_of(kernel.sweep.cover.keys) * BLOCK_Q
    kernel.start(QUERIES, place if first_row is None else first_row + place)
    kernel.program.let("h_kv", H // Var("group"))
    point_to_heads(kernel)
    kernel.loads.let("i", QUERIES.positions[:, None])
    for name, width in dict.fromkeys((pair.query, pair.width) for pair in kernel.sweep.score.dots):
        kernel.loads.let(name, kernel.rows(name, QUERIES, width))


def point_to_heads(kernel: Kernel) -> None:
    """Pointers to the head of the program, of queries, and to the one of keys and values that it reads."""
    for name in dict.fromkeys(pair.query for pair in kernel.sweep.score.dots):
        kernel.point(name, H)
    for name in dict.fromkeys(pair.key for pair in kernel.sweep.score.dots):
        kernel.point(name, Var("h_kv"))
    if kernel.sweep.weighs_values:
        kernel.point("v", Var("h_kv"))


def visits_of_keys(kernel: Kernel) -> Visits:
    """The tiles of keys that the program's queries see; their bounds are written."""
    if "j" not in kernel.sweep.cover.listed:
        return find_visits(bounds_of_keys(kernel), kernel.sweep.cover.keys)
    kernel.bounds.comment(
        "Tiles of keys, from the lists: edge tiles hold a visible key, full tiles hide none."
    )
    return find_listed(kernel.bounds, kernel, "j")


def body_of(helper: Function, carried: tuple[str, ...]) -> Body:
    """What a loop does with a tile: it calls the helper."""

    def body(block: Block, first: Expr, is_edge: bool) -> None:
        call = call_helper(helper, first, is_edge)
        if carried:
            block.lets(carried, call)
        else:
            block.do(call)

    return body


def bounds_of_keys(kernel: Kernel) -> Bounds:
    """Where the bounds of the keys that the program's queries see are written."""
    kernel.bounds.comment(
        "Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none."
    )
    kernel.name_reads(kernel.sweep.cover.keys, kernel.bounds)
    return Bounds(kernel.bounds, kernel.terms, Size("M"), BLOCK_K)


def head_rows(head: Expr) -> Expr:
    """Where the rows of a head begin in a contiguous [B, H, N] tensor."""
    return (B * Var("H") + head) * N


def _fold(tile: Tile) -> tuple[tuple[str, ...], str]:
    """The online softmax (Milakov & Gimelshein 2018; Dao et al. 2022): what it carries, and what it does."""
    accumulators = tile.kernel.accumulators
    accumulators.let("row_max", tl.full(List((BLOCK_Q,)), MINUS_INF, FLOAT32))
    accumulators.let("row_sum", tl.zeros(List((BLOCK_Q,)), FLOAT32))
    row_max, row_sum, acc, block = Var("row_max"), Var("row_sum"), Var("acc"), tile.kernel.tile
    sweep = tile.kernel.sweep
    block.blank()
    new_max = block.let("new_max", tl.maximum(row_max, tl.max(Var("score"), 1)))
    no_key = tl.where(new_max.equals(MINUS_INF), 0.0, new_max)
    shift = block.let("shift", no_key, "no key yet: avoid inf - inf")
    p = block.let("p", exponential(sweep, Var("score") - shift[:, None]))
    rescale = block.let("rescale", exponential(sweep, row_max - shift))
    block.assign(row_sum, row_sum * rescale + tl.sum(p, 1))
    block.assign(row_max, new_max)
    doc = "Fold keys [k0, k0 + BLOCK_K) into the running softmax of one query tile."
    statistics = ("row_max", "row_sum")
    if sweep.weighs_values:
        v = tile.load("v", "DV")
        add_with_care(tile, block, "acc", scaled(acc, rescale[:, None]), p, v)
    return _carried(sweep, *statistics), doc


def _add(tile: Tile) -> tuple[tuple[str, ...], str]:
    """Weighted values, and the other sums of the row: what is carried, and what is done."""
    kernel, block, fold = tile.kernel, tile.kernel.tile, tile.kernel.sweep.fold
    kernel.terms.named[Score()] = Var("score")
    kernel.scope.bind(fold.terms, tile.place)
    block.blank()
    named: dict[Real, str] = {}
    if fold.weight is not None:
        named[fold.weight] = "p"
        pairs = _pairs(kernel.terms(fold.weight), fold.weight)
        block.let("p", pairs, note_of(kernel.sweep.spec.normalize))
    edge, full = Block(), Block()
    for n, each in enumerate(fold.sums, 1):
        kernel.accumulators.let(f"sum_{n}", tl.zeros(List((BLOCK_Q,)), FLOAT32))
        if each == ONE:
            edge.assign(Var(f"sum_{n}"), count_visible(Var("visible"), Var("score")), "+=")
            full.assign(Var(f"sum_{n}"), BLOCK_K, "+=")
        elif each not in named:
            named[each] = f"part_{n}"
            block.let(f"part_{n}", _pairs(kernel.terms(each), each))
    tile.hide(dict.fromkeys(named.values(), 0.0), edge.stmts, full.stmts)
    for n, each in enumerate(fold.sums, 1):
        if each != ONE:
            block.assign(Var(f"sum_{n}"), tl.sum(Var(named[each]), 1), "+=")
    if fold.weight is not None:
        v = tile.load("v", "DV")
        add_with_care(tile, block, "acc", Var("acc"), Var("p"), v)
    doc = "Add keys [k0, k0 + BLOCK_K) to the sums of one query tile."
    return _carried(kernel.sweep, *kernel.sweep.row_results), doc


def _seek(tile: Tile) -> tuple[tuple[str, ...], str]:
    """The first key with the largest number of the row: what is carried, and what is done."""
    kernel, block, (term,) = tile.kernel, tile.kernel.tile, tile.kernel.sweep.fold.sums
    kernel.terms.named[Score()] = Var("score")
    kernel.scope.bind([term], tile.place)
    block.blank()
    block.let("value", kernel.terms(term), note_of(term))
    tile.hide({"value": MINUS_INF})
    kernel.accumulators.let("largest", tl.full(List((BLOCK_Q,)), MINUS_INF, FLOAT32))
    kernel.accumulators.let("at", tl.full(List((BLOCK_Q,)), -1, tl.value("int32")))
    largest, at = Var("largest"), Var("at")
    block.lets(("here", "column"), tl.max(Var("value"), 1, return_indices=True))
    found = block.let("found", Var("k0") + Var("column"))
    earlier = (Var("here").equals(largest)) & (found < at)
    block.assign(at, tl.where((Var("here") > largest) | earlier, found, at).to(tl.value("int32")))
    block.assign(largest, tl.maximum(largest, Var("here")))
    return ("largest", "at"), "Look among keys [k0, k0 + BLOCK_K) for the largest number of each row."


Step = Callable[[Tile], tuple[tuple[str, ...], str]]
STEPS: dict[type[Fold], Step] = {Softmax: _fold, Sums: _add, Largest: _seek}


def _carried(sweep: TiledSweep, *statistics: str) -> tuple[str, ...]:
    """What goes from tile to tile: the weighted values, where there are any, and statistics of the rows."""
    return ("acc", *statistics) if sweep.weighs_values else statistics


def _pairs(value: Expr, term: Real) -> Expr:
    """A number of each pair, also where it is the same for all of them."""
    if holds(term, Score):
        return value
    return tl.zeros(List((BLOCK_Q, BLOCK_K)), FLOAT32) + value


def _finish(kernel: Kernel) -> None:
    store = kernel.store
    row_sum: Expr = Var("row_sum")
    if kernel.sweep.weighs_values:
        total = row_sum
        if kernel.sweep.rows.can_be_empty:
            no_key = tl.where(row_sum.equals(0.0), 1.0, row_sum)
            total = store.let("total", no_key, "a row that sees no key: 0")
        store.let("out", function("_divided")(Var("acc"), total[:, None]))
    row = store.let("row", head_rows(H))
    if kernel.sweep.weighs_values:
        _store_values(kernel, Var("out"))
    rows = store.let("rows", QUERIES.positions)
    lse = log_sum_exp(kernel.sweep, Var("row_max"), row_sum)
    store.do(tl.store(Var("lse_ptr") + row + rows, lse, mask=rows < N))
    remember(store, kernel.sweep, row, rows, mask=rows < N)


def _finish_sums(kernel: Kernel) -> None:
    store = kernel.store
    row = store.let("row", head_rows(H))
    if kernel.sweep.weighs_values:
        _store_values(kernel, Var("acc"))
    if kernel.sweep.row_results:
        rows = store.let("rows", QUERIES.positions)
        for name in kernel.sweep.row_results:
            store.do(tl.store(Var(f"{name}_ptr") + row + rows, Var(name), mask=rows < N))


def _store_values(kernel: Kernel, values: Expr) -> None:
    place = Var("out_ptr") + Var("row") * DV
    kernel.store.do(QUERIES.store(place, values, "DV"))
