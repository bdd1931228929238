"""The launcher of the forward kernels of the tiled schedule.

Enters: a sweep, its kernels, and the check of what it reads, if a call on a GPU asks for it. Leaves: `_forward_triton`.
"""

from __future__ import annotations

from attnc.ir.text import print_ir
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Lit, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.host.names import DV, FLOAT32, ON_DEVICE, B, H, M, N, Q
from attnc.lower.split.launch import launch_split
from attnc.lower.sweep import said_results
from attnc.lower.tiled.launch import TiledKernels, find_lists, find_tiles, launch, name_sizes, prepare
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import TorchTerms, torch


def lower_forward_launch(sweep: TiledSweep, kernels: TiledKernels, check: Function | None) -> Function:
    """The function."""
    top = Block()
    *_, kernel = kernels.forward
    name_sizes(top, sweep, [kernel, *kernels.split])
    most = TorchTerms(sweep.spec, {}, places=sweep.tokens.places)(sweep.ints.most)
    top.do(function("_check_reach")(Lit(print_ir(sweep.ints.most)), most))
    if check:
        top.do(function(check.name)(*(Var(p.name) for p in check.params)))
    prepare(top, sweep)
    _make_results(top, sweep)
    find_tiles(top, sweep, "forward")
    if sweep.variants.split:
        launch_split(top, sweep, kernels)
    find_lists(top, kernels, kernel)
    with top.within(ON_DEVICE) as inside:
        launch(inside, kernel, N, "BLOCK_Q")
    top.returns(*map(Var, sweep.outputs))
    params = tuple(map(Param, sweep.signature.forward))
    doc = f"Forward by the kernels: {said_results(sweep)}."
    return Function(sweep.named("_forward_triton"), params, doc, tuple(top.stmts))


def _make_results(top: Block, sweep: TiledSweep) -> None:
    """What kernels write into; a call without keys is done with it, if every row has one wherever there are any."""
    divides, make = sweep.fold.divides, Q.attr("new_empty")
    if sweep.weighs_values:
        top.let("out", function(make)(B, H, N, DV, **({} if divides else {"dtype": FLOAT32})))
    for name, dtype in (*sweep.fold.left, *sweep.fold.remembered):
        top.let(name, function(make)(B, H, N, dtype=torch.value(dtype)))
    if divides and not sweep.rows.can_be_empty:
        with top.when(M.equals(0), "every row of the kernel sees a key") as none:
            zero = [Var("out").call("zero_")] if sweep.weighs_values else []
            nothing = [Var(name).call("zero_") for name in sweep.remembered]
            none.returns(*zero, Var("lse").call("fill_", float("-inf")), *nothing)
