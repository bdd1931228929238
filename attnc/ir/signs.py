"""What is known of the size and the sign of a real, whatever the score is.

Enters: terms. Leaves: answers, each of them sound: what is called positive is, over the reals; of the rest nothing is
known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from math import isfinite

from attnc.ir.nodes import (
    Count,
    Dot,
    FromInt,
    Index,
    Node,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealOp,
    Row,
    Score,
    Size,
    Splat,
    SumD,
    VecCall,
    VecIf,
    VecOp,
)
from attnc.ir.univariate import is_polynomial_at_least_0, is_polynomial_positive
from attnc.ir.walk import holds, walk

MOST_KEPT = 2048  # each question asks the others of the same parts
SMALL = RealConst(8.0)  # exp(8) is 3,000: a sum over a million keys is far from the end of float32


def grows(term: Node, bounded: Collection[Node] = ()) -> bool:
    """May an exponential in it overflow where the score is large? `bounded` terms, and so multiples, are 0 at most."""
    return any(not (is_small(each) or _is_bounded(each, bounded)) for each in _exponents(term))


def exceeds_1(term: Node, bounded: Collection[Node] = ()) -> bool:
    """May an exponential in it be above 1? The same exponential less a log-sum-exp is not."""
    return any(not (is_at_most_0(each) or _is_bounded(each, bounded)) for each in _exponents(term))


def _exponents(term: Node) -> Iterator[Real]:
    """Of the exponentials that change with the score."""
    for part in walk(term):
        if isinstance(part, RealCall) and part.fn == "exp" and holds(part, Score):
            yield part.a


def _is_bounded(exponent: Real, bounded: Collection[Node]) -> bool:
    return any(is_multiple(exponent, each) for each in bounded)


def is_small(term: Real) -> bool:
    """Is it 8 at most?"""
    return is_at_most_0(term) or is_within_1(term) or is_polynomial_at_least_0(RealOp("-", SMALL, term))


def is_multiple(term: Node, of: Node) -> bool:
    """Is it the other one times a number that is not negative?"""
    one, two = _weights(term), _weights(of)
    if one.keys() != two.keys():
        return False
    times = {one[part] / two[part] for part in one}
    return len(times) == 1 and min(times) > 0


@lru_cache(MOST_KEPT)
def _weights(term: Node) -> Mapping[Node, Fraction]:
    """How often each part is in a sum."""
    found: dict[Node, Fraction] = {}
    todo = [(term, Fraction(1))]
    for part, times in todo:
        match part:
            case RealOp("+" | "-" as op, a, b):
                todo += [(a, times), (b, times if op == "+" else -times)]
            case RealOp("*", RealConst(c), a) | RealOp("*", a, RealConst(c)) if isfinite(c):
                todo.append((a, times * Fraction(c)))
            case RealOp("/", a, RealConst(c)) if c and isfinite(c):
                todo.append((a, times / Fraction(c)))
            case RealConst(0.0):
                pass
            case _:
                found[part] = found.get(part, Fraction(0)) + times
    return {part: times for part, times in found.items() if times}


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


@lru_cache(MOST_KEPT)
def is_at_most_0(term: Node) -> bool:
    match term:
        case RealConst(value):
            return value <= 0
        case RealOp("-", a, b) if is_at_most_0(a) and is_at_least_0(b):
            return True
        case RealOp("min", a, b) if is_at_most_0(a) or is_at_most_0(b):
            return True
        case RealOp("+" | "max", a, b) if is_at_most_0(a) and is_at_most_0(b):
            return True
        case RealOp("*", a, b) if is_at_most_0(a) and is_at_least_0(b):
            return True
        case RealOp("*", a, b) if is_at_least_0(a) and is_at_most_0(b):
            return True
        case RealOp("/", a, b) if is_at_most_0(a) and is_positive(b):
            return True
        case Row(_, a) if is_at_most_0(a):
            return True
    return isinstance(term, Real) and is_polynomial_at_least_0(RealOp("-", RealConst(0.0), term))


@lru_cache(MOST_KEPT)
def is_at_least_0(term: Node) -> bool:
    """Of a vector, each of its numbers."""
    match term:
        case RealConst(value):
            return value >= 0
        case RealCall("abs" | "relu" | "sqrt") | VecCall("abs" | "relu" | "sqrt"):
            return True
        case VecCall("l2", a) if is_at_least_0(a):
            return True
        case RealIf(_, a, b) | VecIf(_, a, b) if is_at_least_0(a) and is_at_least_0(b):
            return True
        case FromInt(Index() | Size()):
            return True
        case RealOp("**", _, RealConst(value)) | VecOp("**", _, Splat(RealConst(value))) if value % 2 == 0:
            return True
        case RealOp("**", a, _) | VecOp("**", a, _) if is_at_least_0(a):
            return True
        case RealOp("*", a, b) | VecOp("*", a, b) | Dot(a, b) if a == b:
            return True
        case RealOp("max", a, b) | VecOp("max", a, b) if is_at_least_0(a) or is_at_least_0(b):
            return True
        case RealOp("+" | "*" | "min", a, b) | VecOp("+" | "*" | "min", a, b):
            if is_at_least_0(a) and is_at_least_0(b):
                return True
        case RealOp("-", a, b) if is_at_least_0(a) and is_at_most_0(b):
            return True
        case RealOp("/", a, b) | VecOp("/", a, b) if is_at_least_0(a) and is_positive(b):
            return True
        case Dot(a, b) if is_at_least_0(a) and is_at_least_0(b):
            return True
        case Row(_, a) | SumD(a) | Splat(a) if is_at_least_0(a):
            return True
    return is_positive(term) or (isinstance(term, Real) and is_polynomial_at_least_0(term))


@lru_cache(MOST_KEPT)
def is_positive(term: Node) -> bool:
    """More than 0, in a row that sees a key; of a vector, each of its numbers."""
    match term:
        case RealConst(value):
            return value > 0
        case RealCall("exp" | "sigmoid" | "softplus") | VecCall("exp" | "sigmoid" | "softplus") | Count():
            return True
        case RealIf(_, a, b) | VecIf(_, a, b) if is_positive(a) and is_positive(b):
            return True
        case FromInt(Size()):
            return True
        case Dot(a, b) if is_positive(a) and is_positive(b):
            return True
        case SumD(a) | Splat(a) if is_positive(a):
            return True
        case RealCall("sqrt" | "abs", a) | Row(_, a) if is_positive(a):
            return True
        case RealOp("+", a, b) | VecOp("+", a, b) if is_positive(a) and is_at_least_0(b):
            return True
        case RealOp("+", a, b) | VecOp("+", a, b) if is_at_least_0(a) and is_positive(b):
            return True
        case RealOp("-", a, b) if is_positive(a) and is_at_most_0(b):
            return True
        case RealOp("*" | "/" | "min", a, b) | VecOp("*" | "/" | "min", a, b):
            if is_positive(a) and is_positive(b):
                return True
        case RealOp("max", a, b) | VecOp("max", a, b) if is_positive(a) or is_positive(b):
            return True
        case RealOp("**", a, _) | VecOp("**", a, _) if is_positive(a):
            return True
    return isinstance(term, Real) and is_polynomial_positive(term)
