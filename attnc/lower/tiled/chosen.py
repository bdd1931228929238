"""The function that finds the tiles of a card, where some were chosen for one GPU.

Enters: chosen tiles. Leaves: `_table(q)`. They hold for one version of Triton: another one makes other code of the same
tiles.
"""

from __future__ import annotations

from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Lit, Op, Ternary, Tuple, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.host.call import triton
from attnc.lower.host.names import Q
from attnc.lower.torch_terms import torch
from attnc.tiles import ChosenTiles

TABLE = Var("TILES")
CUDA, HIP = torch.value("cuda"), torch.value("version").attr("hip")


def lower_chosen_table(tiles: ChosenTiles) -> Function:
    """The function, which the usual one is but for the card."""
    top = Block()
    with top.when(Q.call("element_size") > 2) as wide:
        wide.returns(TABLE["float32"])
    is_it = _name_nvidia(top, tiles.arch) if tiles.arch.startswith("sm_") else _name_amd(top, tiles.arch)
    same = triton.value("__version__").equals(tiles.triton)
    with top.when(Op("and", is_it, same)) as chosen:
        chosen.returns(TABLE[tiles.arch])
    is_wgmma = Op("in", function("_generation")(Q), Tuple((Lit(9), Lit(10))))
    top.returns(TABLE[Ternary(Lit("wgmma"), is_wgmma, Lit("mma"))])
    return Function("_table", (Param("q"),), "The rows of TILES for tensors like q.", tuple(top.stmts))


def _name_nvidia(top: Block, arch: str) -> Expr:
    major, minor = divmod(int(arch.removeprefix("sm_")), 10)
    is_cuda = top.let("is_cuda", Op("and", Q.attr("is_cuda"), Op("is", HIP, Lit(None))))
    found = CUDA.call("get_device_capability", Q.attr("device"))
    return top.let("capability", Ternary(found, is_cuda, Lit(None))).equals(Tuple((Lit(major), Lit(minor))))


def _name_amd(top: Block, arch: str) -> Expr:
    is_amd = top.let("is_amd", Op("and", Q.attr("is_cuda"), Op("is not", HIP, Lit(None))))
    found = CUDA.call("get_device_properties", Q.attr("device")).attr("gcnArchName")
    return top.let("name", Ternary(found, is_amd, Lit(""))).call("startswith", arch)
