"""The summands of a score: its dot products of a query and a key, and what is added to them.

Enters: a score. Leaves: its bias, summand by summand, each with the sign and the factors that it has there.
"""

from __future__ import annotations

from attnc.algebra.atoms import side_of
from attnc.ir import build
from attnc.ir.nodes import Real, RealConst, RealOp, VecInput
from attnc.ir.walk import walk

ZERO = RealConst(0.0)


def bias_of(score: Real) -> tuple[Real, ...]:
    """What is added to products of `q` and `k`; nothing, where a score has none."""
    return tuple(each for each in _added(score) if each != ZERO) if _holds_both(score) else ()


def _added(term: Real) -> list[Real]:
    """What a factor multiplies that knows no position, it multiplies summand by summand."""
    if not _holds_both(term):
        return [term]
    match term:
        case RealOp("+", a, b):
            return _added(a) + _added(b)
        case RealOp("-", a, b):
            return _added(a) + [build.negative(each, span=each.span) for each in _added(b)]
        case RealOp("*", a, b) if side_of(a) == "call":
            return [build.real("*", a, each, span=each.span) for each in _added(b)]
        case RealOp("*" | "/" as op, a, b) if side_of(b) == "call":
            return [build.real(op, each, b, span=each.span) for each in _added(a)]
    return []


def _holds_both(term: Real) -> bool:
    return {VecInput("q"), VecInput("k")} <= {part for part in walk(term) if isinstance(part, VecInput)}
