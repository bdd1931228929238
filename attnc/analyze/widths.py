"""Which widths must agree for a call to make sense.

Enters: an attention. Leaves: rules, in sizes and parameters. What can be told without a call is told when the spec is
checked; a width that is a parameter is known only in a call, by the interpreter and by the emitted module.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from attnc.errors import CompilerBug
from attnc.ir.nodes import (
    Attention,
    Dot,
    Int,
    Node,
    Rope,
    Size,
    Splat,
    Vec,
    VecCall,
    VecIf,
    VecInput,
    VecLoad,
    VecOp,
)
from attnc.ir.walk import walk

_CLAUSES = ("query", "key", "value", "mask", "score", "normalize", "output")
_RESULTS = {"query": Size("D"), "key": Size("D"), "value": Size("DV"), "output": Size("DV")}
_INPUTS = {"q": Size("D"), "k": Size("D"), "v": Size("DV"), "v_i": Size("DV"), "o": Size("DV")}


@dataclass(frozen=True, slots=True)
class SameWidths:
    """Two vectors meet in `term`; `what` is its operator, as messages quote it."""

    term: Node
    what: str
    a: Int
    b: Int


@dataclass(frozen=True, slots=True)
class ResultWidth:
    """The vector of a clause is as wide as the language says."""

    term: Node
    clause: str
    needs: Size
    got: Int


@dataclass(frozen=True, slots=True)
class EvenWidth:
    """`rope` turns pairs of numbers."""

    term: Node
    got: Int


WidthRule: TypeAlias = SameWidths | ResultWidth | EvenWidth


def find_width_rules(attention: Attention) -> tuple[WidthRule, ...]:
    """The rules that some call may break, each once, in the order of the clauses."""
    return tuple(dict.fromkeys(_rules(attention)))


def _rules(attention: Attention) -> Iterator[WidthRule]:
    for word in _CLAUSES:
        clause = getattr(attention, word)
        for term in walk(clause):
            match term:
                case Dot(a, b):
                    yield from _same(term, "`dot`", a, b, attention)
                case VecOp(op, a, b):
                    yield from _same(term, f"`{op}`", a, b, attention)
                case VecIf(_, a, b):
                    yield from _same(term, "`if`", a, b, attention)
                case Rope(a) if (width := _width(a, attention)) is not None:
                    yield EvenWidth(term, width)
        if word in _RESULTS:
            needs, got = _RESULTS[word], _width(clause, attention)
            if got is not None and got != needs:
                yield ResultWidth(clause, word, needs, got)


def _same(term: Node, what: str, a: Vec, b: Vec, attention: Attention) -> Iterator[WidthRule]:
    x, y = _width(a, attention), _width(b, attention)
    if x is not None and y is not None and x != y:
        yield SameWidths(term, what, x, y)


def _width(vec: Vec, attention: Attention) -> Int | None:
    """The width of a vector; None for a number in place of one, which fits any."""
    match vec:
        case VecInput(name):
            return _INPUTS[name]
        case VecLoad(array):
            return attention.param(array).sizes[-1]
        case Splat():
            return None
        case VecCall(_, a) | Rope(a):
            return _width(a, attention)
        case VecOp(_, a, b) | VecIf(_, a, b):
            x = _width(a, attention)
            return _width(b, attention) if x is None else x
        case _:
            raise CompilerBug(f"no width for {vec!r}")
