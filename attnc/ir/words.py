"""Terms as a person would write them, for sentences.

Enters: a term. Leaves: its text without what only tells sorts apart: `2 * (i - j)` for `2.0 * real(i - j)`. It is not
read again.
"""

from __future__ import annotations

from dataclasses import fields, replace

from attnc.ir.nodes import FromInt, IntConst, Node, RealConst, Splat
from attnc.ir.text import print_ir

LARGEST = 2**53
LONGEST = 240


def say(term: Node) -> str:
    """The term, quoted; the beginning of one that nobody would read."""
    text = plain_text(term)
    return f"`{text}`" if len(text) <= LONGEST else f"`{text[:LONGEST]} ...`"


def plain_text(term: Node) -> str:
    return print_ir(_plain(term))


def _plain(term: Node) -> Node:
    """The same with integers where reals and vectors are made of them; for printing alone, as sorts do not fit."""
    match term:
        case FromInt(a) | Splat(a):
            return _plain(a)
        case RealConst(value) if value.is_integer() and abs(value) < LARGEST:
            return IntConst(int(value))
    changed = {field.name: _plain_value(getattr(term, field.name)) for field in fields(term)}
    return replace(term, **changed)  # type: ignore[arg-type]


def _plain_value(value: object) -> object:
    if isinstance(value, Node):
        return _plain(value)
    return tuple(map(_plain_value, value)) if isinstance(value, tuple) else value
