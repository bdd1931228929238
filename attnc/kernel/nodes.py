"""The kernel language: the small part of Python in which kernels, the CPU path and what launches them are written.

Enters: nothing. Leaves: frozen expressions and statements. A schedule in `lower/` builds them, `emit/` prints them, one
node as one line or one block. Expressions build with Python's own operators, so a lowering reads like its kernel.

Functions of the host alone have `with`, `try`, `raise`, dictionaries and texts that quote values, and set an attribute
of autograd's context.
What it will never have: `while`, `break`, nested functions, lambdas.
What it has not: atomics, pointer arithmetic other than base + offset. Add them only when a lowering needs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias, Union

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


def _slice(value: slice) -> slice:
    """A slice whose ends are expressions or None."""
    return slice(*(None if end is None else expr(end) for end in (value.start, value.stop)))


# ---- statements ------------------------------------------------------------------------------------
# Each knows which names it `reads`, and which it `binds`: a plain `=` does, and a loop its variable. What is written
# into, as `out[rows] = value` or `total += value`, is read.

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Assign:
    """`target op value  # note`; `op` is `=` or an augmented one. The note is mostly a place in the spec.

    A name `of_spec` stands for one of its terms.
    """

    target: Expr
    value: Expr
    op: str = "="
    note: str = ""
    of_spec: bool = False

    @cached_property
    def reads(self) -> frozenset[str]:
        return frozenset(names_in(self.value) if self.binds else names_in(self.target, self.value))

    @cached_property
    def binds(self) -> tuple[str, ...]:
        return bound_by(self.target) if self.op == "=" else ()


@dataclass(frozen=True)
class Do:
    """An expression for its effect."""

    value: Expr
    note: str = ""
    binds: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def reads(self) -> frozenset[str]:
        return frozenset(names_in(self.value))


@dataclass(frozen=True)
class For:
    var: Expr
    over: Expr
    body: tuple[Stmt, ...]

    @cached_property
    def reads(self) -> frozenset[str]:
        return read_by(self.body).union(names_in(self.over))

    @cached_property
    def binds(self) -> tuple[str, ...]:
        return (*bound_by(self.var), *bound_in(self.body))


@dataclass(frozen=True)
class If:
    cond: Expr
    then: tuple[Stmt, ...]
    other: tuple[Stmt, ...] = ()
    note: str = ""

    @cached_property
    def reads(self) -> frozenset[str]:
        return read_by((*self.then, *self.other)).union(names_in(self.cond))

    @cached_property
    def binds(self) -> tuple[str, ...]:
        return bound_in((*self.then, *self.other))


@dataclass(frozen=True)
class With:
    over: Expr
    body: tuple[Stmt, ...]
    note: str = ""

    @cached_property
    def reads(self) -> frozenset[str]:
        return read_by(self.body).union(names_in(self.over))

    @cached_property
    def binds(self) -> tuple[str, ...]:
        return bound_in(self.body)


@dataclass(frozen=True)
class Try:
    """`body`, and `then` if it raises one of `mistakes`, which is `name` there."""

    body: tuple[Stmt, ...]
    mistakes: Expr
    name: str
    then: tuple[Stmt, ...]

    @cached_property
    def reads(self) -> frozenset[str]:
        return read_by((*self.body, *self.then)).union(names_in(self.mistakes))

    @cached_property
    def binds(self) -> tuple[str, ...]:
        return (self.name, *bound_in((*self.body, *self.then)))


@dataclass(frozen=True)
class Raise:
    value: Expr
    binds: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def reads(self) -> frozenset[str]:
        return frozenset(names_in(self.value))


@dataclass(frozen=True)
class Return:
    """Without a value the function ends there."""

    value: Expr | None
    binds: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def reads(self) -> frozenset[str]:
        return NOTHING if self.value is None else frozenset(names_in(self.value))


@dataclass(frozen=True)
class Comment:
    text: str
    reads: ClassVar[frozenset[str]] = NOTHING
    binds: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Blank:
    reads: ClassVar[frozenset[str]] = NOTHING
    binds: ClassVar[tuple[str, ...]] = ()


Stmt: TypeAlias = Assign | Do | For | If | With | Try | Raise | Return | Comment | Blank


def read_by(stmts: Iterable[Stmt]) -> frozenset[str]:
    """The names that any of these statements reads."""
    return NOTHING.union(*map(attrgetter("reads"), stmts))


def bound_in(stmts: Iterable[Stmt]) -> tuple[str, ...]:
    """The names that these statements bind, in order."""
    return tuple(chain.from_iterable(map(attrgetter("binds"), stmts)))


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter. Those behind one that is called `*` are given by name.

    What is `handed` over has the name of a variable of its only caller.
    """

    name: str
    annotation: str = ""
    default: Expr | None = field(default=None, kw_only=True)
    handed: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the emitted module. `decorator` and `returns`, what it is said to return, are text."""

    name: str
    params: tuple[Param, ...]
    doc: str
    body: tuple[Stmt, ...]
    decorator: str = ""
    returns: str = ""


# ---- names in a term -------------------------------------------------------------------------------


def bound_by(target: Expr) -> tuple[str, ...]:
    """The names of `a` or `a, b`; none of a place in something, as `a[rows]`."""
    items = target.items if isinstance(target, Tuple) else (target,)
    return tuple([item.name for item in items if isinstance(item, Var)])


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
