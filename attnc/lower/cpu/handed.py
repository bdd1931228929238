"""Plain attention, which torch's own kernel for the CPU computes as fast as it gets.

Enters: a sweep. Leaves: the lines that hand a whole call over; none where the attention is not plain. The causal kernel
multiplies by the scale after it has hidden keys with -inf, so it needs a scale above 0; and it multiplies hidden values
by 0, so what it leaves is only taken where they were finite, or no row was spoiled. It finds the weights again from the
log-sum-exp, so that has to have the digits for them. Half precision is computed in float32: the kernel for bfloat16 is
no faster than that forward, sums gradients of keys in bfloat16, with 1.6 times the error at 2048 tokens, and takes
seven times as long for them on processors without products of bfloat16.
"""

from __future__ import annotations

from attnc.kernel.build import Block, chain, function
from attnc.kernel.expressions import Expr, List, Lit, Op, Unary, Var
from attnc.lower.cpu.tile import TilePath
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import torch

LOG2_E, LN_2 = 1.4426950408889634, 0.6931471805599453
SPOILED = "Unless a row is spoiled by what it does not see: 0 times what is not finite is not 0."
FAR = "Unless a score is so large that a float32 next to it has no digits for the logarithm of a sum."


def hand_forward(path: TilePath) -> None:
    """`if ...: return ...`, above everything that tiles need."""
    sweep = path.sweep
    if sweep.variants.plain is None:
        return
    with path.top.when(_suits(path, []), "plain attention") as handed:
        call = function("_forward_of_torch")(*map(Var, ("q", "k", "v")), *_options(path))
        handed.lets(("out", "lse"), call)
        handed.let("row_max", Var("lse") * LOG2_E if sweep.score.is_in_base_2 else Var("lse").call("clone"))
        handed.let("row_weight", torch.ones_like(Var("lse")))
        handed.comment(FAR)
        near = function("_are_near")(Var("row_max"))
        _return_sound(handed, sweep, [near], List((Var("out"), Var("lse"))), *map(Var, sweep.outputs))


def hand_backward(path: TilePath) -> None:
    """The same; torch's kernel has no gradient for the log-sum-exp."""
    sweep = path.sweep
    if sweep.variants.plain is None:
        return
    no_dlse = Unary("not", Var("dlse").call("any"))
    near = function("_are_near")(Var("row_max"))
    with path.top.when(_suits(path, [no_dlse, near])) as handed:
        logarithm = Var("row_weight").call("log2" if sweep.score.is_in_base_2 else "log")
        lse: Expr = Var("row_max") - logarithm
        handed.let("lse", lse * LN_2 if sweep.score.is_in_base_2 else lse)
        tensors = map(Var, ("dout", "q", "k", "v", "out", "lse"))
        results = handed.let("results", function("_backward_of_torch")(*tensors, *_options(path)))
        _return_sound(handed, sweep, [], results, results)


def _suits(path: TilePath, also: list[Expr]) -> Expr:
    """Is it a call for torch's kernel?"""
    plain = path.sweep.variants.plain
    assert plain is not None
    suits: Expr = function("_suits_torch")(Var("q"), Var("k"), Var("v"))
    for condition in [path.terms(plain.scale) > 0] * (plain.kind == "causal") + also:
        suits = Op("and", suits, condition)
    return suits


def _options(path: TilePath) -> tuple[Expr, Expr]:
    """The scale, and whether the attention is causal."""
    plain = path.sweep.variants.plain
    assert plain is not None
    return path.terms(plain.scale), Lit(plain.kind == "causal")


def _return_sound(
    block: Block, sweep: TiledSweep, conditions: list[Expr], left: Expr, *results: Expr
) -> None:
    """Return the results where all that torch's kernel has left can be taken."""
    assert sweep.variants.plain is not None
    if sweep.variants.plain.kind == "causal":
        block.comment(SPOILED)
        conditions = [*conditions, Unary("not", function("_are_spoiled")(left))]
    if not conditions:
        block.returns(*results)
        return
    with block.when(chain("and", conditions)) as sound:
        sound.returns(*results)
