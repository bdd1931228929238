"""Laws of reals, for every number a kernel can hold.

Enters: nothing. Leaves: `REAL_LAWS`. They hold to the last bit or to the last unit of it, inf and nan included, and
so do the derivatives of both sides: what `x / x = 1` or `log(exp(x)) = x` says of real numbers is wrong for these. The
sign of a zero is not part of the language. Missing on purpose: `x ** 3 = x * x * x` (two roundings),
`max(x, 0) = relu(x)` (another derivative at 0), `log(1 + exp(x)) = softplus(x)` (another value where exp overflows).
"""

from __future__ import annotations

import math

from attnc.ir import build
from attnc.ir.nodes import (
    Compare,
    FromInt,
    Node,
    RealCall,
    RealConst,
    RealOp,
)
from attnc.ir.rewrite import Law, law

REAL_LAWS: list[Law] = []


@law("0 - (0 - x) = x", REAL_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case RealOp("-", RealConst(0.0), RealOp("-", RealConst(0.0), x)):
            return x
    return None


@law("0 - (x - y) = y - x", REAL_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case RealOp("-", RealConst(0.0), RealOp("-", x, y)):
            return build.real("-", y, x)
    return None


@law("x + (0 - y) = x - y", REAL_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case RealOp("+", x, RealOp("-", RealConst(0.0), y)):
            return build.real("-", x, y)
    return None


@law("x - (0 - y) = x + y", REAL_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case RealOp("-", x, RealOp("-", RealConst(0.0), y)):
            return build.real("+", x, y)
    return None


@law("(0 - x) * (0 - y) = x * y", REAL_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case RealOp("*", RealOp("-", RealConst(0.0), x), RealOp("-", RealConst(0.0), y)):
            return build.real("*", x, y)
    return None


@law("abs(0 - x) = abs(x)", REAL_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case RealCall("abs" | "cos" as even, RealOp("-", RealConst(0.0), x)):
            return build.call(even, x)
    return None


@law("x ** 2 = x * x", REAL_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case RealOp("**", x, RealConst(2.0)):
            return build.real("*", x, x)
    return None


@law("x ** -1 = 1 / x", REAL_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case RealOp("**", x, RealConst(-1.0)):
            return build.real("/", RealConst(1.0), x)
    return None


@law("x ** 0.5 = sqrt(x)", REAL_LAWS)
def _(term: Node) -> Node | None:
    """Where x cannot be -inf, whose power is inf and whose root is nan."""
    match term:
        case RealOp("**", FromInt() | RealCall() as x, RealConst(0.5)):
            if not (isinstance(x, RealCall) and x.fn == "log"):
                return build.call("sqrt", x)
    return None


@law("x / c = x * (1 / c)", REAL_LAWS)
def _(term: Node) -> Node | None:
    """Where c is a power of two, and 1 / c a normal number in single precision too."""
    match term:
        case RealOp("/", x, RealConst(c)) if math.isfinite(c) and abs(math.frexp(c)[0]) == 0.5:
            if 2.0**-126 <= abs(c) <= 2.0**126:
                return build.real("*", x, RealConst(1.0 / c))
    return None


@law("real(x) < real(y) = x < y", REAL_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case Compare(op, FromInt(x), FromInt(y)):
            return build.compare(op, x, y)
    return None
