"""What is known of the size and the sign of a real, whatever the score is.

Enters: terms. Leaves: answers, each of them sound: what is called positive is, over the reals; of the rest nothing is
known.
"""

from __future__ import annotations

from collections.abc import Collection

from attnc.ir.nodes import Count, Node, RealCall, RealConst, RealOp, Row, Score
from attnc.ir.walk import holds, walk


def grows(term: Node, bounded: Collection[Node] = ()) -> bool:
    """May an exponential in it overflow where the score is large? `bounded` terms are 0 at most."""
    return any(
        isinstance(part, RealCall)
        and part.fn == "exp"
        and holds(part, Score)
        and not (part.a in bounded or is_at_most_0(part.a))
        for part in walk(term)
    )


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
