"""The delta kernel: for each query, sum(dout * out) - dlse, which both backward kernels need.

Enters: a plan. Leaves: the kernel. `out` and `dlse` are contiguous; `dout` has the strides that autograd gave it.
"""

from __future__ import annotations

from attnc.kernel.nodes import Function, Var
from attnc.lower.plan import Plan
from attnc.lower.tiled.forward import Q0, N, head_rows
from attnc.lower.tiled.frame import BLOCK_Q, FLOAT32, PROGRAM, H, Kernel, block_width, load_rows
from attnc.lower.triton_terms import tl

DV = Var("DV")


def lower_delta(plan: Plan) -> Function:
    """The kernel."""
    kernel = Kernel(plan)
    kernel.start("q0", PROGRAM * BLOCK_Q, "i", BLOCK_Q, N)
    kernel.point("dout", H)
    row = kernel.loads.let("row", head_rows(H))
    dout = kernel.loads.let("dout", kernel.rows("dout", Q0, "N", "DV", BLOCK_Q, True).to(FLOAT32))
    start = Var("out_ptr") + row * DV
    rows = load_rows(start, Q0, N, DV, DV, BLOCK_Q, Var(block_width("DV")), True)
    out = kernel.loads.let("out", rows.to(FLOAT32))
    at = kernel.loads.let("rows", Q0 + tl.arange(0, BLOCK_Q))
    dlse = kernel.loads.let("dlse", tl.load(Var("dlse_ptr") + row + at, mask=at < N, other=0.0))
    delta = tl.sum(dout * out, 1) - dlse
    kernel.store.do(tl.store(Var("delta_ptr") + row + at, delta, mask=at < N))
    return kernel.kernel("_delta", "One program: sum(dout * out) - dlse for BLOCK_Q queries of one head.")
