"""Plain attention, which torch's own kernel for the CPU computes as fast as it gets.

Enters: a sweep. Leaves: the lines that hand a whole call over; none where the attention is not plain. The causal kernel
multiplies by the scale after it has hidden keys with -inf, so it needs a scale above 0; and it multiplies hidden values
by 0, so what it leaves is only taken where they were finite, or no row was spoiled. Half precision is computed in
float32: the kernel for bfloat16 is no faster than that forward, sums gradients of keys in bfloat16, with 1.6 times the
error at 2048 tokens, and takes seven times as long for them on processors without products of bfloat16.
"""

from __future__ import annotations

from attnc.kernel.build import function
from attnc.kernel.expressions import Expr, Lit, Op, Unary, Var
from attnc.lower.cpu.tile import TilePath


def hand_forward(path: TilePath) -> None:
    """`if ...: return ...`, above everything that tiles need."""
    _hand(path, [], "_forward_of_torch", ["q", "k", "v"])


def hand_backward(path: TilePath) -> None:
    """The same; torch's kernel has no gradient for the log-sum-exp."""
    no_dlse = Unary("not", Var("dlse").call("any"))
    _hand(path, [no_dlse], "_backward_of_torch", ["dout", "q", "k", "v", "out", "lse"])


def _hand(path: TilePath, also: list[Expr], name: str, tensors: list[str]) -> None:
    plain = path.sweep.variants.plain
    if plain is None:
        return
    scale = path.terms(plain.scale)
    suits: Expr = function("_suits_torch")(Var("q"), Var("k"), Var("v"))
    for condition in [scale > 0] * (plain.kind == "causal") + also:
        suits = Op("and", suits, condition)
    with path.top.when(suits, "plain attention") as handed:
        call = function(name)(*map(Var, tensors), scale, Lit(plain.kind == "causal"))
        if plain.kind != "causal":
            handed.returns(call)
            return
        results = handed.let("results", call)
        handed.comment(
            "Unless a row is spoiled by what it does not see: 0 times what is not finite is not 0."
        )
        with handed.when(Unary("not", function("_are_spoiled")(results))) as sound:
            sound.returns(results)
