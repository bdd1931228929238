"""The kernel in front of the backward kernels: what they need of each query, found once.

Enters: a sweep of softmax. Leaves: the kernel. Its programs write the logarithm of each row's sum, and where values are
weighed, delta: sum(dout * out) - dlse. `out` and `dlse` are contiguous; `dout` has the strides that autograd gave it.
"""

from __future__ import annotations

from attnc.kernel.build import function
from attnc.kernel.expressions import Expr, Var
from attnc.kernel.nodes import Function
from attnc.lower.tiled.forward import N, head_rows
from attnc.lower.tiled.frame import BLOCK_Q, FLOAT32, TILE_ID, H, Kernel
from attnc.lower.tiled.layout import QUERIES, block_width
from attnc.lower.tiled.remembered import store_logarithms
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.triton_terms import tl

DV = Var("DV")


def lower_delta(sweep: TiledSweep) -> Function:
    """The kernel."""
    kernel = Kernel(sweep)
    kernel.enter(tl.cdiv(N, BLOCK_Q), Var("H"))
    kernel.start(QUERIES, TILE_ID * BLOCK_Q)
    if sweep.weighs_values:
        kernel.point("dout", H)
        kernel.stepped["dout"] = None
    row = kernel.loads.let("row", head_rows(H))
    at = kernel.loads.let("rows", QUERIES.positions)
    if sweep.weighs_values:
        dout = kernel.loads.let("dout", _load(Var("dout_ptr"), Var("dout_stride_t")))
        out = kernel.loads.let("out", _load(Var("out_ptr") + row * DV, DV))
        dlse = kernel.loads.let("dlse", tl.load(Var("dlse_ptr") + row + at, mask=at < N, other=0.0))
        delta = tl.sum(dout * out, 1) - dlse
        kernel.store.do(tl.store(Var("delta_ptr") + row + at, delta, mask=at < N))
    store_logarithms(kernel.store, sweep, row, at, inside=at < N)
    what = "sum(dout * out) - dlse, and lse," if sweep.weighs_values else "lse"
    return kernel.kernel("_delta", f"One program: {what} for BLOCK_Q queries of one head.")


def _load(base: Expr, step: Expr) -> Expr:
    """Rows in one: there is no product of matrices here."""
    width = Var(block_width("DV"))
    return function("_load_tile")(base, QUERIES.start, N, step, DV, BLOCK_Q, width, True).to(FLOAT32)
