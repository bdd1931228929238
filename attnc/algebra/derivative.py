"""The derivative of a score by one of its leaves, as a term of the IR.

Enters: a real term and a leaf of it (a dot product or an element read from an array). Leaves: the derivative, written
in values that the forward pass has: `1 - tanh(x) ** 2`, `sigmoid(x)`; so shared subterms stay equal and are computed
once. Every function has its own stable rule, with torch's convention at a tie or a kink (`relu'(0) = abs'(0) = 0`,
both sides of a tied `max` get one half). No simplifier is involved: `ir/build.py` drops zeros and ones, nothing else.
"""

from __future__ import annotations

from functools import reduce

from attnc.errors import CompilerBug
from attnc.ir import build
from attnc.ir.nodes import (
    Bool,
    Compare,
    Count,
    Dot,
    FromInt,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    RealParam,
    Row,
    Scale,
    Score,
    SumD,
)
from attnc.ir.walk import walk

ZERO, HALF, ONE = RealConst(0.0), RealConst(0.5), RealConst(1.0)


def differentiate(term: Real, leaf: Dot | RealLoad | Score) -> Real:
    """D term / d leaf, where every other leaf is held fixed."""
    if term == leaf:
        return ONE
    if not any(part == leaf for part in walk(term)):
        return ZERO
    match term:
        case RealOp(op, a, b):
            return _operation(term, op, a, b, leaf)
        case RealCall(fn, a):
            return _times(_outer(fn, a), differentiate(a, leaf))
        case RealIf(cond, a, b):
            return _choose(cond, differentiate(a, leaf), differentiate(b, leaf))
        case Dot() | RealLoad() | SumD() | RealParam() | RealConst() | Scale() | FromInt():
            return ZERO
        case Score() | Row() | Count():
            raise CompilerBug(f"{type(term).__name__} in a score")
        case unknown:
            raise CompilerBug(f"no derivative of {type(unknown).__name__}")


def _operation(term: RealOp, op: str, a: Real, b: Real, leaf: Dot | RealLoad | Score) -> Real:
    da, db = differentiate(a, leaf), differentiate(b, leaf)
    match op:
        case "+":
            return build.real("+", da, db)
        case "-":
            return build.real("-", da, db)
        case "*":
            return build.real("+", _times(da, b), _times(a, db))
        case "/":
            by_numerator = _divide(da, b)
            by_denominator = _divide(_times(term, db), b)
            return build.real("-", by_numerator, by_denominator)
        case "**":
            return build.real("+", _power_rule(a, b, da), _times(_times(term, build.call("log", a)), db))
        case "min":
            return _tie(Compare("<", a, b), Compare("<", b, a), da, db)
        case "max":
            return _tie(Compare("<", b, a), Compare("<", a, b), da, db)
    raise CompilerBug(f"no derivative of the operator {op}")


def _power_rule(base: Real, exponent: Real, dbase: Real) -> Real:
    """Exponent * base ** (exponent - 1) * dbase; a square stays a product."""
    if dbase == ZERO:
        return ZERO
    if exponent == RealConst(2.0):
        return _times(_times(exponent, base), dbase)
    lowered = build.real("**", base, build.real("-", exponent, ONE))
    return _times(_times(exponent, lowered), dbase)


def _tie(a_wins: Compare, b_wins: Compare, da: Real, db: Real) -> Real:
    tied = _times(HALF, build.real("+", da, db))
    return _choose(a_wins, da, _choose(b_wins, db, tied))


def _outer(fn: str, a: Real) -> Real:
    """f'(a)."""
    value = build.call(fn, a)  # type: ignore[arg-type]
    match fn:
        case "exp":
            return value
        case "log":
            return _divide(ONE, a)
        case "sqrt":
            return _divide(HALF, value)
        case "tanh":
            return build.real("-", ONE, _times(value, value))
        case "sigmoid":
            return _times(value, build.real("-", ONE, value))
        case "relu":
            return RealIf(Compare("<", ZERO, value), ONE, ZERO)
        case "silu":
            gate = build.call("sigmoid", a)
            return build.real("+", gate, _times(value, build.real("-", ONE, gate)))
        case "softplus":
            return build.call("sigmoid", a)
        case "abs":
            return RealIf(Compare("<", ZERO, a), ONE, RealIf(Compare("<", a, ZERO), RealConst(-1.0), ZERO))
        case "sin":
            return build.call("cos", a)
        case "cos":
            return build.real("-", ZERO, build.call("sin", a))
    raise CompilerBug(f"no derivative of the function {fn}")


def _choose(cond: Bool, a: Real, b: Real) -> Real:
    return a if a == b else RealIf(cond, a, b)


def _times(*factors: Real) -> Real:
    """A product. A zero factor here means that the leaf does not occur, so it annihilates even what is infinite."""
    if ZERO in factors:
        return ZERO
    for n, factor in enumerate(factors):
        match factor:
            case RealIf(cond, a, b) if b == ZERO:  # where relu is flat, nothing comes through: no 0 * inf
                return RealIf(cond, _times(*factors[:n], a, *factors[n + 1 :]), ZERO)
    return reduce(lambda a, b: build.real("*", a, b), factors)


def _divide(a: Real, b: Real) -> Real:
    match a:
        case RealIf(cond, of_true, of_false) if of_false == ZERO:
            return RealIf(cond, _divide(of_true, b), ZERO)
    return ZERO if a == ZERO else build.real("/", a, b)
