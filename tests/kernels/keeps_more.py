"""A schedule for a test: a CPU path without kernels, whose operator leaves and saves what no other does.

`kept` is the largest score of each row once more, and the backward pass reads it in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from attnc.algebra.fold import Softmax
from attnc.analyze.facts import Facts, Reason
from attnc.ir.nodes import Attention
from attnc.kernel.expressions import Expr, Tuple, Var
from attnc.kernel.nodes import Assign, If, Param, Return, Stmt
from attnc.lower.make_sweep import make_sweeps
from attnc.lower.schedule import ReadChecks, Schedule, SweepKernels
from attnc.lower.tiled.schedule import TILED, lower_tiled
from attnc.lower.tiled.sweep import TiledSweep


def make(attention: Attention, facts: Facts) -> tuple[TiledSweep, ...] | Reason:
    *before, sweep = make_sweeps(attention, facts)
    if before or not isinstance(sweep.fold, Softmax) or sweep.variants.plain:
        return Reason("it keeps no log-sum-exp of its own")
    return (sweep,)


def lower(sweep: TiledSweep, checks: ReadChecks) -> SweepKernels:
    tiled = lower_tiled(sweep, checks).without_triton()
    *before, forward, backward = tiled.cpu
    results = tiled.signature.results
    signature = replace(
        tiled.signature, results={**results, "kept": results["lse"]}, saved=("out", "kept", "row_weight")
    )
    forward = replace(forward, body=tuple(_leaving_more(forward.body)))
    read: Expr = Var("kept")
    backward = replace(
        backward,
        params=tuple(map(Param, signature.backward)),
        body=(Assign(Var("row_max"), read), *backward.body),
    )
    return replace(tiled, signature=signature, cpu=(*before, forward, backward))


def _leaving_more(stmts: Sequence[Stmt]) -> Iterator[Stmt]:
    for stmt in stmts:
        match stmt:
            case Return(Tuple((out, lse, largest, weight))):
                yield Return(Tuple((out, lse, largest.call("clone"), largest, weight)))
            case If(cond, then, other, note):
                yield If(cond, tuple(_leaving_more(then)), tuple(_leaving_more(other)), note)
            case _:
                yield stmt


KEEPS_MORE = Schedule(
    "keeps_more",
    "a CPU path that keeps more",
    make,
    TILED.sign,
    lower,
    lambda sweeps, tiles: (),
    TILED.constants,
)
