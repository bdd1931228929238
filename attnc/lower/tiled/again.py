"""The second look of a kernel: what a row does not see is kept out of it, and large scores have the weights they had.

Enters: a kernel, and where its programs leave their sums of products. Leaves: where it begins, a test of what they have
left; and products that can leave hidden pairs out. A hidden pair has the weight 0, but 0 times infinity is no number,
so at the edge of the mask a row may get what it does not see: the unused end of a cache, padding, another document. No
later sum gets rid of it. So each of these kernels is launched twice: AGAIN, a constant of each launch, is False at
first, and nothing of this is left there; the second time a program ends at once unless what it left is no number. A
tile that is seen in full has no hidden pair, and is added as before. In the backward pass of softmax the second look
also finds weights in another way, as in the forward pass (`remembered.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Tuple, Unary, Var
from attnc.kernel.nodes import Assign, If, Return
from attnc.lower.tiled.frame import AGAIN, Kernel
from attnc.lower.tiled.layout import Flat
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.tiled.tile import Tile, add_product
from attnc.lower.triton_terms import tl

HIDDEN = "What is hidden has spoiled a sum if that is no number: 0 times nan or infinity is none."
FAR = "A row whose lse is no number leaves none at first: it is weighed in another way."
is_spoiled = function("_is_spoiled")


def left_rows(name: str, row: Expr, layout: Flat, width: str) -> Expr:
    """Is a tile of rows spoiled that the first launch has left in a contiguous tensor, whose rows begin at `row`?"""
    return layout.are_spoiled(Var(f"{name}_ptr") + row * Var(width), width)


def lost_rows(sweep: TiledSweep, row: Expr, layout: Flat) -> list[Expr]:
    """Of softmax: is the logarithm of a sum no number, of any of a tile of rows that begin at `row`?"""
    if not sweep.weighs_twice:
        return []
    at = layout.positions
    return [is_spoiled(Tuple((tl.load(Var("lse_ptr") + row + at, mask=at < layout.end, other=0.0),)))]


def end_unless_spoiled(kernel: Kernel, left: Sequence[Expr]) -> None:
    """The second time a program only goes on if one of the tiles that it has left says so."""
    if kernel.sweep.looks_twice:
        _end_unless(kernel, left, HIDDEN)


def end_unless_spoiled_backward(kernel: Kernel, left: Sequence[Expr]) -> None:
    """The same in the backward pass; there the logarithm of a row's sum may be what spoils a tile."""
    if kernel.sweep.weighs_twice:
        _end_unless(kernel, left, *([HIDDEN] if kernel.sweep.looks_twice else []), FAR)
    else:
        end_unless_spoiled(kernel, left)


def _end_unless(kernel: Kernel, left: Sequence[Expr], *why: str) -> None:
    """Without a tile to look at, a program does its work twice."""
    if not left:
        return
    with kernel.again.when(AGAIN) as again:
        for line in why:
            again.comment(line)
        spoiled = again.let("spoiled", left[0])
        for each in left[1:]:
            again.assign(spoiled, each, "|=")
        again.stmts.append(If(Unary("not", spoiled), (Return(None),)))


def add_with_care(tile: Tile, block: Block, name: str, total: Expr, pairs: Expr, rows: Expr) -> None:
    """`name = total + pairs @ rows`; the second time without hidden pairs."""
    sweep = tile.kernel.sweep
    plainly = Assign(Var(name), add_product(sweep, total, pairs, rows))
    if not sweep.looks_twice:
        block.stmts.append(plainly)
        return
    carefully = Assign(Var(name), function("_add_seen_rows")(total, pairs, rows, Var("visible")))
    block.stmts.append(If(tile.looks_at_hidden, (carefully,), (plainly,)))
