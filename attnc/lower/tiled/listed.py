"""The two loops of a program whose tiles come from lists.

Enters: a kernel and the position that moves in it. Leaves: lines that find where the program's tiles begin and end in
the lists, and the same two loops as elsewhere: edge tiles, which are masked, and full tiles, which are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnc.ir.walk import axes_of
from attnc.kernel.build import Block
from attnc.kernel.expressions import Expr, Var
from attnc.lower.tiled.frame import B, H, Kernel
from attnc.lower.tiled.layout import KEYS, QUERIES
from attnc.lower.tiled.loops import Body, count
from attnc.lower.triton_terms import tl


@dataclass(frozen=True, slots=True)
class Listed:
    """The listed tiles of a program, `step` positions wide; `row` is its own place in the lists."""

    row: Expr
    step: Expr

    def loop(self, block: Block, body: Body) -> None:
        """The two loops; `body` writes one tile, given its first position and whether it is an edge tile."""
        for kind, is_edge in (("edge", True), ("full", False)):
            start, tiles = Var(f"{kind}_start_ptr") + self.row, Var(f"{kind}_tiles_ptr")
            with block.loop("t", count(tl.load(start), tl.load(start + 1))) as inside:
                body(inside, tl.load(tiles + Var("t")) * self.step, is_edge)


def find_listed(block: Block, kernel: Kernel, moving: Literal["i", "j"]) -> Listed:
    """Lists have a row for each tile that stands still, of every head and batch that the mask tells apart."""
    still, moves = (QUERIES, KEYS) if moving == "j" else (KEYS, QUERIES)
    axes, rows = axes_of(kernel.sweep.attention.mask), tl.cdiv(still.end, still.step)
    head = B * Var("H") + H if {"b", "h"} <= axes else B if "b" in axes else H
    row: Expr = still.start // still.step
    if axes & {"b", "h"}:
        row = head * rows + row
    return Listed(block.let("list_row", row), moves.step)
