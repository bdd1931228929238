"""Factors that no position changes, brought together.

Enters: a real term. Leaves: an equal one (over the reals) in which every product holds its invariant factors side by
side: `dot(q, k) * scale / cap * log2(e)` becomes `dot(q, k) * (scale / cap * log2(e))`. A kernel then computes the
bracket once, above its loops, and the loop pays for one multiplication.
"""

from __future__ import annotations

from attnc.algebra.products import factors_of
from attnc.ir.nodes import Dot, Node, Real, RealConst, RealOp
from attnc.ir.walk import axes_of, replace_terms, walk

LOG2_E = RealConst(1.4426950408889634)
ONE = RealConst(1.0)


def regroup(term: Real) -> Real:
    """The term with the invariant factors of each product in one bracket on its right."""
    grouped = replace_terms(term, _regroup_product)
    assert isinstance(grouped, Real)
    return grouped


def is_invariant(term: Node) -> bool:
    """Free of both positions: one number for a whole program of a kernel."""
    return not axes_of(term) & {"i", "j"} and not any(isinstance(part, Dot) for part in walk(term))


def _regroup_product(term: Node) -> Node | None:
    match term:
        case RealOp("*" | "/"):
            above, below = ([regroup(factor) for factor in factors] for factors in factors_of(term))
            fixed = [f for f in above if is_invariant(f)], [f for f in below if is_invariant(f)]
            moving = [f for f in above if f not in fixed[0]], [f for f in below if f not in fixed[1]]
            if len(fixed[0]) + len(fixed[1]) < 2 or not moving[0]:
                return None
            grouped = RealOp("*", _quotient(*moving), _quotient(*fixed), span=term.span)
            return None if grouped == term else grouped
    return None


def _quotient(above: list[Real], below: list[Real]) -> Real:
    term = above[0] if above else ONE
    for factor in above[1:]:
        term = RealOp("*", term, factor)
    for factor in below:
        term = RealOp("/", term, factor)
    return term
