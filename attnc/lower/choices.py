"""Choices in terms that torch differentiates: what is not chosen has no gradient, whatever it is.

Enters: a term of vectors or of numbers of a row. Leaves: a term of the same values. Torch computes both sides of a
choice, and gives the side that is not taken a gradient of 0; times a slope that is infinite there, as that of `1 / x`
at 0, this is nan. So what such a side reads is read where it is taken, and is 1 elsewhere:

    q if c else q / w    becomes    q if c else q / (1 if c else w)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from attnc.ir import build
from attnc.ir.nodes import (
    Bool,
    Compare,
    Count,
    Dot,
    Int,
    LogSumExp,
    Node,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    RowLog,
    RowSum,
    Splat,
    SumD,
    Total,
    VecCall,
    VecIf,
    VecInput,
    VecLoad,
    VecOp,
    VecTotal,
)
from attnc.ir.walk import axes_of, holds, map_children, rebuild, replace_terms, walk

T = TypeVar("T", bound=Node)

POSITIONS = frozenset({"i", "j"})
ONE = RealConst(1.0)
SEES_A_KEY = Compare("<", RealConst(0.0), Count())


def shield(term: T) -> T:
    """The term, in which no side of a choice reads what it is not taken for."""
    return _change_sides(term, _read_where)


def shield_tokens(score: Real) -> Real:
    """The score, in which nothing that is computed once for a token is so where no pair of the token takes it."""
    return _change_sides(score, _read_tokens_where)


def _change_sides(term: T, change: Callable[[Bool, bool, Node], Node]) -> T:
    """Change the sides of all choices, inner ones first, given the condition and whether it has to hold."""
    if not holds(term, RealIf, VecIf):
        return term
    known: dict[int, Node] = {}

    def visit(node: Node) -> Node:
        if id(node) not in known:
            inside = map_children(node, visit)
            match inside:
                case RealIf(cond, a, b) | VecIf(cond, a, b):
                    inside = rebuild(inside, (cond, change(cond, True, a), change(cond, False, b)))
            known[id(node)] = inside
        return known[id(node)]

    return visit(term)  # type: ignore[return-value]


def _read_tokens_where(cond: Bool, is_true: bool, term: Node) -> Node:
    places = axes_of(cond) & POSITIONS

    def read(part: Node) -> Node | None:
        if not isinstance(part, SumD | Dot):
            return None
        return map_children(part, vector)

    def vector(part: Node) -> Node:
        own = axes_of(part) & POSITIONS
        return _read_where(cond, is_true, part) if places <= own < POSITIONS else part

    return replace_terms(term, read, SumD, Dot)


def read_where(cond: Bool, term: T) -> T:
    """The term, which reads what it reads where the condition holds, and 1 elsewhere."""
    return _read_where(cond, True, term)


def is_steep(term: Node) -> bool:
    """May a term or its slope be infinite, where what it reads is not?"""
    return any(
        (isinstance(part, RealOp | VecOp) and part.op in ("/", "**"))
        or (isinstance(part, RealCall | VecCall) and part.fn in ("exp", "log", "sqrt"))
        for part in walk(term)
    )


def is_finite(number: Real) -> Bool:
    """Is a number finite?"""
    return Compare("<", build.call("abs", number), RealConst(math.inf))


def _read_where(cond: Bool, is_true: bool, term: T) -> T:
    def chosen(part: Node, otherwise: Node) -> Node:
        a, b = (part, otherwise) if is_true else (otherwise, part)
        return build.choose(cond, a, b)  # type: ignore[call-overload,no-any-return]

    def read(part: Node) -> Node | None:
        match part:
            case Int() | Bool():
                return part
            case VecInput() | VecLoad() | VecTotal():
                return chosen(part, Splat(ONE))
            case RealLoad() | Total() | RowSum() | RowLog() | LogSumExp():
                return chosen(part, ONE)
        return None

    return replace_terms(term, read) if is_steep(term) else term  # type: ignore[return-value]
