"""A program's share of the tiles of its rows.

Enters: tiles. Leaves: lines that count them and cut out one of `splits` shares of equal size, give or take one tile,
and a `Share`: the two loops over what is in it. Tiles are counted in the order of the loops, edge tiles and then full
ones, and not by position: what lies between two intervals is nobody's work. A share is empty only where there are fewer
tiles than shares.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnc.errors import CompilerBug
from attnc.kernel.build import Block
from attnc.kernel.expressions import Expr, Var
from attnc.lower.tiled.loops import Body, Tiles, count, in_a_row
from attnc.lower.triton_terms import tl

SPLIT, SPLITS = Var("split"), Var("splits")


@dataclass(frozen=True, slots=True)
class Share:
    """Stretches of tiles as they are counted, each with the tile of iteration `t`, and whether they are edge tiles."""

    stretches: tuple[tuple[Expr, Expr, Expr, bool], ...]
    step: Expr

    def loop(self, block: Block, body: Body) -> None:
        """The two loops; `body` writes one tile, given its first position and whether it is an edge tile."""
        for lo, hi, tile, is_edge in self.stretches:
            with block.loop("t", count(lo, hi)) as inside:
                number = tile if isinstance(tile, Var) else inside.let("tile", tile)
                body(inside, number * self.step, is_edge)


def find_share(block: Block, tiles: Tiles) -> Share:
    """Write where the share of this program begins and ends."""
    block.comment("The share of this program: edge tiles are counted first, then full ones.")
    edge = in_a_row(block, tiles.edge, "edge") if tiles.edge else None
    full = in_a_row(block, tiles.full, "full") if tiles.full else None
    match edge, full:
        case (edge_tiles, edge_tile), None:
            return Share(((*_cut(block, edge_tiles), edge_tile, True),), tiles.step)
        case None, (full_tiles, full_tile):
            return Share(((*_cut(block, full_tiles), full_tile, False),), tiles.step)
        case (edge_tiles, edge_tile), (full_tiles, full_tile):
            lo, hi = _cut(block, edge_tiles + full_tiles)
            in_edge = tl.minimum(lo, edge_tiles), tl.minimum(hi, edge_tiles), edge_tile, True
            in_full = tl.maximum(lo - edge_tiles, 0), tl.maximum(hi - edge_tiles, 0), full_tile, False
            return Share((in_edge, in_full), tiles.step)
        case _:
            raise CompilerBug("shares of no tile")


def _cut(block: Block, number: Expr) -> tuple[Expr, Expr]:
    """First and end of the share, in tiles as they are counted."""
    number = number if isinstance(number, Var) else block.let("count", number)
    share, rest = block.let("share", number // SPLITS), block.let("rest", number % SPLITS)
    lo = block.let("share_lo", SPLIT * share + tl.minimum(SPLIT, rest))
    return lo, block.let("share_hi", (SPLIT + 1) * share + tl.minimum(SPLIT + 1, rest))
