"""How many pairs of a query and a key the tiles of a call hold that are visited.

Enters: a sweep. Leaves: `_pairs_seen`, which counts them as the CPU path visits them, for counters of operations.
"""

from __future__ import annotations

from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Tuple, Var
from attnc.kernel.nodes import For, Function, Param
from attnc.lower.cpu.keys import call_keys
from attnc.lower.lists import call_kinds
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import torch

N, M, TILE = Var("N"), Var("M"), Var("TILE")


def lower_pairs(sweep: TiledSweep, keys: Function, kinds: Function | None) -> Function:
    """`_pairs_seen(q, k, ...)`, of what an operator takes."""
    signature, top, tile = sweep.signature, Block(), Block()
    top.lets(("B", "H", "N", "D"), Var("q").attr("shape"))
    top.lets(("HKV", "M"), Var("k").attr("shape")[1:3])
    if sweep.weighs_values:
        top.let("DV", Var("v").attr("shape")[3])
    floats = signature.floats
    top.lets(floats, Var("floats") if floats[1:] else Var("floats")[0], of_spec=True)
    if kinds:
        top.let("dtype", torch.promote_types(Var("q").attr("dtype"), torch.value("float32")))
        top.let("device", Var("q").attr("device"))
        top.lets(("rows", "columns"), Tuple((TILE, TILE)))
        top.let("kinds", call_kinds(kinds))
    top.let("pairs", 0)
    tile.let("q1", function("min")(Var("q0") + TILE, N))
    tile.lets(("seen", "edges"), call_keys(keys))
    tile.assign(Var("pairs"), (Var("q1") - Var("q0")) * function("_count")(Var("seen")), "+=")
    top.stmts.append(For(Var("q0"), function("range")(0, N, TILE), tuple(tile.stmts)))
    top.returns(Var("B") * Var("H") * Var("pairs"))
    known = map(Param, (*signature.tensors, *signature.wholes, "floats"))
    doc = "How many pairs of a query and a key are in the tiles that are visited, of all heads."
    return top.function("_pairs_seen", known, doc)
