"""Laws of conditions, and of choices between terms of any sort.

Enters: nothing. Leaves: `BOOLEAN_LAWS`. `and` and `or` are read from left to right, so no law moves a part before one
that may keep it from being read.
"""

from __future__ import annotations

from attnc.ir import build
from attnc.ir.nodes import (
    And,
    Bool,
    BoolIf,
    Compare,
    IntIf,
    Node,
    Not,
    Or,
    RealIf,
    Truth,
    VecIf,
)
from attnc.ir.rewrite import Law, law

BOOLEAN_LAWS: list[Law] = []


@law("not (p and q) = not p or not q", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case Not(And(items)):
            return build.disj(*(build.negate(item) for item in items))
    return None


@law("not (p or q) = not p and not q", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case Not(Or(items)):
            return build.conj(*(build.negate(item) for item in items))
    return None


@law("p and not p = false", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case And(items) if any(build.negate(item) in items for item in items):
            return Truth(False)
    return None


@law("p or not p = true", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case Or(items) if any(build.negate(item) in items for item in items):
            return Truth(True)
    return None


@law("p and (p or q) = p", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case And(items):
            return _absorbed(items, Or, And)
    return None


@law("p or p and q = p", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case Or(items):
            return _absorbed(items, And, Or)
    return None


def _absorbed(items: tuple[Bool, ...], inner: type[And | Or], outer: type[And | Or]) -> Bool | None:
    # Only an item that stands earlier absorbs: it is read first either way.
    kept: list[Bool] = []
    for item in items:
        if not (isinstance(item, inner) and any(part in kept for part in item.items)):
            kept.append(item)
    if len(kept) == len(items):
        return None
    return build.conj(*kept) if outer is And else build.disj(*kept)


@law("p if q else false = q and p", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case BoolIf(q, p, Truth(False)):
            return build.conj(q, p)
    return None


@law("true if q else p = q or p", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case BoolIf(q, Truth(True), p):
            return build.disj(q, p)
    return None


@law("false if q else p = not q and p", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case BoolIf(q, Truth(False), p):
            return build.conj(build.negate(q), p)
    return None


@law("p if q else true = not q or p", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case BoolIf(q, p, Truth(True)):
            return build.disj(build.negate(q), p)
    return None


@law("x < y or x == y = x <= y", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case Or(items):
            for item in items:
                match item:
                    case Compare("<", x, y):
                        parts = item, Compare("==", x, y), Compare("==", y, x)
                    case _:
                        continue
                # It stands where the first of the two stood: what comes between is read no more often than before.
                first, *others = (at for at, other in enumerate(items) if other in parts)
                if others:
                    rest = (other for other in items[first:] if other not in parts)
                    return build.disj(*items[:first], build.compare("<=", x, y), *rest)
    return None


@law("x if not p else y = y if p else x", BOOLEAN_LAWS)
def _(term: Node) -> Node | None:
    match term:
        case IntIf(Not(p), x, y):
            return build.choose(p, y, x)
        case BoolIf(Not(p), x, y):
            return build.choose(p, y, x)
        case RealIf(Not(p), x, y):
            return build.choose(p, y, x)
        case VecIf(Not(p), x, y):
            return build.choose(p, y, x)
    return None
