"""What the spec asks of single tokens, as torch operations before the kernels.

Enters: a sweep. Leaves: `_per_token`, which computes what `query`, `key`, `value` and vectors in the score ask of one
token. It is not there where the spec asks for nothing. Torch differentiates.
"""

from __future__ import annotations

from attnc.ir.nodes import KEY_HEAD
from attnc.kernel.build import Block
from attnc.kernel.expressions import Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.scope import note_of
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.vectors import ExactVectors, Vectors, lay_out


def lower_per_token(sweep: TiledSweep) -> Function | None:
    """`_per_token(q, k, v, ...)`: the tensors that the kernel takes; None where they are q, k and v themselves."""
    if not sweep.tokens.maps and not sweep.tokens.per_query_head:
        return None
    block, vectors = Block(), Vectors(sweep)
    of_keys = vectors if sweep.tokens.per_query_head else Vectors(sweep, {KEY_HEAD: Var("h_kv")})
    vectors.enter(block)
    if sweep.tokens.per_query_head:
        for name in ("k", "v"):
            block.let(name, Var(name).call("repeat_interleave", Var("H") // Var(name).attr("shape")[1], 1))
    vectors.name_sums(block, (each.term for each in sweep.tokens.maps if each.side != "condition"))
    of_keys.terms.sums = vectors.terms.sums
    for token_map in sweep.tokens.maps:
        name, term = token_map.name, token_map.term
        if token_map.side == "condition":
            found = block.let(name, ExactVectors(sweep).condition(term), note_of(term))
            block.let(name, lay_out(found, term))
        else:
            block.let(name, (of_keys if token_map.side == "j" else vectors).whole(token_map))
    block.returns(*map(Var, sweep.signature.made))
    names = ["q", "k", "v", "scale", *(sweep.spec.variable(p.name) for p in sweep.spec.params)]
    doc = "What the spec asks of single tokens, once for each."
    return block.function("_per_token", map(Param, names), doc, "_without_autocast")
