"""Integers that know a query and a key by their distance alone.

Enters: a term. Leaves: for an integer that is found through reals and depends on `j - i`, and on nothing else of a
token, the same as a term of that distance: torch computes it once for each distance, and kernels look it up.
"""

from __future__ import annotations

from attnc.ir.nodes import Floor, Index, Int, IntConst, IntOp, IntParam, Node, Size
from attnc.ir.walk import axes_of, holds, replace_terms
from attnc.sets.convert import to_int, to_polynomial
from attnc.sets.folding import leaf
from attnc.sets.polynomial import Leaf

DISTANCE = IntOp("-", Index("j"), Index("i"))
TABLE_SIZE = IntOp("-", IntOp("+", Size("N"), Size("M")), IntConst(1))
TABLE_INDEX = IntOp("-", IntOp("+", DISTANCE, Size("N")), IntConst(1))


def find_by_distance(term: Node) -> Node | None:
    """The integer in terms of `DISTANCE`; None where it needs no table, or has none."""
    if not isinstance(term, Int) or not holds(term, Floor) or not axes_of(term):
        return None
    relative = replace_terms(term, by_distance, IntOp)
    # A parameter in its place: a constant would decide conditions, and drop what they choose from.
    rest = replace_terms(relative, lambda part: IntParam("distance") if part == DISTANCE else None)
    return None if axes_of(rest) else relative


def by_distance(term: Node) -> Node | None:
    """`i - j` as `-(j - i)`, `(j + a) - (i + c)` as `j - i + a - c`: sums that know positions by their distance."""
    if not isinstance(term, IntOp) or not axes_of(term) & {"i", "j"}:
        return None
    times, rest = to_polynomial(term).split(Leaf(Index("j")))
    against, rest = rest.split(Leaf(Index("i")))
    if times != -against or (times.leaves | rest.leaves) & {"i", "j"}:
        return None
    return to_int(times * leaf(DISTANCE) + rest)
