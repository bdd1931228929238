"""What a kernel does anew for each pair of a query and a key, which takes registers of every thread.

Enters: an attention as its kernels see it, or a part of it. Leaves: whether a number is read for each pair, how many
divisions of positions the score and the mask hold, and whether those are many.
"""

from __future__ import annotations

from attnc.ir.nodes import Attention, BoolLoad, IntConst, IntLoad, IntOp, Node, RealLoad
from attnc.ir.walk import axes_of, walk

LOADS = (RealLoad, IntLoad, BoolLoad)
TOKENS = {"i", "j"}
MANY = 4


def reads_pair(part: Node) -> bool:
    """Is this an array with a number for each pair?"""
    return isinstance(part, LOADS) and axes_of(part) >= TOKENS


def count_divisions(attention: Attention) -> int:
    return sum(map(_divides_a_position, {*walk(attention.score), *walk(attention.mask)}))


def divides_much(attention: Attention) -> bool:
    return count_divisions(attention) > MANY


def _divides_a_position(part: Node) -> bool:
    """By a number of the call: one that is known is a multiplication."""
    return (
        isinstance(part, IntOp)
        and part.op in ("//", "%")
        and bool(axes_of(part) & TOKENS)
        and not isinstance(part.b, IntConst)
    )
