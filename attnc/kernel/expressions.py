"""Expressions of the kernel language.

Enters: nothing. Leaves: frozen expressions, which build with Python's own operators, so that a lowering reads like its
kernel; and the names of variables in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

ExprLike: TypeAlias = Union["Expr", int, float, bool, str, None]


@dataclass(frozen=True, slots=True)
class Expr:
    """Operators build; only `==` compares, so that equal terms are equal. Use `equals` to build `a == b`."""

    def __add__(self, other: ExprLike) -> Expr:
        return Op("+", self, expr(other))

    def __radd__(self, other: ExprLike) -> Expr:
        return Op("+", expr(other), self)

    def __sub__(self, other: ExprLike) -> Expr:
        return Op("-", self, expr(other))

    def __rsub__(self, other: ExprLike) -> Expr:
        return Op("-", expr(other), self)

    def __mul__(self, other: ExprLike) -> Expr:
        return Op("*", self, expr(other))

    def __rmul__(self, other: ExprLike) -> Expr:
        return Op("*", expr(other), self)

    def __truediv__(self, other: ExprLike) -> Expr:
        return Op("/", self, expr(other))

    def __rtruediv__(self, other: ExprLike) -> Expr:
        return Op("/", expr(other), self)

    def __floordiv__(self, other: ExprLike) -> Expr:
        return Op("//", self, expr(other))

    def __mod__(self, other: ExprLike) -> Expr:
        return Op("%", self, expr(other))

    def __and__(self, other: ExprLike) -> Expr:
        return Op("&", self, expr(other))

    def __or__(self, other: ExprLike) -> Expr:
        return Op("|", self, expr(other))

    def __lt__(self, other: ExprLike) -> Expr:
        return Op("<", self, expr(other))

    def __le__(self, other: ExprLike) -> Expr:
        return Op("<=", self, expr(other))

    def __gt__(self, other: ExprLike) -> Expr:
        return Op(">", self, expr(other))

    def __ge__(self, other: ExprLike) -> Expr:
        return Op(">=", self, expr(other))

    def __neg__(self) -> Expr:
        return Unary("-", self)

    def __invert__(self) -> Expr:
        return Unary("~", self)

    def equals(self, other: ExprLike) -> Expr:
        return Op("==", self, expr(other))

    def differs(self, other: ExprLike) -> Expr:
        return Op("!=", self, expr(other))

    def __getitem__(self, index: Any) -> Expr:
        items = index if isinstance(index, tuple) else (index,)
        return Item(self, tuple([_slice(item) if isinstance(item, slice) else expr(item) for item in items]))

    def to(self, *args: ExprLike, **kwargs: ExprLike) -> Expr:
        return self.call("to", *args, **kwargs)

    def call(self, method: str, *args: ExprLike, **kwargs: ExprLike) -> Expr:
        """`self.method(args)`."""
        return call(Attr(self, method), args, kwargs)

    def attr(self, name: str) -> Expr:
        return Attr(self, name)


@dataclass(frozen=True, slots=True)
class Var(Expr):
    name: str


@dataclass(frozen=True, slots=True)
class Lit(Expr):
    value: int | float | bool | str | None


@dataclass(frozen=True, slots=True)
class Text(Expr):
    """A text that quotes the values of expressions, which hold no text of their own: an f-string."""

    parts: tuple[str | Expr, ...]


@dataclass(frozen=True, slots=True)
class Op(Expr):
    op: str
    a: Expr
    b: Expr


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    op: str
    a: Expr


@dataclass(frozen=True, slots=True)
class Attr(Expr):
    a: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Item(Expr):
    a: Expr
    index: tuple[Expr | slice, ...]


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A keyword `**` unpacks its value."""

    fn: Expr
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[str, Expr], ...] = ()


@dataclass(frozen=True, slots=True)
class Tuple(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class List(Expr):
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Dict(Expr):
    """An item without a key unpacks its value."""

    items: tuple[tuple[Expr | None, Expr], ...]


@dataclass(frozen=True, slots=True)
class Ternary(Expr):
    then: Expr
    cond: Expr
    other: Expr


def expr(value: ExprLike) -> Expr:
    """A Python number, truth value, text or None as a literal; an expression as itself."""
    return value if isinstance(value, Expr) else Lit(value)


def call(fn: Expr, args: tuple[ExprLike, ...], kwargs: Mapping[str, ExprLike]) -> Call:
    """`fn(args)`."""
    named = tuple([(name, expr(value)) for name, value in kwargs.items()]) if kwargs else ()
    return Call(fn, tuple([each if isinstance(each, Expr) else Lit(each) for each in args]), named)


def _slice(value: slice) -> slice:
    """A slice whose ends are expressions or None."""
    start, stop = value.start, value.stop
    return slice(None if start is None else expr(start), None if stop is None else expr(stop))


# ---- names in a term -------------------------------------------------------------------------------


def bound_by(target: Expr) -> tuple[str, ...]:
    """The names of `a` or `a, b`; none of a place in something, as `a[rows]`."""
    match target:
        case Var(name):
            return (name,)
        case Tuple(items):
            return tuple([item.name for item in items if isinstance(item, Var)])
        case _:
            return ()


def names_in(*terms: Expr) -> list[str]:
    """Every variable in these terms, as often as it occurs."""
    found: list[str] = []
    todo: list[object] = [*terms]
    while todo:
        match todo.pop():
            case Var(name):
                found.append(name)
            case Op(_, a, b):
                todo += (a, b)
            case Unary(_, a) | Attr(a, _):
                todo.append(a)
            case Item(a, index):
                todo += (a, *index)
            case slice(start=start, stop=stop, step=step):
                todo += (start, stop, step)
            case Call(fn, args, kwargs):
                todo += (fn, *args, *dict(kwargs).values())
            case Tuple(items) | List(items) | Text(items):
                todo += items
            case Dict(items):
                todo += (part for item in items for part in item)
            case Ternary(then, cond, other):
                todo += (then, cond, other)
    return found
