"""From a score back to the weights and to the gradient of the score.

Enters: a tile's `score` and the row statistics that the forward pass saved. Leaves: `p`, the weights, and `ds`, the
gradient of the score: ds = p * (dp - delta), where delta = sum(dout * out) - dlse (Dao et al. 2022, with the gradient
of the log-sum-exp folded in).
"""

from __future__ import annotations

from attnc.analyze.facts import Rows
from attnc.kernel.build import Block
from attnc.kernel.nodes import Expr, Var
from attnc.lower.tiled.frame import LOG2E, MINUS_INF
from attnc.lower.triton_terms import tl

I, N = Var("i"), Var("N")


def load_row_statistics(block: Block, row: Expr, rows: Rows) -> None:
    """`lse` in base 2 and `delta`, shaped like `i`."""
    lse = tl.load(Var("lse_ptr") + row + I, mask=I < N, other=0.0) * LOG2E
    block.let("lse", lse)
    if rows.can_be_empty:
        empty = tl.where(Var("lse").equals(MINUS_INF), 0.0, Var("lse"))
        block.let("lse", empty, "a row that sees no key: avoid inf - inf")
    block.let("delta", tl.load(Var("delta_ptr") + row + I, mask=I < N, other=0.0))


def weigh(block: Block) -> None:
    """`p` and `ds` of one tile. `dp` comes first: its dot product runs while the score is computed."""
    block.blank()
    block.let("p", tl.exp2(Var("score") - Var("lse")))
    block.let("ds", Var("p") * (Var("dp") - Var("delta")))
