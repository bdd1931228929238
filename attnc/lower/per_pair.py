"""What a kernel does anew for each pair of a query and a key, which takes registers of every thread.

Enters: an attention as its kernels see it, or a part of it. Leaves: whether a number is read for each pair, how many
divisions of positions the score and the mask hold, and whether those are many; whether a row of a table is searched in
a loop, and a reason that says so.
"""

from __future__ import annotations

from attnc.analyze.facts import Reason
from attnc.ir.nodes import LOADS, Attention, Int, IntConst, IntOp, Member, Node
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, walk

TOKENS = {"i", "j"}
MANY = 4
# Slots that a kernel looks at one after the other, without a loop.
MOST_IN_A_ROW = 16


def reads_pair(part: Node) -> bool:
    """Is this an array with a number for each pair?"""
    return isinstance(part, LOADS) and axes_of(part) >= TOKENS


def count_divisions(attention: Attention) -> int:
    return sum(map(_divides_a_position, {*walk(attention.score), *walk(attention.mask)}))


def divides_much(attention: Attention) -> bool:
    return count_divisions(attention) > MANY


def is_searched(slots: Int) -> bool:
    """May a row of so many slots be so long that a kernel looks through it in a loop?"""
    return not (isinstance(slots, IntConst) and slots.value <= MOST_IN_A_ROW)


def why_searched(attention: Attention) -> Reason | None:
    """Triton copies tiles ahead only in loops that hold no other."""
    rows = (part for part in (*walk(attention.score), *walk(attention.mask)) if isinstance(part, Member))
    for row in rows:
        if is_searched(attention.param(row.array).sizes[len(row.index)]):
            why = f"a row may have more than {MOST_IN_A_ROW} slots, so it is searched in a loop"
            return Reason(f"`{print_ir(row)}`: {why}, and edge tiles are not copied ahead", row.span)
    return None


def _divides_a_position(part: Node) -> bool:
    """By a number of the call: one that is known is a multiplication."""
    return (
        isinstance(part, IntOp)
        and part.op in ("//", "%")
        and bool(axes_of(part) & TOKENS)
        and not isinstance(part.b, IntConst)
    )
