"""What an expression can stand for while it is being checked.

Enters: nothing. Leaves: `Value`s (a term of the IR, an array not yet indexed, a slice of one, or `BROKEN`) and
`Operand`s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from attnc.errors import CompilerBug
from attnc.ir import nodes as ir
from attnc.source import Span

Term = ir.Int | ir.Bool | ir.Real | ir.Vec


@dataclass(frozen=True, slots=True)
class Array:
    """An array parameter that still needs its index."""

    param: ir.Param


@dataclass(frozen=True, slots=True)
class Slice:
    """Elements of an array from `first` to in front of `end`; rows of it, where a `:` is behind them."""

    param: ir.Param
    index: tuple[ir.Int, ...]
    first: ir.Int
    end: ir.Int
    is_row: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """What a mistake leaves behind. Whatever is built from it is broken too, and nobody is told twice."""


BROKEN: Final = Broken()

Value = Term | Array | Slice | Broken


@dataclass(frozen=True, slots=True)
class Operand:
    """A value and where it was written."""

    value: Value
    span: Span


def kind(value: Value) -> str:
    """The sort of a value as people call it, with its article."""
    match value:
        case ir.Int():
            return "an integer"
        case ir.Bool():
            return "a bool"
        case ir.Real():
            return "a real"
        case ir.Vec():
            return "a vector"
        case Array():
            return "an array"
        case Slice():
            return "a slice"
        case _:
            raise CompilerBug(f"no sort for {value!r}")


def quote(span: Span, longest: int = 40) -> str:
    """The text of a span in backticks, or `this` where it is too long for a message."""
    text = " ".join(span.text.split())
    return f"`{text}`" if 0 < len(text) <= longest else "this"
