"""What is known of the size and the sign of a real, whatever the score is.

Enters: terms. Leaves: answers, each of them sound: what is called positive is, over the reals; of the rest nothing is
known.
"""

from __future__ import annotations

from collections.abc import Collection

from attnc.ir.nodes import (
    Count,
    Dot,
    FromInt,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntOp,
    Node,
    Real,
    RealCall,
    RealConst,
    RealLoad,
    RealOp,
    RealParam,
    Row,
    Score,
    Size,
)
from attnc.ir.walk import axes_of, children, holds, walk


def grows(term: Node, bounded: Collection[Node] = ()) -> bool:
    """May an exponential in it overflow where the score is large? `bounded` terms are 0 at most."""
    return any(
        isinstance(part, RealCall)
        and part.fn == "exp"
        and holds(part, Score)
        and not (part.a in bounded or is_at_most_0(part.a))
        for part in walk(term)
    )


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
        case RealParam() | RealLoad() | RealCall("log" | "exp") | RealOp("**"):
            return term
        case RealOp("/", _, b) if not (isinstance(b, RealConst) or _is_of_head(b)):
            return term
        case RealOp("*" | "/", a, b):
            parts = [part for part in (a, b) if not _is_of_head(part)]
        case _:
            parts = [part for part in children(term) if isinstance(part, Real) and not isinstance(term, Dot)]
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


def _is_of_head(term: Real) -> bool:
    return not axes_of(term) & {"i", "j"} and not holds(term, Dot)


def is_within_1(term: Node) -> bool:
    """Is its size 1 at most?"""
    match term:
        case RealConst(value):
            return abs(value) <= 1
        case RealCall("sigmoid" | "tanh" | "sin" | "cos"):
            return True
        case RealCall("exp", a):
            return is_at_most_0(a)
        case RealOp("*", a, b):
            return is_within_1(a) and is_within_1(b)
    return False


def is_at_most_0(term: Node) -> bool:
    match term:
        case RealConst(value):
            return value <= 0
        case RealOp("-", a, b):
            return is_at_most_0(a) and is_at_least_0(b)
        case RealOp("min", a, b):
            return is_at_most_0(a) or is_at_most_0(b)
        case RealOp("+" | "max", a, b):
            return is_at_most_0(a) and is_at_most_0(b)
        case RealOp("*", a, b):
            return (is_at_most_0(a) and is_at_least_0(b)) or (is_at_least_0(a) and is_at_most_0(b))
        case RealOp("/", a, b):
            return is_at_most_0(a) and is_positive(b)
    return False


def is_at_least_0(term: Node) -> bool:
    match term:
        case RealConst(value):
            return value >= 0
        case RealCall("abs" | "relu" | "sqrt"):
            return True
        case RealOp("**", _, RealConst(value)) if value % 2 == 0:
            return True
        case RealOp("**", a, _):
            return is_at_least_0(a)
        case RealOp("*", a, b) if a == b:
            return True
        case RealOp("max", a, b):
            return is_at_least_0(a) or is_at_least_0(b)
        case RealOp("+" | "*" | "min", a, b):
            return is_at_least_0(a) and is_at_least_0(b)
        case RealOp("-", a, b):
            return is_at_least_0(a) and is_at_most_0(b)
        case RealOp("/", a, b):
            return is_at_least_0(a) and is_positive(b)
        case Row(_, a):
            return is_at_least_0(a)
    return is_positive(term)


def is_positive(term: Node) -> bool:
    """More than 0, in a row that sees a key."""
    match term:
        case RealConst(value):
            return value > 0
        case RealCall("exp" | "sigmoid" | "softplus") | Count():
            return True
        case RealCall("sqrt" | "abs", a) | Row(_, a):
            return is_positive(a)
        case RealOp("+", a, b):
            return (is_positive(a) and is_at_least_0(b)) or (is_at_least_0(a) and is_positive(b))
        case RealOp("*" | "/" | "min", a, b):
            return is_positive(a) and is_positive(b)
        case RealOp("max", a, b):
            return is_positive(a) or is_positive(b)
        case RealOp("**", a, _):
            return is_positive(a)
    return False
