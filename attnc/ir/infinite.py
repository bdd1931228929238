"""Scores that may be -inf: such a pair is not seen, as if the mask had hidden it.

Enters: terms. Leaves: what may make a score -inf, whether what stands in an exponential is -inf there too, and whether
a weight is 0 there by itself.
"""

from __future__ import annotations

from attnc.ir.nodes import (
    Dot,
    FromInt,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntOp,
    Real,
    RealCall,
    RealConst,
    RealLoad,
    RealOp,
    RealParam,
    Score,
    Size,
    Total,
)
from attnc.ir.signs import is_positive
from attnc.ir.walk import holds, is_invariant


def may_be_minus_infinity(term: Real) -> Real | None:
    """What may make it so, of finite vectors; None where nothing does.

    An array may hold it, and a parameter be it, unless they are a factor that is the same for all pairs of a head.
    """
    match term:
        case RealCall("tanh" | "sigmoid" | "sin" | "cos"):
            return None
        case RealCall("log", FromInt(a)) if _least(a) >= 1:
            return None
        case RealOp("**", a, RealConst(value)) if value > 0:
            return may_be_minus_infinity(a)
        case RealParam() | RealLoad() | Total() | RealCall("log" | "exp") | RealOp("**"):
            return term
        case RealOp("/", _, b) if not (isinstance(b, RealConst) or is_invariant(b)):
            return term
        case RealOp("*" | "/", a, b):
            parts = [part for part in (a, b) if not is_invariant(part)]
        case _:
            parts = [part for part in term.children if isinstance(part, Real) and not isinstance(term, Dot)]
    return next((found for part in parts if (found := may_be_minus_infinity(part))), None)


def _least(term: Int) -> int:
    """A number that it is not below, in a call that has a pair; below 0 where nothing is known."""
    match term:
        case IntConst(value):
            return value
        case Size():
            return 1
        case Index() | IntAbs():
            return 0
        case IntOp("+", a, b) if min(_least(a), _least(b)) >= 0:
            return _least(a) + _least(b)
        case IntOp("max", a, b):
            return max(_least(a), _least(b))
    return -1


def falls(term: Real) -> bool:
    """Is it -inf where the score is -inf, if other numbers are finite?"""
    match term:
        case Score():
            return True
        case RealOp("+", a, b):
            return (falls(a) and not holds(b, Score)) or (falls(b) and not holds(a, Score))
        case RealOp("-", a, b):
            return falls(a) and not holds(b, Score)
        case RealOp("*", a, b):
            return (falls(a) and is_positive(b)) or (falls(b) and is_positive(a))
        case RealOp("/", a, b):
            return falls(a) and is_positive(b)
    return False


def vanishes(term: Real) -> bool:
    """Is it 0, and its derivative by the score, where the score is -inf?"""
    match term:
        case RealCall("sigmoid" | "relu" | "exp" | "softplus", Score()):
            return True
        case RealOp("**", a, RealConst(value)) if value > 0:
            return vanishes(a)
        case RealOp("*", a, b):
            return (vanishes(a) and not holds(b, Score)) or (vanishes(b) and not holds(a, Score))
        case RealOp("/", a, b):
            return vanishes(a) and not holds(b, Score)
    return False
