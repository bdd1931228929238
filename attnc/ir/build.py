"""Terms in canonical form.

Enters: the parts of a term. Leaves: the term, its constants folded, `>` turned around, `and` / `or` flat, and `not`
pushed into comparisons where that is exact. Arguments keep their order: emitted code reads as the author wrote it.

What is exact: integers always. Reals, where both sides are the same number for every input, inf and nan included; the
sign of a zero is not part of the language. `x * 0.0` is therefore left alone, and a fold that would give inf or nan
never happens: the kernel meets the same values as the reader of the spec. A fold may drop an erroneous read
(`t[99] * 0`) or division; it never adds one.

Negation has no node: `-x` is `0 - x` for integers, reals and vectors (`negative`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import overload

from attnc.errors import CompilerBug
from attnc.ir.arithmetic import (
    Comparison,
    Function,
    IntOperator,
    RealOperator,
    VecFunction,
    comparison_value,
    function_value,
    integer_value,
    real_value,
)
from attnc.ir.nodes import (
    And,
    Bool,
    BoolIf,
    Compare,
    Floor,
    FromInt,
    Int,
    IntAbs,
    IntConst,
    IntIf,
    IntOp,
    IsPow2,
    Node,
    Not,
    Or,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealOp,
    Splat,
    Truth,
    Vec,
    VecCall,
    VecIf,
    VecOp,
)
from attnc.source import Span

TRUE = Truth(True)
FALSE = Truth(False)


# ---- integers --------------------------------------------------------------------------------------


def integer(op: IntOperator, a: Int, b: Int, *, span: Span | None = None) -> Int:
    """`a op b`. A division by the constant zero is left as it is written."""
    match op, a, b:
        case _, IntConst(x), IntConst(y):
            folded = integer_value(op, x, y)
            return IntOp(op, a, b, span=span) if folded is None else IntConst(folded, span=span)
        case (("+" | "-"), _, IntConst(0)):
            return a
        case "+", IntConst(0), _:
            return b
        case (("*" | "//"), _, IntConst(1)):
            return a
        case "*", IntConst(1), _:
            return b
        case ("*", _, IntConst(0)) | ("*", IntConst(0), _) | ("%", _, IntConst(1)):
            return IntConst(0, span=span)
        case (("min" | "max"), _, _) if a == b:
            return a
        case ("-", _, _) if a == b:
            return IntConst(0, span=span)
        case _:
            return IntOp(op, a, b, span=span)


def int_abs(a: Int, *, span: Span | None = None) -> Int:
    """`abs(a)`."""
    match a:
        case IntConst(x):
            return IntConst(abs(x), span=span)
        case IntAbs():
            return a
        case _:
            return IntAbs(a, span=span)


def floor(a: Real, *, span: Span | None = None) -> Int:
    """`floor(a)`: the only way from a real to an integer."""
    match a:
        case RealConst(x) if math.isfinite(x):
            return IntConst(math.floor(x), span=span)
        case FromInt(x):
            return x
        case _:
            return Floor(a, span=span)


# ---- booleans --------------------------------------------------------------------------------------


def compare(op: Comparison, a: Int | Real, b: Int | Real, *, span: Span | None = None) -> Bool:
    """`a op b` with both sides of one sort. `a > b` becomes `b < a`."""
    if op == ">" or op == ">=":
        return compare("<" if op == ">" else "<=", b, a, span=span)
    if isinstance(a, Int) != isinstance(b, Int):
        raise CompilerBug(f"a comparison of two sorts: {a} {op} {b}")
    match a, b:
        case (IntConst(x), IntConst(y)) | (RealConst(x), RealConst(y)):
            return Truth(comparison_value(op, x, y), span=span)
        case Int(), Int() if a == b:
            return Truth(op in ("<=", "=="), span=span)
        case _:
            return Compare(op, a, b, span=span)


def conj(*items: Bool, span: Span | None = None) -> Bool:
    """`a and b and ...`, flat, in written order, each item once."""
    kept = _flatten(items, And, Truth(True))
    if FALSE in kept:
        return Truth(False, span=span)
    if len(kept) == 1:
        return kept[0]
    return And(kept, span=span) if kept else Truth(True, span=span)


def disj(*items: Bool, span: Span | None = None) -> Bool:
    """`a or b or ...`, flat, in written order, each item once."""
    kept = _flatten(items, Or, Truth(False))
    if TRUE in kept:
        return Truth(True, span=span)
    if len(kept) == 1:
        return kept[0]
    return Or(kept, span=span) if kept else Truth(False, span=span)


def _flatten(items: Iterable[Bool], word: type[And] | type[Or], neutral: Truth) -> tuple[Bool, ...]:
    kept: dict[Bool, None] = {}
    for item in items:
        for part in item.items if isinstance(item, word) else (item,):
            if part != neutral:
                kept.setdefault(part)
    return tuple(kept)


def negate(a: Bool, *, span: Span | None = None) -> Bool:
    """`not a`. A real `<` keeps its `not`: where nan stands, neither `x < y` nor `y <= x` holds."""
    match a:
        case Truth(value):
            return Truth(not value, span=span)
        case Not(inner):
            return inner
        case Compare("==", x, y):
            return Compare("!=", x, y, span=span)
        case Compare("!=", x, y):
            return Compare("==", x, y, span=span)
        case Compare("<", Int() as x, Int() as y):
            return Compare("<=", y, x, span=span)
        case Compare("<=", Int() as x, Int() as y):
            return Compare("<", y, x, span=span)
        case _:
            return Not(a, span=span)


def is_pow2(a: Int, *, span: Span | None = None) -> Bool:
    """`ispow2(a)`: is `a` one of 1, 2, 4, 8, ...?"""
    match a:
        case IntConst(x):
            return Truth(x > 0 and x & (x - 1) == 0, span=span)
        case _:
            return IsPow2(a, span=span)


# ---- reals -----------------------------------------------------------------------------------------


def real(op: RealOperator, a: Real, b: Real, *, span: Span | None = None) -> Real:
    """`a op b`."""
    match op, a, b:
        case _, RealConst(x), RealConst(y):
            value = real_value(op, x, y)
            return RealOp(op, a, b, span=span) if value is None else RealConst(value, span=span)
        case (("+" | "-"), _, RealConst(0)):
            return a
        case "+", RealConst(0), _:
            return b
        case (("*" | "/" | "**"), _, RealConst(1)):
            return a
        case "*", RealConst(1), _:
            return b
        case "**", _, RealConst(0):
            return RealConst(1.0, span=span)
        case (("min" | "max"), _, _) if a == b:
            return a
        case _:
            return RealOp(op, a, b, span=span)


def call(fn: Function, a: Real, *, span: Span | None = None) -> Real:
    """`fn(a)`."""
    match fn, a:
        case _, RealConst(x):
            value = function_value(fn, x)
            return RealCall(fn, a, span=span) if value is None else RealConst(value, span=span)
        case "abs", RealCall("abs"):
            return a
        case "relu", RealCall("relu"):
            return a
        case _:
            return RealCall(fn, a, span=span)


def from_int(a: Int, *, span: Span | None = None) -> Real:
    """An integer as a real. A constant that no double holds exactly stays an integer inside."""
    match a:
        case IntConst(x) if abs(x) <= 2**53:
            return RealConst(float(x), span=span)
        case _:
            return FromInt(a, span=span)


# ---- vectors ---------------------------------------------------------------------------------------


def vector(op: RealOperator, a: Vec, b: Vec, *, span: Span | None = None) -> Vec:
    """`a op b`, feature by feature."""
    match op, a, b:
        case _, Splat(x), Splat(y):
            return Splat(real(op, x, y, span=span), span=span)
        case (("+" | "-"), _, Splat(RealConst(0))):
            return a
        case "+", Splat(RealConst(0)), _:
            return b
        case (("*" | "/" | "**"), _, Splat(RealConst(1))):
            return a
        case "*", Splat(RealConst(1)), _:
            return b
        case (("min" | "max"), _, _) if a == b:
            return a
        case _:
            return VecOp(op, a, b, span=span)


def vec_call(fn: VecFunction, a: Vec, *, span: Span | None = None) -> Vec:
    """`fn(a)`, feature by feature but for `l2`."""
    if fn == "l2":
        return VecCall(fn, a, span=span)
    match fn, a:
        case _, Splat(x):
            return Splat(call(fn, x, span=span), span=span)
        case ("abs", VecCall("abs")) | ("relu", VecCall("relu")):
            return a
        case _:
            return VecCall(fn, a, span=span)


# ---- of any sort -----------------------------------------------------------------------------------


@overload
def choose(cond: Bool, a: Int, b: Int, *, span: Span | None = None) -> Int: ...
@overload
def choose(cond: Bool, a: Bool, b: Bool, *, span: Span | None = None) -> Bool: ...
@overload
def choose(cond: Bool, a: Real, b: Real, *, span: Span | None = None) -> Real: ...
@overload
def choose(cond: Bool, a: Vec, b: Vec, *, span: Span | None = None) -> Vec: ...
def choose(cond: Bool, a: Node, b: Node, *, span: Span | None = None) -> Node:
    """`a if cond else b`."""
    if isinstance(cond, Truth):
        return a if cond.value else b
    if a == b:
        return a
    match a, b:
        case Int(), Int():
            return IntIf(cond, a, b, span=span)
        case Truth(True), Truth(False):
            return cond
        case Bool(), Bool():
            return BoolIf(cond, a, b, span=span)
        case Real(), Real():
            return RealIf(cond, a, b, span=span)
        case Vec(), Vec():
            return VecIf(cond, a, b, span=span)
        case _:
            raise CompilerBug(f"a choice between two sorts: {a} and {b}")


@overload
def negative(a: Int, *, span: Span | None = None) -> Int: ...
@overload
def negative(a: Real, *, span: Span | None = None) -> Real: ...
@overload
def negative(a: Vec, *, span: Span | None = None) -> Vec: ...
def negative(a: Node, *, span: Span | None = None) -> Node:
    """`-a`, written `0 - a`; of `-b` it is `b`."""
    match a:
        case IntOp("-", IntConst(0), b) | RealOp("-", RealConst(0), b) | VecOp("-", Splat(RealConst(0)), b):
            return b
        case Int():
            return integer("-", IntConst(0), a, span=span)
        case Real():
            return real("-", RealConst(0.0), a, span=span)
        case Vec():
            return vector("-", Splat(RealConst(0.0)), a, span=span)
        case _:
            raise CompilerBug(f"no negative of {a}")


@overload
def clamp(a: Int, lo: Int, hi: Int, *, span: Span | None = None) -> Int: ...
@overload
def clamp(a: Real, lo: Real, hi: Real, *, span: Span | None = None) -> Real: ...
@overload
def clamp(a: Vec, lo: Vec, hi: Vec, *, span: Span | None = None) -> Vec: ...
def clamp(a: Node, lo: Node, hi: Node, *, span: Span | None = None) -> Node:
    """`min(max(a, lo), hi)`: `hi` where the bounds cross."""
    match a, lo, hi:
        case Int(), Int(), Int():
            return integer("min", integer("max", a, lo, span=span), hi, span=span)
        case Real(), Real(), Real():
            return real("min", real("max", a, lo, span=span), hi, span=span)
        case Vec(), Vec(), Vec():
            return vector("min", vector("max", a, lo, span=span), hi, span=span)
        case _:
            raise CompilerBug(f"a clamp of several sorts: {a}, {lo}, {hi}")
