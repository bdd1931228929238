"""A condition of a call, as data.

Enters: integers over sizes and parameters. Leaves: `CallCheck`s, which the interpreter evaluates (`run/checks.py`) and
an emitted module has in print (`lower/host/checks.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from attnc.analyze.facts import Requirement
from attnc.ir.nodes import Int, IntConst, IntOp, Real
from attnc.ir.text import print_ir
from attnc.ir.walk import walk
from attnc.source import Span

ZERO, ONE = IntConst(0), IntConst(1)


@dataclass(frozen=True, slots=True)
class CallCheck:
    """`a op b`: a call in which it does not hold is refused in these `words`, which quote the values of terms.

    What a check divides by is checked before it. `span` is the place of the spec that asks for it.
    """

    code: str
    a: Int | Real
    op: Literal["==", "!=", ">="]
    b: Int
    words: tuple[str | Int, ...]
    span: Span | None
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()


def size_checks(owner: str, size: Int) -> Iterator[CallCheck]:
    """Nothing is divided by 0, and no size is below it. `owner` is an array in backticks, or a grid."""
    has = f"{owner} has the dimension `{print_ir(size)}`, which"
    for part in walk(size):
        match part:
            case IntOp("//" | "%", _, by) if not isinstance(by, IntConst):
                yield CallCheck("wrong-size", by, "!=", ZERO, (f"{has} divides by 0",), None)
    yield CallCheck("wrong-size", size, ">=", ZERO, (f"{has} is ", size), None)


def requirement_check(required: Requirement) -> CallCheck:
    """What a kernel rests on."""
    term, reason = required.term, required.reason
    words = (f"`{print_ir(term)}` needs 1 or more, got ", term)
    return CallCheck("wrong-value", term, ">=", ONE, words, reason.span, (reason.text,))
