"""What the launchers of tiled kernels have in common: sizes, tiles, grids, second looks and lists.

Enters: a sweep and its kernels. Leaves: statements of the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from attnc.kernel.arguments import arguments_of, tensors_of
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, ExprLike, Lit, Ternary, Tuple, Var
from attnc.kernel.nodes import Function
from attnc.lower.host.call import FUSION, Option, call_kernel, padded_widths, triton
from attnc.lower.host.names import AGAIN, FLOAT32, HKV, LARGE, OPTIONS, TILES, B, H, K, Q, V
from attnc.lower.lists import Listed
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import torch

IN_LISTS = {
    "rows": TILES["BLOCK_Q"],
    "columns": TILES["BLOCK_K"],
    "device": Q.attr("device"),
    "dtype": torch.promote_types(Q.attr("dtype"), FLOAT32),
}

split_grid = function("_grid")


@dataclass(frozen=True)
class TiledKernels:
    """The kernels of a sweep, those that it has, each behind its helpers; and what lists the tiles of such kernels."""

    forward: tuple[Function, ...]
    split: tuple[Function, ...]
    combine: tuple[Function, ...]
    delta: tuple[Function, ...]
    keys: tuple[Function, ...]
    queries: tuple[Function, ...]
    pairs: tuple[Function, ...]
    lists: Mapping[Listed, Function]

    @property
    def all(self) -> tuple[Function, ...]:
        """In the order in which a module defines them."""
        backward = (*self.keys, *self.queries, *self.pairs)
        return (*self.forward, *self.split, *self.combine, *self.delta, *backward)

    @cached_property
    def tensors(self) -> frozenset[str]:
        """All that they read and write."""
        return frozenset[str]().union(*map(tensors_of, self.all))

    def writes(self, name: str) -> bool:
        """Does a kernel write the gradient of a tensor?"""
        return f"d{name}" in self.tensors


def looks_again(kernel: Function) -> bool:
    """Is a kernel launched a second time, where a sum is no number?"""
    return _takes(kernel, "AGAIN")


def _takes(kernel: Function, name: str) -> bool:
    return name in [each.name for each in arguments_of(kernel)]


def name_sizes(block: Block, sweep: TiledSweep, kernels: Sequence[Function]) -> None:
    """The sizes of a call."""
    block.lets(("B", "H", "N", "D"), Q.attr("shape"))
    if sweep.weighs_values:
        block.lets(("HKV", "M", "DV"), V.attr("shape")[1:])
    else:
        block.lets(("HKV", "M"), K.attr("shape")[1:3])
    for pair in sweep.score.dots:
        if pair.width != "D":
            block.let(pair.width, Var(pair.query).attr("shape")[-1])
    if any(_takes(kernel, "group") for kernel in kernels):
        block.let("group", H // HKV)


def prepare(block: Block, sweep: TiledSweep, *also: str) -> None:
    """Numbers and tensors as kernels take them, and whether they lie far apart.

    Numbers that are only compared may be beyond 32 bits.
    """
    for param in sweep.attention.params:
        if param.name in sweep.ints.clamped:
            name = sweep.attention.variable(param.name)
            block.let(name, function("_near")(Var(name)), of_spec=True)
    values = ["v", *also] if sweep.weighs_values else []
    names = list(dict.fromkeys([*(n for p in sweep.score.dots for n in (p.query, p.key)), *values]))
    vectors = tuple(map(Var, names))
    if names[1:]:
        block.lets(names, function("map")(Var("_with_unit_stride"), Tuple(vectors)))
    elif names:
        block.let(names[0], function("_with_unit_stride")(vectors[0]))
    block.let("large", function("_is_large")(H, B, *vectors))


def find_tiles(block: Block, sweep: TiledSweep, kernel: str, only: str = "") -> None:
    """`tiles`, for the widths of a sweep, or for one of them."""
    values = ["DV"] if sweep.weighs_values else []
    widths = [only] if only else dict.fromkeys([*(pair.width for pair in sweep.score.dots), *values])
    block.let("tiles", function("_tiles")(kernel, Q, *(Tuple((Lit(name), Var(name))) for name in widths)))


def find_lists(block: Block, kernels: TiledKernels, kernel: Function) -> None:
    """The lists of tiles, where a kernel goes through lists."""
    if "edge_tiles" in tensors_of(kernel):
        lists = kernels.lists["queries" if kernel in kernels.keys else "keys"]
        given = (IN_LISTS.get(param.name, Var(param.name)) for param in lists.params)
        names = ("edge_start", "edge_tiles", "full_start", "full_tiles")
        block.lets(names, function(lists.name)(*given))


@contextmanager
def looks(block: Block, kernel: Function, tiles: Var = TILES) -> Iterator[Block]:
    """Where a launch goes: into the loop over the first look and the second, if the kernel looks again.

    Inside of it `options_of` has the tiles of that look; those of the kernel are left as they were.
    """
    if not looks_again(kernel):
        yield block
        return
    with block.loop(("again", "options"), function("_looks")(tiles)) as look:
        yield look


def options_of(kernel: Function, tiles: Var = TILES) -> Option:
    """The tiles and launch options of a kernel, inside of `looks`."""
    return "**", OPTIONS if looks_again(kernel) else tiles


def launch(block: Block, kernel: Function, length: ExprLike, axis: str, heads: Expr = H) -> None:
    """One launch: a program for each tile, head and batch."""
    grid = split_grid(triton.cdiv(length, TILES[axis]), heads, B, LARGE)
    has_all = _takes(kernel, "BLOCK_Q") and _takes(kernel, "BLOCK_K")
    options: list[Option] = [options_of(kernel), ("LARGE", LARGE)] if has_all else _named_tiles(kernel)
    if _takes(kernel, "AHEAD"):
        ahead = function("_ahead")(Q, TILES)
        options.append(("AHEAD", Ternary(Lit(None), AGAIN, ahead) if looks_again(kernel) else ahead))
    if looks_again(kernel):
        options.append(("AGAIN", AGAIN))
    with looks(block, kernel) as look:
        look.do(call_kernel(kernel, grid, *options))


def _named_tiles(kernel: Function) -> list[Option]:
    """The constants of a kernel that takes only some of the tiles."""
    tiles = [(each.name, TILES[each.name]) for each in arguments_of(kernel) if each.kind == "tile"]
    large = [("LARGE", LARGE)] * _takes(kernel, "LARGE")
    return [*tiles, *padded_widths(kernel), *large, ("num_warps", TILES["num_warps"]), FUSION]
