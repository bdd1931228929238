"""Numbers of a call that a spec divides by.

Enters: an attention. Leaves: its `Division`s by numbers that only the parameters of a call decide. Such a number must
not be 0: the results would be infinite, or no numbers, at every pair. A condition before the division may be there to
say what 0 means, as in `cap * tanh(s / cap) if cap > 0 else s`: behind one nothing is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
from attnc.ir.walk import children, replace_terms, walk


@dataclass(frozen=True, slots=True)
class Division:
    """A term, and the number of the call that it divides by."""

    term: Node
    by: Real

    @property
    def number(self) -> str:
        """The number as the spec has it."""
        return _spell(self.by)

    @property
    def text(self) -> str:
        match self.term:
            case VecOp("/", a, _):
                return f"{_spell(a)} / {self.number}"
        return _spell(self.term)


def find_divisions(attention: Attention) -> tuple[Division, ...]:
    """One for each such number, in the order of the clauses."""
    clauses = (
        attention.query, attention.key, attention.value, attention.mask, attention.score, attention.normalize,
        attention.output,
    )  # fmt: skip
    found: dict[Real, Division] = {}
    seen: set[int] = set()
    for clause in clauses:
        for division in _divisions(clause, seen):
            found.setdefault(division.by, division)
    return tuple(found.values())


def _spell(term: Node) -> str:
    """The term in words of the spec, which does not say where an int becomes a real."""

    def change(part: Node) -> Node | None:
        match part:
            case FromInt(IntParam(name)):
                return RealParam(name)
        return None

    return print_ir(replace_terms(term, change))


def _divisions(node: Node, seen: set[int]) -> Iterator[Division]:
    """Those that no condition is before."""
    if id(node) in seen:
        return
    seen.add(id(node))
    match node:
        case And((first, *_)) | Or((first, *_)):
            yield from _divisions(first, seen)
        case RealIf(cond) | VecIf(cond) | BoolIf(cond) | IntIf(cond):
            yield from _divisions(cond, seen)
        case _:
            for child in children(node):
                yield from _divisions(child, seen)
    by = _divisor(node)
    if by is not None and _is_of_the_call(by) and not is_positive(by):
        yield Division(node, by)


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
