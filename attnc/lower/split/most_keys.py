"""How many keys may the queries of a call see? A launch splits no more than that.

Enters: the ranges of the keys. Leaves: a number of the call, or None where the number of keys is all that is known. It
is about right and need not be more: shares without a key are slow, not wrong.
"""

from __future__ import annotations

from attnc.analyze.facts import Interval, Ranges
from attnc.ir import build
from attnc.ir.nodes import Int, IntConst, Size, TileEnd
from attnc.ir.walk import holds, walk
from attnc.lower.torch_terms import is_number
from attnc.sets.convert import to_int, to_polynomial
from attnc.sets.folding import items_of, leaf
from attnc.sets.polynomial import ZERO, Leaf, Polynomial

LAST_QUERY = leaf(Size("N")) - 1
M = Size("M")


def find_most_keys(keys: Ranges) -> Int | None:
    """The lengths of all intervals, with all queries of the call in one tile."""
    total: Int = IntConst(0)
    for seen in keys.visited:
        length = _length(seen)
        if length is None:
            return None
        total = build.integer("+", total, length)
    return build.integer("min", M, total)


def _length(seen: Interval) -> Int | None:
    """From the ends that an interval has, the first length that speaks of numbers of the call, and not of M."""
    for hi in items_of(to_polynomial(seen.hi), "min"):
        for lo in items_of(to_polynomial(seen.lo), "max"):
            term = to_int(_over_all_queries(hi - lo))
            if is_number(term) and not holds(term, TileEnd) and M not in walk(term):
                return term
    return None


def _over_all_queries(length: Polynomial) -> Polynomial:
    """The length with the first query and the last where they make it longest."""
    whole = ZERO
    for product, count in length.terms.items():
        term = Polynomial({product: count})
        match product:
            case (Leaf(TileEnd()),):
                term = LAST_QUERY * count if count > 0 else ZERO
        whole = whole + term
    return whole
