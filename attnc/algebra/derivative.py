"""The derivative of a score by one of its leaves, as a term of the IR.

Enters: a real term and a leaf of it (a dot product or an element read from an array). Leaves: the derivative, written
in values that the forward pass has: `1 - tanh(x) ** 2`, `sigmoid(x)`; so shared subterms stay equal and are computed
once. Every function has its own stable rule, with torch's convention at a tie or a kink (`relu'(0) = abs'(0) = 0`,
both sides of a tied `max` get one half). No simplifier is involved: `ir/build.py` drops zeros and ones, nothing else.
"""

from __future__ import annotations

from collections.abc import Set
from functools import reduce

from attnc.errors import CompilerBug
from attnc.ir import build
from attnc.ir.nodes import (
    Bool,
    Compare,
    Count,
    Dot,
    FromInt,
    Node,
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


Leaf = Dot | RealLoad | Score


def differentiate(term: Real, leaf: Leaf) -> Real:
    """D term / d leaf, where every other leaf is held fixed."""
    return Derivatives(term).by(leaf)


class Derivatives:
    """The derivatives of one term by any of its leaves, each by the way from the leaf up and nothing beside it."""

    def __init__(self, term: Real) -> None:
        self.term = term
        self._above: dict[int, list[Node]] = {}
        self._places: dict[Node, list[Node]] = {}
        for part in walk(term):
            for child in part.children:
                self._above.setdefault(id(child), []).append(part)
            if isinstance(part, Leaf):
                self._places.setdefault(part, []).append(part)

    def by(self, leaf: Leaf) -> Real:
        """D term / d leaf."""
        return _differentiate(self.term, leaf, self._way_up(leaf))

    def _way_up(self, leaf: Leaf) -> set[int]:
        """The parts that the leaf stands in, itself among them, by identity."""
        way, todo = set[int](), list(self._places.get(leaf, ()))
        while todo:
            here = todo.pop()
            if id(here) not in way:
                way.add(id(here))
                todo += self._above.get(id(here), ())
        return way


def _differentiate(term: Real, leaf: Leaf, way: Set[int]) -> Real:
    if id(term) not in way:
        return ZERO
    if term == leaf:
        return ONE
    match term:
        case RealOp(op, a, b):
            da, db = _differentiate(a, leaf, way), _differentiate(b, leaf, way)
            return _operation(term, op, a, b, da, db)
        case RealCall(fn, a):
            return _times(_outer(fn, a), _differentiate(a, leaf, way))
        case RealIf(cond, a, b):
            return _choose(cond, _differentiate(a, leaf, way), _differentiate(b, leaf, way))
        case Dot() | RealLoad() | SumD() | RealParam() | RealConst() | Scale() | FromInt():
            return ZERO
        case Score() | Row() | Count():
            raise CompilerBug(f"{type(term).__name__} in a score")
        case unknown:
            raise CompilerBug(f"no derivative of {type(unknown).__name__}")


def _operation(term: RealOp, op: str, a: Real, b: Real, da: Real, db: Real) -> Real:
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
