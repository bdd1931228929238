"""The kernel that puts together what the shares of a row have left: one program for each row.

Enters: a sweep whose keys can be split. Leaves: the kernel. It takes `SHARES` shares at a time, in order, and writes
what the forward kernel writes. Shares that are not there count as shares without a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attnc.kernel.build import Block, function
from attnc.kernel.nodes import Expr, Function, List, Lit, Var
from attnc.lower.split.forward import DV
from attnc.lower.split.share import SPLITS
from attnc.lower.sweep import Sweep
from attnc.lower.tiled.frame import (
    FLOAT32,
    MINUS_INF,
    Kernel,
    block_width,
    exponential,
    log_sum_exp,
)
from attnc.lower.triton_terms import INT32, INT64, tl

ROW, PLACE, INSIDE, SHARES = Var("row"), Var("place"), Var("inside"), Var("SHARES")
COLUMN = List((SHARES, Lit(1)))
LARGEST_INT = 2**31 - 1


def lower_combine(sweep: Sweep) -> Function:
    """The kernel."""
    kernel = Kernel(sweep)
    where = kernel.where
    where.let("row", tl.program_id(0).to(INT64))
    where.let("rows", tl.num_programs(0).to(INT64))
    where.let("part", tl.arange(0, SHARES)[:, None])
    MERGE[sweep.weights.kind](kernel)
    return kernel.kernel("_combine", "One program: one row, from what each share of its keys has left.")


@contextmanager
def _each_share(block: Block) -> Iterator[Block]:
    """A loop over shares: which of them are there, and where they have this row."""
    with block.loop("first", function("range")(0, SPLITS, SHARES)) as inside:
        inside.let("inside", Var("first") + Var("part") < SPLITS)
        inside.let("place", (Var("first") + Var("part")) * Var("rows") + ROW)
        yield inside


def _load(name: str, otherwise: Expr | float) -> Expr:
    return tl.load(Var(f"part_{name}_ptr") + PLACE, mask=INSIDE, other=otherwise)


def _merge_softmax(kernel: Kernel) -> None:
    """A maximum of all shares, and then their sums, each by as much as its own maximum is below it."""
    sweep, loops, store = kernel.sweep, kernel.loops, kernel.store
    row_max = _find_largest(kernel, "max", "row_max")
    shift = row_max
    if sweep.rows.can_be_empty:
        no_key = tl.where(row_max.equals(MINUS_INF), 0.0, row_max)
        shift = loops.let("shift", no_key, "a row that sees no key: avoid inf - inf")
    _start_sums(kernel, "row_sum")
    with _each_share(loops) as inside:
        rescale = inside.let("rescale", exponential(sweep, _load("max", MINUS_INF) - shift))
        inside.assign(Var("row_sum"), rescale * _load("sum", 0.0), "+=")
        if sweep.weighs_values:
            inside.assign(Var("acc"), rescale * _load_values(), "+=")
    store.let("row_sum", tl.sum(Var("row_sum")))
    if sweep.weighs_values:
        total: Expr = Var("row_sum")
        if sweep.rows.can_be_empty:
            no_key = tl.where(total.equals(0.0), 1.0, total)
            total = store.let("total", no_key, "a row that sees no key: 0")
        _store_values(store, tl.sum(Var("acc"), 0) / total)
    store.do(tl.store(Var("lse_ptr") + ROW, log_sum_exp(sweep, row_max, Var("row_sum"))))


def _merge_sums(kernel: Kernel) -> None:
    sweep, loops, store = kernel.sweep, kernel.loops, kernel.store
    _start_sums(kernel, *sweep.row_results)
    with _each_share(loops) as inside:
        for name in sweep.row_results:
            inside.assign(Var(name), _load(name, 0.0), "+=")
        if sweep.weighs_values:
            inside.assign(Var("acc"), _load_values(), "+=")
    if sweep.weighs_values:
        _store_values(store, tl.sum(Var("acc"), 0))
    for name in sweep.row_results:
        store.do(tl.store(Var(f"{name}_ptr") + ROW, tl.sum(Var(name))))


def _merge_largest(kernel: Kernel) -> None:
    """Of the shares that hold the largest number, the first key; -1 where none has seen a key."""
    loops, at = kernel.loops, Var("at")
    largest = _find_largest(kernel, "largest", "largest")
    loops.let("at", tl.full(COLUMN, LARGEST_INT, INT32))
    with _each_share(loops) as inside:
        found = tl.where(_load("largest", MINUS_INF).equals(largest), _load("at", -1), LARGEST_INT)
        inside.let("at", tl.minimum(at, found))
    kernel.store.do(tl.store(Var("at_ptr") + ROW, tl.min(at)))


MERGE = {"softmax": _merge_softmax, "sums": _merge_sums, "largest": _merge_largest}


def _find_largest(kernel: Kernel, part: str, name: str) -> Expr:
    """The largest number of all shares, by the name it has in the forward kernel."""
    kernel.keep.let(name, tl.full(COLUMN, MINUS_INF, FLOAT32))
    with _each_share(kernel.keep) as inside:
        inside.let(name, tl.maximum(Var(name), _load(part, MINUS_INF)))
    return kernel.keep.let(name, tl.max(Var(name)))


def _start_sums(kernel: Kernel, *names: str) -> None:
    """Sums of each of the shares that are taken at a time; they meet when all have been."""
    for name in names:
        kernel.loops.let(name, tl.zeros(COLUMN, FLOAT32))
    if kernel.sweep.weighs_values:
        kernel.loops.let("acc", tl.zeros(List((SHARES, Var(block_width("DV")))), FLOAT32))


def _load_values() -> Expr:
    return function("_load_tile_at")(Var("part_acc_ptr") + PLACE * DV, INSIDE, DV, Var(block_width("DV")))


def _store_values(store: Block, values: Expr) -> None:
    col = store.let("col", tl.arange(0, Var(block_width("DV"))))
    place = Var("out_ptr") + ROW * DV + col
    out = values.to(Var("out_ptr").attr("dtype").attr("element_ty"))
    store.do(tl.store(place, out, mask=col < DV))
