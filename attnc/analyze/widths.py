"""Which widths must agree for a call to make sense.

Enters: an attention. Leaves: `CallCheck`s. What can be told without a call is told when the spec is
checked; a width that is a parameter is known only in a call, by the interpreter and by the emitted module.
"""

from __future__ import annotations

from collections.abc import Iterator

from attnc.analyze.call_check import CallCheck
from attnc.errors import CompilerBug
from attnc.ir.nodes import (
    Attention,
    Dot,
    Int,
    IntConst,
    IntOp,
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
    VecTotal,
)
from attnc.ir.walk import walk

_RESULTS = {"query": Size("D"), "key": Size("D"), "value": Size("DV"), "output": Size("DV")}
_INPUTS = {"q": Size("D"), "k": Size("D"), "v": Size("DV"), "v_i": Size("DV"), "o": Size("DV")}


def find_widths(attention: Attention) -> Iterator[CallCheck]:
    """What some call may break, in the order of the clauses."""
    for word, clause in attention.clauses.items():
        for term in walk(clause):
            match term:
                case Dot(a, b):
                    yield from _same(term, "`dot`", a, b, attention)
                case VecOp(op, a, b):
                    yield from _same(term, f"`{op}`", a, b, attention)
                case VecIf(_, a, b):
                    yield from _same(term, "`if`", a, b, attention)
                case Rope(a) if (width := width_of(a, attention)) is not None:
                    words = ("`rope` needs a vector of even width, got ", width)
                    even = IntOp("%", width, IntConst(2))
                    yield CallCheck("width-mismatch", even, "==", IntConst(0), words, term.span)
        if isinstance(clause, Vec) and word in _RESULTS:
            needs, got = _RESULTS[word], width_of(clause, attention)
            if got is not None and got != needs:
                must = f"`{word}` must give a vector of width `{needs.name}` = "
                said = (must, needs, ", got ", got)
                yield CallCheck("width-mismatch", got, "==", needs, said, clause.span)


def _same(term: Node, what: str, a: Vec, b: Vec, attention: Attention) -> Iterator[CallCheck]:
    """Two vectors meet in `term`; `what` is its operator, as messages quote it."""
    x, y = width_of(a, attention), width_of(b, attention)
    if x is not None and y is not None and x != y:
        words = (f"{what} meets vectors of two widths, ", x, " and ", y)
        yield CallCheck("width-mismatch", x, "==", y, words, term.span)


def width_of(vec: Vec, attention: Attention) -> Int | None:
    """The width of a vector; None for a number in place of one, which fits any."""
    match vec:
        case VecInput(name):
            return _INPUTS[name]
        case VecLoad(array) | VecTotal(array):
            return attention.param(array).sizes[-1]
        case Splat():
            return None
        case VecCall(_, a) | Rope(a):
            return width_of(a, attention)
        case VecOp(_, a, b) | VecIf(_, a, b):
            x = width_of(a, attention)
            return width_of(b, attention) if x is None else x
        case _:
            raise CompilerBug(f"no width for {vec!r}")
