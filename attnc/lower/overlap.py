"""May the weights of a tile wait until the products of the next are under way?

Enters: the attention as its kernels see it, its fold, and whether any query sees a key. Leaves: the answer with its
reason, which the sweep keeps. Softmax then runs beside the matrix unit, where a GPU has both at once (ADR 0015).
"""

from __future__ import annotations

from collections.abc import Mapping

from attnc.algebra.fold import Fold, Softmax
from attnc.analyze.facts import Reason
from attnc.ir.nodes import Attention, Member, Node
from attnc.ir.walk import axes_of, walk
from attnc.lower.hoist import print_as_written
from attnc.lower.per_pair import MANY, TOKENS, count_divisions, reads_pair


def find_overlap(
    attention: Attention, fold: Fold, sees_keys: bool, stands_for: Mapping[Node, Node]
) -> tuple[bool, Reason | None]:
    """Only weights of softmax do, which are computed long enough; of others nothing is said."""
    if not isinstance(fold, Softmax) or not sees_keys:
        return False, None
    why_not = _why_not(attention, stands_for)
    if why_not is None:
        return True, Reason(
            "the weights of a tile wait for the products of the next, where a GPU does both at once"
        )
    text = f"the weights of a tile do not wait for the products of the next, because {why_not.text}"
    return False, Reason(text, why_not.span)


def _why_not(attention: Attention, stands_for: Mapping[Node, Node]) -> Reason | None:
    """A tile that reads a number for each pair waits for those; many divisions leave no registers for what waits."""
    for part in (*walk(attention.score), *walk(attention.mask)):
        if reads_pair(part) or (isinstance(part, Member) and axes_of(part) >= TOKENS):
            return Reason(f"`{print_as_written(part, stands_for)}` is read for each pair", part.span)
    divisions = count_divisions(attention)
    if divisions >= MANY:
        return Reason(f"positions are divided {divisions} times for each pair")
    return None
