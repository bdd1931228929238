"""The argmax of a row: a pass has found which key it is, and torch computes the number there.

Enters: a sweep that looks for the largest number of each row. Leaves: `_numbers_1(at, q, k, ...)`: the score of each
query and the key that was found for it, and the number of that score. So a maximum gets its gradient from torch, at
one pair for each row, and no kernel goes over the keys for it again.
"""

from __future__ import annotations

from attnc.ir.nodes import Int, Score
from attnc.kernel.build import Block
from attnc.kernel.expressions import Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.scope import note_of
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import DTYPE, TorchTerms, torch


class _PairTerms(TorchTerms):
    """Terms at one pair for each row; every array is read there and nowhere else."""

    def is_whole_axis(self, index: Int, size: Int) -> bool:
        return False


def lower_at_key(sweep: TiledSweep) -> Function:
    """`_numbers_1(at, ...)`: one number [B, H, N]."""
    block, terms = Block(), _PairTerms(sweep.attention, {}, sweep.cover.requires, sweep.tokens.places)
    device = Var("q").attr("device")
    block.lets(("B", "H", "N", "D"), Var("q").attr("shape"))
    block.lets(("HKV", "M"), Var("k").attr("shape")[1:3])
    block.let("dtype", torch.promote_types(Var("q").attr("dtype"), torch.value("float32")))
    with block.when(Var("M").equals(0)) as none:
        none.returns(torch.ones_like(Var("at"), dtype=DTYPE))
    block.let("b", torch.arange(Var("B"), device=device)[:, None, None])
    block.let("h", torch.arange(Var("H"), device=device)[:, None])
    block.let("i", torch.arange(Var("N"), device=device))
    block.let("nothing", Var("at") < 0)
    block.let("j", Var("at").call("long").call("clamp", 0))
    heads = Var("h") // (Var("H") // Var("HKV"))
    for pair in sweep.score.dots:
        key = Var(pair.key)[Var("b"), heads, Var("j")].to(DTYPE)
        name = "qk" if (pair.query, pair.key) == ("q", "k") else f"{pair.query}_{pair.key}"
        terms.named[pair.dot] = block.let(name, (Var(pair.query).to(DTYPE) * key).call("sum", -1))
    terms.named[Score()] = block.let("score", terms(sweep.score.term), note_of(sweep.attention.score))
    ((name, term),) = sweep.numbers
    value = block.let(sweep.attention.variable(name), terms(term), note_of(term))
    block.returns(torch.where(Var("nothing"), 1.0, value))
    known = map(Param, dict.fromkeys(("at", *sweep.signature.forward)))
    doc = "The number of the key that was found for each row; 1 where the row sees none."
    return block.function(sweep.named("_numbers"), known, doc, "_without_autocast")
