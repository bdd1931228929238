"""The second look of a kernel: what a row does not see is kept out of it, also what is infinite or no number.

Enters: a kernel, and where its programs leave their sums of products. Leaves: where it begins, a test of what they have
left; and products that can leave hidden pairs out. A hidden pair has the weight 0, but 0 times infinity is no number,
so at the edge of the mask a row may get what it does not see: the unused end of a cache, padding, another document. No
later sum gets rid of it. So each of these kernels is launched twice: AGAIN, a constant of each launch, is False at
first, and nothing of this is left there; the second time a program ends at once unless what it left is no number. A
tile that is seen in full has no hidden pair, and is added as before.
"""

from __future__ import annotations

from collections.abc import Sequence

from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Unary, Var
from attnc.kernel.nodes import Assign, If, Return
from attnc.lower.tiled.frame import AGAIN, Kernel
from attnc.lower.tiled.layout import Flat
from attnc.lower.tiled.tile import Tile, add_product

is_spoiled = function("_is_spoiled")


def left_rows(name: str, row: Expr, layout: Flat, width: str) -> Expr:
    """Is a tile of rows spoiled that the first launch has left in a contiguous tensor, whose rows begin at `row`?"""
    return layout.are_spoiled(Var(f"{name}_ptr") + row * Var(width), width)


def end_unless_spoiled(kernel: Kernel, left: Sequence[Expr]) -> None:
    """The second time a program only goes on if one of the tiles that it has left says so."""
    if not left or not kernel.sweep.looks_twice:
        return
    with kernel.again.when(AGAIN) as again:
        again.comment(
            "What is hidden has spoiled a sum if that is no number: 0 times nan or infinity is none."
        )
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
