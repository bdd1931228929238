"""The kernel that puts together what the shares of a row have left: one program for each row.

Enters: a sweep whose keys can be split. Leaves: the kernel. It takes `SHARES` shares at a time, in order, and writes
what the forward kernel writes. Shares that are not there count as shares without a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

from attnc.algebra.fold import Kept, Largest, Softmax, Sums
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, List, Lit, Var
from attnc.kernel.nodes import Function
from attnc.lower.names import part_of
from attnc.lower.split.forward import DV
from attnc.lower.split.share import SPLITS
from attnc.lower.tiled.frame import (
    FLOAT32,
    MINUS_INF,
    Kernel,
    exponential,
    log_sum_exp,
)
from attnc.lower.tiled.layout import block_width
from attnc.lower.tiled.remembered import remember
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.triton_terms import INT32, INT64, tl

ROW, PLACE, INSIDE, SHARES = Var("row"), Var("place"), Var("inside"), Var("SHARES")
COLUMN = List((SHARES, Lit(1)))
LARGEST_INT = 2**31 - 1


def lower_combine(sweep: TiledSweep) -> Function:
    """The kernel."""
    kernel = Kernel(sweep)
    program = kernel.program
    program.let("row", tl.program_id(0).to(INT64))
    program.let("rows", tl.num_programs(0).to(INT64))
    program.let("part", tl.arange(0, SHARES)[:, None])
    _merge(kernel)
    FINISH[type(sweep.fold)](kernel)
    return kernel.kernel("_combine", "One program: one row, from what each share of its keys has left.")


def _merge(kernel: Kernel) -> None:
    """The numbers of a row that a sweep keeps, and its values, of all shares: first the maximum, where there is one."""
    sweep, loops, kept = kernel.sweep, kernel.loops, kernel.sweep.fold.kept
    maximum = next((each for each in kept if each.merge == "max"), None)
    sums = [each for each in kept if each.merge == "sum"]
    if maximum:
        _find_largest(kernel, maximum)
    shift = _find_shift(kernel, maximum) if maximum and sums else None
    for each in sums:
        loops.let(each.name, tl.zeros(COLUMN, FLOAT32))
    if sweep.weighs_values:
        loops.let("acc", tl.zeros(List((SHARES, Var(block_width("DV")))), FLOAT32))
    for each in kept:
        if each.merge == "first":
            loops.let(each.name, tl.full(COLUMN, LARGEST_INT, INT32))
    with _each_share(loops) as inside:
        rescale: Expr | None = None
        if maximum and shift is not None:
            rescale = inside.let("rescale", exponential(sweep, _load(maximum) - shift))
        for each in sums:
            inside.assign(Var(each.name), _scaled(rescale, _load(each)), "+=")
        if sweep.weighs_values:
            inside.assign(Var("acc"), _scaled(rescale, _load_values()), "+=")
        for each in kept:
            if maximum and each.merge == "first":
                is_largest, at = _load(maximum).equals(Var(maximum.name)), Var(each.name)
                found = tl.where(is_largest, _load(each), LARGEST_INT)
                inside.let(each.name, tl.minimum(at, found))


def _scaled(factor: Expr | None, number: Expr) -> Expr:
    return number if factor is None else factor * number


def _find_shift(kernel: Kernel, maximum: Kept) -> Expr:
    """What exponents come down by: the maximum."""
    row_max = Var(maximum.name)
    if not kernel.sweep.rows.can_be_empty:
        return row_max
    no_key = tl.where(row_max.equals(MINUS_INF), 0.0, row_max)
    return kernel.loops.let("shift", no_key, "a row that sees no key: avoid inf - inf")


@contextmanager
def _each_share(block: Block) -> Iterator[Block]:
    """A loop over shares: which of them are there, and where they have this row."""
    with block.loop("first", function("range")(0, SPLITS, SHARES)) as inside:
        inside.let("inside", Var("first") + Var("part") < SPLITS)
        inside.let("place", (Var("first") + Var("part")) * Var("rows") + ROW)
        yield inside


def _load(kept: Kept) -> Expr:
    """What a share has left of a number; a share that is not there is one without a key."""
    nothing: Expr | float = MINUS_INF if kept.identity == -inf else kept.identity
    return tl.load(Var(f"{part_of(kept.name)}_ptr") + PLACE, mask=INSIDE, other=nothing)


def _find_largest(kernel: Kernel, maximum: Kept) -> None:
    name = maximum.name
    kernel.accumulators.let(name, tl.full(COLUMN, MINUS_INF, FLOAT32))
    with _each_share(kernel.accumulators) as inside:
        inside.let(name, tl.maximum(Var(name), _load(maximum)))
    kernel.accumulators.let(name, tl.max(Var(name)))


def _finish_softmax(kernel: Kernel) -> None:
    sweep, store = kernel.sweep, kernel.store
    store.let("row_sum", tl.sum(Var("row_sum")))
    if sweep.weighs_values:
        total: Expr = Var("row_sum")
        if sweep.rows.can_be_empty:
            no_key = tl.where(total.equals(0.0), 1.0, total)
            total = store.let("total", no_key, "a row that sees no key: 0")
        _store_values(store, tl.sum(Var("acc"), 0) / total)
    store.do(tl.store(Var("lse_ptr") + ROW, log_sum_exp(sweep, Var("row_max"), Var("row_sum"))))
    remember(store, sweep, ROW)


def _finish_sums(kernel: Kernel) -> None:
    sweep, store = kernel.sweep, kernel.store
    if sweep.weighs_values:
        _store_values(store, tl.sum(Var("acc"), 0))
    for name in sweep.row_results:
        store.do(tl.store(Var(f"{name}_ptr") + ROW, tl.sum(Var(name))))


def _finish_largest(kernel: Kernel) -> None:
    """-1 where no share has seen a key."""
    kernel.store.do(tl.store(Var("at_ptr") + ROW, tl.min(Var("at"))))


FINISH = {Softmax: _finish_softmax, Sums: _finish_sums, Largest: _finish_largest}


def _load_values() -> Expr:
    return function("_load_tile_at")(Var("part_acc_ptr") + PLACE * DV, INSIDE, DV, Var(block_width("DV")))


def _store_values(store: Block, values: Expr) -> None:
    col = store.let("col", tl.arange(0, Var(block_width("DV"))))
    place = Var("out_ptr") + ROW * DV + col
    out = values.to(Var("out_ptr").attr("dtype").attr("element_ty"))
    store.do(tl.store(place, out, mask=col < DV))
