"""How much a tile divides: what positions are divided by, where only a call knows, takes registers of every thread.

Enters: an attention as its kernels see it. Leaves: how many divisions of positions its score and mask hold, and whether
those are many.
"""

from __future__ import annotations

from attnc.ir.nodes import Attention, IntConst, IntOp, Node
from attnc.ir.walk import axes_of, walk

MANY = 4


def count_divisions(attention: Attention) -> int:
    return sum(map(_divides_a_position, {*walk(attention.score), *walk(attention.mask)}))


def divides_much(attention: Attention) -> bool:
    return count_divisions(attention) > MANY


def _divides_a_position(part: Node) -> bool:
    """By a number of the call: one that is known is a multiplication."""
    return (
        isinstance(part, IntOp)
        and part.op in ("//", "%")
        and bool(axes_of(part) & {"i", "j"})
        and not isinstance(part.b, IntConst)
    )
