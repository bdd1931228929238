"""The order in which tiles are begun: those that visit most come first.

Enters: ranges. Leaves: whether later tiles visit more, which the sweep keeps with its reason. Programs begin in the
order of their numbers. One that begins late and takes long has the rest of the GPU wait for it, so the longest go first
(Graham 1969), as they do in FlashAttention of causal masks.
"""

from __future__ import annotations

from attnc.analyze.facts import Ranges, Reason
from attnc.ir import build
from attnc.ir.nodes import Int, IntConst, Node, OverTile, TileEnd
from attnc.ir.walk import holds, replace_terms
from attnc.lower.proofs import Proofs

NOTHING, ONE = IntConst(0), IntConst(1)


def find_order(ranges: Ranges, proofs: Proofs) -> tuple[bool, Reason]:
    """Whether the tiles whose loops go over these ranges are begun from the last, in words too."""
    whose, what = ("queries", "keys") if ranges.target == "j" else ("keys", "queries")
    if visits_more_later(ranges, proofs):
        return True, Reason(f"tiles of {whose} begin with the last, which may have the most {what}")
    return False, Reason(f"tiles of {whose} begin with the first: no later one is known to have more {what}")


def visits_more_later(ranges: Ranges, proofs: Proofs) -> bool:
    """Does no tile visit less than the one before it, and some of them more? False where that is not proved."""
    if ranges.periods is not None or any(holds(end, OverTile) for end in ranges.ends):
        return False
    more: Int = NOTHING
    for seen in ranges.visited:
        length = build.integer("-", seen.hi, seen.lo)
        more = build.integer("+", more, build.integer("-", _one_on(length), length))
    less = build.integer("-", NOTHING, more)
    return proofs.is_nonnegative(more) and not proofs.is_nonnegative(less)


def _one_on(term: Int) -> Int:
    """The term for a tile that lies one position further on."""

    def change(node: Node) -> Node | None:
        return build.integer("+", node, ONE) if isinstance(node, TileEnd) else None

    moved = replace_terms(term, change, TileEnd)
    assert isinstance(moved, Int)
    return moved
