"""Numbers of a call that a spec divides by.

Enters: an attention. Leaves: a `CallCheck` for each number that it divides by and that only parameters decide. It must
not be 0: the results would be infinite, or no numbers, at every pair. A condition before the division may be there to
say what 0 means, as in `cap * tanh(s / cap) if cap > 0 else s`: behind one nothing is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from attnc.analyze.call_check import ZERO, CallCheck
from attnc.ir.nodes import (
    And,
    Attention,
    BoolIf,
    FromInt,
    IntConst,
    IntIf,
    IntParam,
    Node,
    Or,
    Real,
    RealConst,
    RealIf,
    RealOp,
    RealParam,
    Splat,
    VecIf,
    VecOp,
)
from attnc.ir.signs import is_positive
from attnc.ir.text import print_ir
from attnc.ir.walk import replace_terms, walk


def find_divisions(attention: Attention) -> tuple[CallCheck, ...]:
    """One for each such number, in the order of the clauses."""
    found: dict[Real, CallCheck] = {}
    seen: set[int] = set()
    for clause in attention.clauses.values():
        for term, by in _divisions(clause, seen):
            found.setdefault(by, _check(term, by))
    return tuple(found.values())


def _check(term: Node, by: Real) -> CallCheck:
    number = _spell(by)
    match term:
        case VecOp("/", a, _):
            text = f"{_spell(a)} / {number}"
        case _:
            text = _spell(term)
    words = (f"`{number}` is 0, and `{text}` divides by it",)
    helps = (f"where 0 means none, let the spec say so: `... if {number} != 0 else ...`",)
    return CallCheck("division-by-zero", by, "!=", ZERO, words, term.span, helps=helps)


def _spell(term: Node) -> str:
    """The term in words of the spec, which does not say where an int becomes a real."""

    def change(part: Node) -> Node | None:
        match part:
            case FromInt(IntParam(name)):
                return RealParam(name)
        return None

    return print_ir(replace_terms(term, change))


def _divisions(node: Node, seen: set[int]) -> Iterator[tuple[Node, Real]]:
    """Terms that no condition is before, and the number of the call that each divides by."""
    if id(node) in seen:
        return
    seen.add(id(node))
    match node:
        case And((first, *_)) | Or((first, *_)):
            yield from _divisions(first, seen)
        case RealIf(cond) | VecIf(cond) | BoolIf(cond) | IntIf(cond):
            yield from _divisions(cond, seen)
        case _:
            for child in node.children:
                yield from _divisions(child, seen)
    by = _divisor(node)
    if by is not None and _is_of_the_call(by) and not is_positive(by):
        yield node, by


def _divisor(node: Node) -> Real | None:
    match node:
        case RealOp("/", _, by) | VecOp("/", _, Splat(by)):
            return by
        case RealOp("**", by, RealConst(exponent)) if exponent < 0:
            return by
    return None


def _is_of_the_call(term: Real) -> bool:
    """Is it made of parameters, by sums and products?"""
    parts = list(walk(term))
    return any(isinstance(part, RealParam | IntParam) for part in parts) and all(
        isinstance(part, RealConst | RealParam | FromInt | IntConst | IntParam)
        or (isinstance(part, RealOp) and part.op in ("+", "-", "*", "min", "max"))
        for part in parts
    )
