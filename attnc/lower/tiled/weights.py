"""From a score back to the weights and to the gradient of the score.

Enters: a tile's `score` and the row statistics that the forward pass saved. Leaves: `p`, the weights, and `ds`, the
gradient of the score: ds = p * (dp - delta), where delta = sum(dout * out) - dlse (Dao et al. 2022, with the gradient
of the log-sum-exp folded in). Weights of one score each have ds = dp * dp/ds, and what comes through the row's sums.
"""

from __future__ import annotations

from attnc.algebra.derivative import ZERO, differentiate
from attnc.ir.nodes import Score
from attnc.kernel.build import Block
from attnc.kernel.nodes import Expr, Var
from attnc.lower.plan import Plan
from attnc.lower.scope import note_of
from attnc.lower.tiled.frame import LOG2E, MINUS_INF
from attnc.lower.tiled.tile import Tile
from attnc.lower.triton_terms import tl

I, N = Var("i"), Var("N")


def load_row_statistics(block: Block, row: Expr, plan: Plan) -> None:
    """Of softmax `lse` in base 2 and `delta`, else the gradients of the row's sums; shaped like `i`."""
    if plan.weights.kind == "sums":
        for n, each in enumerate(plan.weights.sums, 1):
            if differentiate(each, Score()) != ZERO:
                block.let(f"dsum_{n}", tl.load(Var(f"dsum_{n}_ptr") + row + I, mask=I < N, other=0.0))
        return
    lse = tl.load(Var("lse_ptr") + row + I, mask=I < N, other=0.0) * LOG2E
    block.let("lse", lse)
    if plan.rows.can_be_empty:
        empty = tl.where(Var("lse").equals(MINUS_INF), 0.0, Var("lse"))
        block.let("lse", empty, "a row that sees no key: avoid inf - inf")
    block.let("delta", tl.load(Var("delta_ptr") + row + I, mask=I < N, other=0.0))


def weigh(tile: Tile, needs_weights: bool = False) -> None:
    """`ds` of one tile, and `p` if asked for. `dp` comes first: its dot product runs while the score is computed."""
    block, weights = tile.kernel.tile, tile.kernel.plan.weights
    block.blank()
    if weights.kind == "softmax":
        block.let("p", tl.exp2(Var("score") - Var("lse")))
        block.let("ds", Var("p") * (Var("dp") - Var("delta")))
        return
    assert weights.weight is not None
    terms = tile.kernel.terms
    terms.named[Score()] = Var("score")
    slope = differentiate(weights.weight, Score())
    slopes = [differentiate(each, Score()) for each in weights.sums]
    tile.kernel.scope.bind([weights.weight, slope, *slopes], tile.place)
    if needs_weights:
        block.let("p", terms(weights.weight), note_of(weights.weight))
    ds: Expr | None = None if slope == ZERO else terms.times(Var("dp"), slope)
    for n, each in enumerate(slopes, 1):
        if each != ZERO:
            part = terms.times(Var(f"dsum_{n}"), each)
            ds = part if ds is None else ds + part
    block.let("ds", ds if ds is not None else Var("dp") * 0.0)
    tile.hide({"p": 0.0, "ds": 0.0} if needs_weights else {"ds": 0.0})
