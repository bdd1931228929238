"""The kernel of gradients that no register can sum: one number for each visible pair of a strip of queries.

Enters: a sweep. Leaves: the helper that writes one tile, and the kernel, if an array needs it. A captured array whose
index mixes query and key positions gets its gradient from these numbers, which torch adds up in a fixed order. A strip
is as many queries as fit a bounded buffer, so nothing here grows with queries times keys.
"""

from __future__ import annotations

from attnc.kernel.build import Block
from attnc.kernel.expressions import Var
from attnc.kernel.nodes import Function
from attnc.lower.tiled.again import end_unless_spoiled_backward, lost_rows
from attnc.lower.tiled.forward import N, body_of, enter_query_tile, head_rows, visits_of_keys
from attnc.lower.tiled.frame import B, H, Kernel
from attnc.lower.tiled.layout import QUERIES
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.tiled.tile import Tile, dot_rows
from attnc.lower.tiled.weights import add_up, gradients_in, load_row_statistics, weigh
from attnc.lower.triton_terms import INT64, tl

FIRST, M = Var("first_row"), Var("M")


def lower_backward_pairs(sweep: TiledSweep) -> tuple[Function, ...]:
    """The helper and the kernel, or nothing."""
    gradients = gradients_in(sweep, "pair")
    if not gradients:
        return ()
    kernel = Kernel(sweep)
    enter_query_tile(kernel, FIRST)
    if sweep.weighs_values:
        kernel.point("dout", H)
    row = kernel.loads.let("row", head_rows(H))
    load_row_statistics(kernel.loads, row, sweep, gradients)
    end_unless_spoiled_backward(kernel, lost_rows(sweep, head_rows(H), QUERIES))
    if sweep.weighs_values:
        kernel.loads.let("dout", kernel.rows("dout", QUERIES, "DV"))
    strip_row = (B * Var("H") + H) * Var("strip") + Var("i") - FIRST
    kernel.loads.let("pair_row", strip_row.to(INT64) * M)

    tile = Tile(kernel, "j")
    tile.positions()
    tile.dots()
    if sweep.weighs_values:
        v = tile.load("v", "DV")
        kernel.tile.let("dp", dot_rows(Var("dout"), v))
    tile.score([g.derivative for g in gradients])
    weigh(tile, gradients, of_rows=Block())
    inside = (Var("i") < N) & (Var("j") < M)
    for gradient in gradients:
        value = add_up(tile, gradient)
        place = Var(f"{gradient.name}_ptr") + Var("pair_row") + Var("j")
        kernel.tile.do(tl.store(place, value, mask=inside))
    doc = "Write what each pair with keys [k0, k0 + BLOCK_K) says about the captured arrays."
    helper = kernel.helper("_store_pairs", "k0", (), doc)
    visits_of_keys(kernel).loop(kernel.loops, body_of(helper, ()))
    return helper, kernel.kernel(
        "_backward_pairs", "One program: the pairs of BLOCK_Q queries of one head, in a strip."
    )
