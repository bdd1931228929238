"""The kernel language: the small part of Python in which both Triton kernels and the CPU path are written.

Enters: nothing. Leaves: frozen expressions and statements. A schedule in `lower/` builds them, `emit/` prints them, one
node as one line or one block. Expressions build with Python's own operators, so a lowering reads like its kernel.

What it will never have: `while`, `break`, exceptions, attribute assignment, nested functions, lambdas, formatting.
What it has not: atomics, pointer arithmetic other than base + offset. Add them only when a lowering needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

ExprLike: TypeAlias = Union["Expr", int, float, bool, str, None]

# ---- expressions -----------------------------------------------------------------------------------


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
        return Item(self, tuple(_slice(item) if isinstance(item, slice) else expr(item) for item in items))

    def to(self, *args: ExprLike, **kwargs: ExprLike) -> Expr:
        return self.call("to", *args, **kwargs)

    def call(self, method: str, *args: ExprLike, **kwargs: ExprLike) -> Expr:
        """`self.method(args)`."""
        return Call(
            Attr(self, method), tuple(map(expr, args)), tuple((k, expr(v)) for k, v in kwargs.items())
        )

    def attr(self, name: str) -> Expr:
        return Attr(self, name)


@dataclass(frozen=True, slots=True)
class Var(Expr):
    name: str


@dataclass(frozen=True, slots=True)
class Lit(Expr):
    value: int | float | bool | str | None


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
class Ternary(Expr):
    then: Expr
    cond: Expr
    other: Expr


def expr(value: ExprLike) -> Expr:
    """A Python number, truth value, text or None as a literal; an expression as itself."""
    return value if isinstance(value, Expr) else Lit(value)


def _slice(value: slice) -> slice:
    """A slice whose ends are expressions or None."""
    return slice(*(None if end is None else expr(end) for end in (value.start, value.stop)))


# ---- statements ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assign:
    """`target op value  # note`; `op` is `=` or an augmented one. The note is mostly a place in the spec."""

    target: Expr
    value: Expr
    op: str = "="
    note: str = ""


@dataclass(frozen=True, slots=True)
class Do:
    """An expression for its effect."""

    value: Expr
    note: str = ""


@dataclass(frozen=True, slots=True)
class For:
    var: Expr
    over: Expr
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True)
class If:
    cond: Expr
    then: tuple[Stmt, ...]
    other: tuple[Stmt, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Return:
    """Without a value the function ends there."""

    value: Expr | None


@dataclass(frozen=True, slots=True)
class Comment:
    text: str


@dataclass(frozen=True, slots=True)
class Blank:
    pass


Stmt: TypeAlias = Assign | Do | For | If | Return | Comment | Blank


@dataclass(frozen=True, slots=True)
class Param:
    name: str
    annotation: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the emitted module. `decorator` is text, without its `@`."""

    name: str
    params: tuple[Param, ...]
    doc: str
    body: tuple[Stmt, ...]
    decorator: str = ""


# ---- names in a term -------------------------------------------------------------------------------


def names_in(value: Expr | Stmt) -> Iterator[str]:
    """Every variable read or written in a term or a statement, in reading order, with repetitions."""
    match value:
        case Var(name):
            yield name
        case Lit() | Comment() | Blank() | Return(None):
            return
        case Op(_, a, b):
            yield from names_in(a)
            yield from names_in(b)
        case Unary(_, a) | Attr(a, _) | Return(Expr() as a) | Do(a, _):
            yield from names_in(a)
        case Item(a, index):
            yield from names_in(a)
            for item in index:
                ends = (item.start, item.stop, item.step) if isinstance(item, slice) else (item,)
                for end in ends:
                    if isinstance(end, Expr):
                        yield from names_in(end)
        case Call(fn, args, kwargs):
            yield from names_in(fn)
            for arg in (*args, *(v for _, v in kwargs)):
                yield from names_in(arg)
        case Tuple(items) | List(items):
            for part in items:
                yield from names_in(part)
        case Ternary(then, cond, other):
            for part in (then, cond, other):
                yield from names_in(part)
        case Assign(target, term, _, _):
            yield from names_in(term)
            yield from names_in(target)
        case For(var, over, body):
            yield from names_in(over)
            yield from names_in(var)
            for stmt in body:
                yield from names_in(stmt)
        case If(cond, yes, no, _):
            yield from names_in(cond)
            for stmt in (*yes, *no):
                yield from names_in(stmt)
