"""Products and sums taken apart, and put together again.

Enters: a real term. Leaves: its factors, or its summands, in written order; the product of factors, or a logarithm.
"""

from __future__ import annotations

from attnc.ir import build
from attnc.ir.nodes import Real, RealCall, RealConst, RealOp


def factors_of(term: Real) -> tuple[list[Real], list[Real]]:
    """What is multiplied and what is divided by."""
    match term:
        case RealOp("*", a, b):
            (above_a, below_a), (above_b, below_b) = factors_of(a), factors_of(b)
            return above_a + above_b, below_a + below_b
        case RealOp("/", a, b):
            (above_a, below_a), (above_b, below_b) = factors_of(a), factors_of(b)
            return above_a + below_b, below_a + above_b
    return [term], []


def quotient(above: list[Real], below: list[Real]) -> Real:
    """The product of what is above, divided by what is below."""
    result: Real = RealConst(1.0)
    for factor in above:
        result = build.real("*", result, factor)
    for factor in below:
        result = build.real("/", result, factor)
    return result


def logarithm(term: Real) -> Real:
    """log(term), of a sigmoid without underflow: log(sigmoid(x)) = -softplus(-x)."""
    match term:
        case RealCall("exp", a):
            return a
        case RealCall("sigmoid", a):
            return build.negative(build.call("softplus", build.negative(a)))
    return build.call("log", term)


def summands_of(term: Real) -> list[Real]:
    """What is added; what is subtracted stays one summand with the rest of its chain."""
    match term:
        case RealOp("+", a, b):
            return summands_of(a) + summands_of(b)
    return [term]


def signed_summands_of(term: Real) -> list[Real]:
    """What is added and what is subtracted."""
    match term:
        case RealOp("+" | "-", a, b):
            return signed_summands_of(a) + signed_summands_of(b)
    return [term]
