"""Laws of integers, for every integer.

Enters: nothing. Leaves: `INTEGER_LAWS`. What needs the sign of a term or the range of an index is no law: the prover
of `sets` knows those.
"""

from __future__ import annotations

from attnc.ir import build
from attnc.ir.nodes import (
    IntAbs,
    IntConst,
    IntOp,
    Node,
)
from attnc.ir.rewrite import Law, law

INTEGER_LAWS: list[Law] = []


@law("0 - (0 - x) = x", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("-", IntConst(0), IntOp("-", IntConst(0), x)):
            return x
    return None


@law("0 - (x - y) = y - x", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("-", IntConst(0), IntOp("-", x, y)):
            return build.integer("-", y, x)
    return None


@law("x + (0 - y) = x - y", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("+", x, IntOp("-", IntConst(0), y)):
            return build.integer("-", x, y)
    return None


@law("x - (0 - y) = x + y", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("-", x, IntOp("-", IntConst(0), y)):
            return build.integer("+", x, y)
    return None


@law("x + y - y = x", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("-", IntOp("+", x, y), z) if y == z:
            return x
    return None


@law("x + y - x = y", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("-", IntOp("+", x, y), z) if x == z:
            return y
    return None


@law("x - y + y = x", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("+", IntOp("-", x, y), z) if y == z:
            return x
    return None


@law("y + (x - y) = x", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("+", z, IntOp("-", x, y)) if y == z:
            return x
    return None


@law("x // c * c + x % c = x", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("+", IntOp("*", IntOp("//", x, IntConst(c)), IntConst(d)), IntOp("%", y, IntConst(e))) if (
            x == y and c == d == e != 0
        ):
            return x
    return None


@law("x + c + d = x + (c + d)", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("+" | "-" as outer, IntOp("+" | "-" as inner, x, IntConst(c)), IntConst(d)):
            total = (c if inner == "+" else -c) + (d if outer == "+" else -d)
            return build.integer("+" if total >= 0 else "-", x, IntConst(abs(total)))
    return None


@law("x * c * d = x * (c * d)", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("*", IntOp("*", x, IntConst(c)), IntConst(d)):
            return build.integer("*", x, IntConst(c * d))
    return None


@law("x * c // c = x", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("//", IntOp("*", x, IntConst(c)), IntConst(d)) if c == d != 0:
            return x
    return None


@law("x * c % c = 0", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("%", IntOp("*", _, IntConst(c)), IntConst(d)) if c == d != 0:
            return IntConst(0)
    return None


@law("x // c // d = x // (c * d)", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("//", IntOp("//", x, IntConst(c)), IntConst(d)) if c > 0 and d > 0:
            return build.integer("//", x, IntConst(c * d))
    return None


@law("x % c % c = x % c", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("%", IntOp("%", _, IntConst(c)) as remainder, IntConst(d)) if c == d != 0:
            return remainder
    return None


@law("x % c // c = 0", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("//", IntOp("%", _, IntConst(c)), IntConst(d)) if c == d != 0:
            return IntConst(0)
    return None


@law("min(x, max(x, y)) = x", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp("min" | "max" as outer, x, IntOp("min" | "max" as inner, y, z)) | IntOp(
            "min" | "max" as outer, IntOp("min" | "max" as inner, y, z), x
        ) if outer != inner and x in (y, z):
            return x
    return None


@law("min(min(x, c), d) = min(x, min(c, d))", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntOp(
            "min" | "max" as outer, IntOp("min" | "max" as inner, x, IntConst() as c), IntConst() as d
        ):
            return build.integer(outer, x, build.integer(outer, c, d)) if outer == inner else None
    return None


@law("abs(0 - x) = abs(x)", INTEGER_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntAbs(IntOp("-", IntConst(0), x)):
            return build.int_abs(x)
    return None
