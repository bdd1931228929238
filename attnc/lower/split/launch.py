"""How few queries are launched: into how many shares the keys are split, and the two kernels.

Enters: a sweep whose keys can be split, and its kernels. Leaves: the function that shapes the tiles of few rows, and
statements of the forward launcher, which launch the kernels where it pays.
"""

from __future__ import annotations

from attnc.errors import CompilerBug
from attnc.kernel.arguments import arguments_of
from attnc.kernel.build import Block, dictionary, function
from attnc.kernel.expressions import Expr, ExprLike, Lit, Tuple, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.host.call import FUSION, Option, call_kernel, padded_widths, triton
from attnc.lower.host.names import AGAIN, DV, FLOAT32, HKV, LARGE, ON_DEVICE, TILES, B, H, M, N, Q
from attnc.lower.names import part_of
from attnc.lower.tile_sizes import reads_pairs
from attnc.lower.tiled.launch import TiledKernels, looks, looks_again, options_of, split_grid
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import TorchTerms, torch

FEW, ROWS, SPLITS, GROUP = Var("few"), Var("rows"), Var("splits"), Var("group")
smaller = function("min")


def lower_few_rows(sweep: TiledSweep) -> Function:
    """`_few_rows(tiles, rows)`, of the last sweep.

    Four warps hold 64 rows, unless a number is kept for each pair; what is no softmax is kept beside its score.
    """
    top = Block()
    with top.when(ROWS <= 16) as fewest:
        fewest.returns(dictionary(TILES, BLOCK_Q=16, num_warps=4))
    block: dict[str, ExprLike] = {"BLOCK_Q": smaller(64, TILES["BLOCK_Q"])}
    if reads_pairs(sweep):
        top.returns(dictionary(TILES, **block))
    elif sweep.fold.divides:
        top.returns(dictionary(TILES, **block, num_warps=4))
    else:
        top.let("block", dictionary(**block, BLOCK_K=smaller(32, TILES["BLOCK_K"])))
        top.returns(dictionary(TILES, Var("block"), num_warps=4))
    doc = "The tiles of a forward kernel for so many rows of a key head, each a query of a head."
    return Function("_few_rows", (Param("tiles"), Param("rows")), doc, tuple(top.stmts))


def launch_split(top: Block, sweep: TiledSweep, kernels: TiledKernels) -> None:
    """The way of few queries, which ends in a `return`."""
    if sweep.variants.split is None:
        raise CompilerBug("a sweep without shares")
    (*_, forward), (combine,) = kernels.split, kernels.combine
    rows, heads = (N * GROUP, HKV) if sweep.variants.split.pack_gqa else (N, H)
    top.let("few", function("_few_rows")(TILES, rows))
    top.let("splits", function("_splits")(Q, rows, B * heads, _most_keys(sweep), FEW))
    with top.when(SPLITS) as few:
        parts = [(part_of(kept.name), kept.dtype) for kept in sweep.fold.kept]
        if sweep.weighs_values:
            few.let("part_acc", Q.call("new_empty", SPLITS, B, H, N, DV, dtype=FLOAT32))
        for name, dtype in parts:
            few.let(name, Q.call("new_empty", SPLITS, B, H, N, dtype=torch.value(dtype)))
        with few.within(ON_DEVICE) as inside:
            tiles = triton.cdiv(rows, FEW["BLOCK_Q"])
            grid = inside.let("grid", split_grid(tiles, heads * SPLITS, B, LARGE))
            again = [("AGAIN", AGAIN)] * looks_again(forward)
            with looks(inside, forward, FEW) as look:
                look.do(call_kernel(forward, grid, options_of(forward, FEW), *again, ("LARGE", LARGE)))
            inside.do(call_kernel(combine, Tuple((B * H * N,)), *_of_combine(combine)))
        few.returns(*map(Var, sweep.outputs))


def _most_keys(sweep: TiledSweep) -> Expr:
    """How many keys the queries of a call see at most."""
    if sweep.variants.split is None or sweep.variants.split.most_keys is None:
        return M
    return TorchTerms(sweep.attention, {}, sweep.cover.requires, sweep.tokens.places)(
        sweep.variants.split.most_keys
    )


def _of_combine(kernel: Function) -> list[Option]:
    constants: dict[str, Expr] = {"DV": DV, "SHARES": Lit(16)}
    tiles = [(each.name, constants[each.name]) for each in arguments_of(kernel) if each.kind == "tile"]
    return [*tiles, *padded_widths(kernel), FUSION]
