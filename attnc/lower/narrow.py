"""Arrays of ints that a kernel may keep in 32 bits: all they do is bound positions. And those that it should get so.

Enters: an attention as its kernels see it. Leaves: their names, and a reason for who calls it. A position is below
2**30. What is compared with one, and used for nothing else, may be cut off there: `j < end[b, i]` is true of the same
keys. Numbers of 64 bits take two registers of every thread, and twice the instructions for each pair: smaller tiles, on
a GPU.
"""

from __future__ import annotations

from attnc.analyze.facts import Reason
from attnc.ir.nodes import Attention, Compare, Index, IntConst, IntLoad, IntOp, Node
from attnc.ir.walk import axes_of, children, walk

FARTHEST = 2**20  # how far from a position what is compared may lie, so that their sum has room


def find_narrow(attention: Attention) -> frozenset[str]:
    """The arrays of tokens whose every read is one side of a comparison with a position."""
    clauses = (
        attention.query,
        attention.key,
        attention.value,
        attention.mask,
        attention.score,
        attention.normalize,
        attention.output,
    )
    bounds, others = set[str](), set[str]()
    for part in (part for clause in clauses for part in walk(clause)):
        match part:
            case Compare(_, IntLoad() as read, other) | Compare(_, other, IntLoad() as read):
                is_bound = _is_near_position(other) and bool(axes_of(read) & {"i", "j"})
                (bounds if is_bound else others).add(read.array)
                others |= _arrays_in((*read.index, other))
            case _:
                others |= {child.array for child in children(part) if isinstance(child, IntLoad)}
    return frozenset(bounds - others)


def why_int32(attention: Attention) -> Reason | None:
    """Where divisions of positions are as wide as an array is: a GPU divides 64 bits in a function that it calls."""
    divisions = [
        part
        for clause in (attention.mask, attention.score)
        for part in walk(clause)
        if isinstance(part, IntOp) and part.op in ("//", "%") and axes_of(part) & {"i", "j"}
    ]
    names = sorted(_arrays_in(tuple(divisions)))
    if not names:
        return None
    arrays = " and ".join(f"`{name}`" for name in names)
    are = "has" if len(names) == 1 else "have"
    return Reason(
        f"positions are divided together with {arrays}, in 64 bits where {arrays} {are} 64: int32 is faster on a GPU"
    )


def _arrays_in(terms: tuple[Node, ...]) -> set[str]:
    return {part.array for term in terms for part in walk(term) if isinstance(part, IntLoad)}


def _is_near_position(term: Node) -> bool:
    match term:
        case Index("i" | "j"):
            return True
        case IntOp("+" | "-", a, IntConst(value)):
            return _is_near_position(a) and abs(value) <= FARTHEST
        case _:
            return False
