"""Can the keys of a tile of queries be split among programs, and do the heads of a group go side by side in it?

Enters: the ranges of the keys, and the attention as its kernels see it. Leaves: a `Split` or None, and the reason.
Whether a call has so few queries that it pays is decided when the call is made.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnc.analyze.facts import Ranges, Reason
from attnc.ir.nodes import Attention, Index, Int, Member
from attnc.ir.walk import axes_of, walk
from attnc.lower.split.most_keys import find_most_keys

HEAD = Index("h")


@dataclass(frozen=True, slots=True)
class Split:
    """Split-K for few queries. With `pack_gqa` a row of a tile is a query of one of the heads of a group.

    Then the head is a column of a tile, as the query is: whatever a score or a mask reads by head is one too. The
    queries of a call see about `most_keys` keys at most, where something is known beside the number of keys.
    """

    pack_gqa: bool
    most_keys: Int | None


def find_split(attention: Attention, keys: Ranges) -> tuple[Split | None, Reason]:
    """How keys are split, and why; None where each program has to see all of its keys itself."""
    if (why := _why_tiles_stay_together(keys)) is not None:
        return None, Reason(f"few queries have no schedule of their own: {why}")
    what = "for few queries, programs share the keys of a tile, and what they leave of each row is merged"
    why_not = _why_heads_stay_apart(attention, keys)
    if why_not is None:
        return Split(pack_gqa=True, most_keys=find_most_keys(keys)), Reason(
            f"{what}; the heads of a group are rows of one tile"
        )
    return Split(pack_gqa=False, most_keys=find_most_keys(keys)), Reason(
        f"{what}; each head has tiles of its own, because {why_not}"
    )


def _why_tiles_stay_together(keys: Ranges) -> str | None:
    if keys.loose:
        return "their tiles come from lists"
    if keys.periods is not None:
        return "their tiles are found period by period"
    return None if keys.visited else "no query sees a key"


def _why_heads_stay_apart(attention: Attention, keys: Ranges) -> str | None:
    if HEAD in keys.parts:
        return "the keys that a query sees depend on its head"
    for part in (*walk(attention.mask), *walk(attention.score)):
        if isinstance(part, Member) and _is_by_head_alone(part):
            return f"`{part.array}` is searched by head"
    return None


def _is_by_head_alone(part: Member) -> bool:
    axes = frozenset().union(*map(axes_of, part.index))
    return "h" in axes and "i" not in axes
