"""Expressions of the kernel language as text, by one table of precedence.

Enters: an `Expr`. Leaves: its Python text, with parentheses only where precedence needs them. The right operand of a
left-associative operator is printed one level tighter, so `a - (b - c)` and `5 * (i % 2)` keep their parentheses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from attnc.errors import CompilerBug
from attnc.kernel.expressions import (
    Attr,
    Call,
    Dict,
    Expr,
    Item,
    List,
    Lit,
    Op,
    Ternary,
    Text,
    Tuple,
    Unary,
    Var,
)

TERNARY, OR, AND, NOT, COMPARE, BIT_OR, BIT_AND, SUM, PRODUCT, SIGN, POWER, POSTFIX = range(12)

PRECEDENCE = {
    "or": OR, "and": AND,
    "<": COMPARE, "<=": COMPARE, ">": COMPARE, ">=": COMPARE, "==": COMPARE, "!=": COMPARE, "is": COMPARE,
    "is not": COMPARE, "in": COMPARE,
    "|": BIT_OR, "&": BIT_AND,
    "+": SUM, "-": SUM,
    "*": PRODUCT, "/": PRODUCT, "//": PRODUCT, "%": PRODUCT,
    "**": POWER,
}  # fmt: skip
UNARY = {"-": SIGN, "~": SIGN, "not": NOT, "*": SIGN}  # the last unpacks an argument


def emit_expression(value: Expr) -> str:
    """The text of an expression on one line, as a statement holds it: a tuple needs no parentheses."""
    return _text(value, TERNARY - 1)


def operands(value: Op) -> list[tuple[str, Expr]]:
    """An operation, or a chain `a & b & c` or `a + b - c`, as operands with the operator before each ("" at first)."""
    level, chain = PRECEDENCE[value.op], []
    rest: Expr = value
    while isinstance(rest, Op) and PRECEDENCE[rest.op] == level and level not in (COMPARE, POWER):
        chain.append((rest.op, rest.b))
        rest = rest.a
    if not chain:
        return [("", value.a), (value.op, value.b)]
    return [("", rest), *reversed(chain)]


def emit_operand(value: Expr, op: str, is_first: bool = False) -> str:
    """An operand as it stands on the right of `op`, or on the left of it where it is the first of a chain."""
    level = PRECEDENCE[op]
    return _text(value, level if is_first and level not in (COMPARE, POWER) else level + 1)


def emit_argument(value: Expr) -> str:
    """An argument of a call."""
    return _text(value, TERNARY)


def _text(value: Expr, level: int) -> str:
    if isinstance(value, Var):
        return value.name
    text, own = _print(value)
    return f"({text})" if own < level else text


def _print(value: Expr) -> tuple[str, int]:
    match value:
        case Lit(number):
            return emit_literal(number), SIGN if _is_negative(number) else POSTFIX
        case Text(parts):
            return quote(emit_parts(parts)), POSTFIX
        case Op(op, a, b):
            own = PRECEDENCE[op]
            tighter = own == COMPARE or op == "**"
            left = _text(a, own + 1 if tighter else own)
            right = _text(b, SIGN if op == "**" else own + 1)
            is_close = op == "**" and not isinstance(a, Item)
            return f"{left}**{right}" if is_close else f"{left} {op} {right}", own
        case Unary(op, a):
            return f"{op}{' ' if op == 'not' else ''}{_text(a, UNARY[op])}", UNARY[op]
        case Attr(a, name):
            return f"{emit_base(a)}.{name}", POSTFIX
        case Item(a, index):
            return f"{emit_base(a)}[{', '.join(indices(index))}]", POSTFIX
        case Call(fn, args, kwargs):
            return f"{emit_base(fn)}({', '.join(arguments(args, kwargs))})", POSTFIX
        case Tuple(items):
            return ", ".join(_text(i, TERNARY) for i in items) + ("," if len(items) == 1 else ""), TERNARY - 1
        case List(items):
            return f"[{', '.join(_text(i, TERNARY) for i in items)}]", POSTFIX
        case Dict(items):
            return f"{{{', '.join(map(emit_item, items))}}}", POSTFIX
        case Ternary(then, cond, other):
            return f"{_text(then, OR)} if {_text(cond, OR)} else {_text(other, TERNARY)}", TERNARY
        case unknown:
            raise CompilerBug(f"no text for the kernel expression {type(unknown).__name__}")


def emit_base(value: Expr) -> str:
    """What `.name`, `[...]` or `(...)` stands behind: a number needs parentheses there, as in `(2).T`."""
    return f"({emit_literal(value.value)})" if isinstance(value, Lit) else _text(value, POSTFIX)


def arguments(args: tuple[Expr, ...], kwargs: tuple[tuple[str, Expr], ...]) -> list[str]:
    """The texts of a call's arguments."""
    return [_text(a, TERNARY) for a in args] + [f"{keyword(k)}{_text(v, TERNARY)}" for k, v in kwargs]


def keyword(name: str) -> str:
    """What stands before the value of a keyword."""
    return name if name == "**" else f"{name}="


def emit_item(item: tuple[Expr | None, Expr]) -> str:
    """An item of a dictionary."""
    key, value = item
    return f"{_text(key, TERNARY)}: {_text(value, TERNARY)}" if key else f"**{_text(value, TERNARY)}"


def indices(index: tuple[Expr | slice, ...]) -> list[str]:
    """The texts between the brackets of an item."""
    return [_index(item) for item in index]


def _index(item: Expr | slice) -> str:
    if not isinstance(item, slice):
        return _text(item, TERNARY)
    if item.start is None and item.stop is None:
        return ":"
    ends = (_slice_end(item.start), _slice_end(item.stop))
    spaced = any(end and not end.replace("_", "a").isalnum() for end in ends)
    return (f"{ends[0]} : {ends[1]}" if spaced else f"{ends[0]}:{ends[1]}").strip()


def _slice_end(end: Expr | None) -> str:
    return "" if end is None else _text(end, TERNARY)


def emit_literal(number: int | float | bool | str | None) -> str:
    """A literal; infinities and nan, which Python has no literal for, as calls of float."""
    if isinstance(number, float) and not math.isfinite(number):
        return f'float("{number}")'
    return f'"{_escaped(number)}"' if isinstance(number, str) else repr(number)


def emit_parts(parts: Iterable[str | Expr]) -> str:
    """What stands between the quotes of an f-string."""
    return "".join(
        _escaped(part).replace("{", "{{").replace("}", "}}")
        if isinstance(part, str)
        else f"{{{emit_argument(part)}}}"
        for part in parts
    )


def quote(inside: str) -> str:
    """An f-string of what stands between its quotes, or a plain one if it quotes nothing."""
    return f'{"f" if "{" in inside or "}" in inside else ""}"{inside}"'


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode().replace('"', '\\"')


def _is_negative(number: object) -> bool:
    return isinstance(number, (int, float)) and not isinstance(number, bool) and math.copysign(1, number) < 0
