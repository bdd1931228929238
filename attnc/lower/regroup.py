"""Factors that no position changes, brought together.

Enters: a real term. Leaves: an equal one (over the reals) in which every product holds its invariant factors side by
side: `dot(q, k) * scale / cap * log2(e)` becomes `dot(q, k) * (scale / cap * log2(e))`. A kernel then computes the
bracket once, above its loops, and the loop pays for one multiplication. A sum is multiplied with log2(e) summand by
summand where each of them has such a bracket to take it, so that the loop does not pay for it at all; elsewhere it is
left in base e. What is under a `floor` or a comparison stays as it is written: another rounding would be another
integer, or another truth.
"""

from __future__ import annotations

from attnc.algebra.products import factors_of, signed_summands_of
from attnc.ir import build
from attnc.ir.nodes import Bool, Int, Node, Real, RealConst, RealOp
from attnc.ir.walk import is_invariant, replace_terms

LOG2_E = RealConst(1.4426950408889634)
ONE = RealConst(1.0)


def regroup(term: Real) -> Real:
    """The term with the invariant factors of each product in one bracket on its right."""
    grouped = replace_terms(term, _regroup_product, RealOp)
    assert isinstance(grouped, Real)
    return grouped


def fits_base_2(score: Real) -> bool:
    """Does log2(e) cost a loop nothing, as each summand has a bracket for it?

    Elsewhere it would be multiplied with numbers as large as an array may hold, such as -3.4e38 for what is hidden, and
    make them infinite.
    """
    return all(map(_has_fixed_part, signed_summands_of(score)))


def in_base_2(score: Real) -> Real:
    """The score times log2(e), for weights that are `exp2` of it."""
    return regroup(_times_log2e(score))


def _regroup_product(term: Node) -> Node | None:
    match term:
        case Int() | Bool():
            return term
        case RealOp("*" | "/"):
            above, below = ([regroup(factor) for factor in factors] for factors in factors_of(term))
            fixed = [f for f in above if is_invariant(f)], [f for f in below if is_invariant(f)]
            moving = [f for f in above if f not in fixed[0]], [f for f in below if f not in fixed[1]]
            if len(fixed[0]) + len(fixed[1]) < 2 or not moving[0]:
                return None
            grouped = RealOp("*", _quotient(*moving), _quotient(*fixed), span=term.span)
            return None if grouped == term else grouped
    return None


def _has_fixed_part(summand: Real) -> bool:
    """Is one of its factors invariant? Then another such factor costs a loop nothing."""
    return any(is_invariant(factor) for factors in factors_of(summand) for factor in factors)


def _times_log2e(term: Real) -> Real:
    match term:
        case RealOp("+" | "-" as op, a, b):
            return build.real(op, _times_log2e(a), _times_log2e(b), span=term.span)
    return build.real("*", term, LOG2_E)


def _quotient(above: list[Real], below: list[Real]) -> Real:
    term = above[0] if above else ONE
    for factor in above[1:]:
        term = RealOp("*", term, factor)
    for factor in below:
        term = RealOp("/", term, factor)
    return term
