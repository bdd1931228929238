"""A schedule for a test: a CPU path without kernels, whose operator leaves and saves what no other does.

`kept` is the log-sum-exp once more, and the backward pass reads it in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from attnc.algebra.fold import Softmax
from attnc.analyze.facts import Reason
from attnc.kernel.nodes import Assign, Expr, If, Param, Return, Stmt, Tuple, Var
from attnc.lower.schedule import ReadChecks, Schedule, SweepKernels
from attnc.lower.sweep import Sweep
from attnc.lower.tiled.schedule import lower_tiled


def why_not(sweep: Sweep) -> Reason | None:
    is_softmax = isinstance(sweep.fold, Softmax) and sweep.weighs_values and sweep.variants.plain is None
    return None if is_softmax else Reason("it keeps no log-sum-exp of its own")


def lower(sweep: Sweep, checks: ReadChecks) -> SweepKernels:
    tiled = lower_tiled(sweep, checks).without_triton()
    *before, forward, backward = tiled.cpu
    results = tiled.signature.results
    signature = replace(tiled.signature, results={**results, "kept": results["lse"]}, saved=("out", "kept"))
    forward = replace(forward, body=tuple(_leaving_more(forward.body)))
    read: Expr = Var("kept")
    backward = replace(
        backward,
        params=tuple(map(Param, signature.backward)),
        body=(Assign(Var("lse"), read), *backward.body),
    )
    return replace(tiled, signature=signature, cpu=(*before, forward, backward))


def _leaving_more(stmts: Sequence[Stmt]) -> Iterator[Stmt]:
    for stmt in stmts:
        match stmt:
            case Return(Tuple((out, lse))):
                yield Return(Tuple((out, lse, lse.call("clone"))))
            case If(cond, then, other, note):
                yield If(cond, tuple(_leaving_more(then)), tuple(_leaving_more(other)), note)
            case _:
                yield stmt


KEEPS_MORE = Schedule("keeps_more", "a CPU path that keeps more", why_not, lower, lambda sweeps, tiles: ())
