"""The kernel language: the small part of Python in which kernels, the CPU path and what launches them are written.

Enters: expressions (`expressions.py`). Leaves: frozen statements and functions. A schedule in `lower/` builds them,
`emit/` prints them, one node as one line or one block.

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
from typing import ClassVar, TypeAlias

from attnc.kernel.expressions import Expr, bound_by, names_in

# A statement knows which names it `reads`, and which it `binds`: a plain `=` does, and a loop its variable. What is
# written into, as `out[rows] = value` or `total += value`, is read.

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
