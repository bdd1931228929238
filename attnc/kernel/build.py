"""Writing statements of the kernel language with little ceremony.

Enters: expressions. Leaves: a `Block`, which collects statements in order, and `Namespace`, whose calls are
expressions: `tl = Namespace("tl")` makes `tl.arange(0, BLOCK_K)` the expression of that text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Protocol

from attnc.kernel.expressions import (
    Attr,
    Dict,
    Expr,
    ExprLike,
    Op,
    Tuple,
    Unary,
    Var,
    call,
    expr,
)
from attnc.kernel.nodes import (
    Assign,
    Blank,
    Comment,
    Do,
    For,
    Function,
    If,
    Param,
    Raise,
    Return,
    Stmt,
    With,
    read_by,
)


class _Maker(Protocol):
    def __call__(self, *args: ExprLike, **kwargs: ExprLike) -> Expr: ...


class Namespace:
    """A module whose functions build calls of themselves."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Maker:
        """Made when it is first asked for, and an attribute from then on."""
        made = self.__dict__[name] = self.function(name)
        return made

    def function(self, name: str) -> _Maker:
        """A function of this module, by its name."""
        return function(self.value(name))

    def value(self, name: str) -> Expr:
        """An attribute that is not called: `tl.float32`."""
        return Attr(Var(self._name), name)


def function(fn: Expr | str) -> _Maker:
    """A function whose call builds the call's expression."""
    callee = Var(fn) if isinstance(fn, str) else fn

    def make(*args: ExprLike, **kwargs: ExprLike) -> Expr:
        return call(callee, args, kwargs)

    return make


def dictionary(*unpacked: Expr, **items: ExprLike) -> Dict:
    """`{**unpacked, "name": value}`."""
    named = ((expr(name), expr(value)) for name, value in items.items())
    return Dict((*((None, each) for each in unpacked), *named))


def unpacked(value: Expr) -> Expr:
    """`*value`."""
    return Unary("*", value)


# Operands of a chain. It is a term within a term for each of them, and who reads one within a thousand gives up:
# Python, Triton and torch do.
LONGEST_CHAIN = 100


def chain(op: str, operands: Sequence[Expr]) -> Expr:
    """`a & b & c`; of more operands than anybody writes, such chains of such chains."""
    if len(operands) <= LONGEST_CHAIN:
        return reduce(lambda a, b: Op(op, a, b), operands)
    half = len(operands) // 2
    return Op(op, chain(op, operands[:half]), chain(op, operands[half:]))


class Block:
    """Statements in the order in which they are written."""

    def __init__(self) -> None:
        self.stmts: list[Stmt] = []

    def let(self, name: str, value: ExprLike, note: str = "", *, of_spec: bool = False) -> Var:
        """`name = value`; leaves the variable."""
        var = Var(name)
        self.stmts.append(Assign(var, expr(value), "=", note, of_spec))
        return var

    def lets(self, names: Sequence[str], value: Expr, *, of_spec: bool = False) -> None:
        """`a, b, c = value`."""
        self.stmts.append(Assign(_target(names), value, of_spec=of_spec))

    def assign(self, target: Expr, value: ExprLike, op: str = "=") -> None:
        self.stmts.append(Assign(target, expr(value), op))

    def do(self, value: Expr, note: str = "") -> None:
        self.stmts.append(Do(value, note))

    def comment(self, text: str) -> None:
        self.stmts.append(Comment(text))

    def blank(self) -> None:
        """A blank line, unless nothing or a blank line stands above."""
        if self.stmts and not isinstance(self.stmts[-1], Blank):
            self.stmts.append(Blank())

    def returns(self, *values: ExprLike) -> None:
        items = tuple(map(expr, values))
        self.stmts.append(Return(items[0] if len(items) == 1 else Tuple(items)))

    def fail(self, mistake: Expr) -> None:
        """`raise mistake`."""
        self.stmts.append(Raise(mistake))

    @contextmanager
    def loop(self, var: str | Sequence[str], over: Expr) -> Iterator[Block]:
        body = Block()
        yield body
        self.stmts.append(For(_target([var] if isinstance(var, str) else var), over, tuple(body.stmts)))

    @contextmanager
    def within(self, over: Expr, note: str = "") -> Iterator[Block]:
        """`with over:`."""
        body = Block()
        yield body
        self.stmts.append(With(over, tuple(body.stmts), note))

    @contextmanager
    def when(self, cond: Expr, note: str = "") -> Iterator[Block]:
        body = Block()
        yield body
        self.stmts.append(If(cond, tuple(body.stmts), note=note))

    def extend(self, other: Block) -> None:
        self.stmts.extend(other.stmts)

    def function(
        self,
        name: str,
        known: Iterable[Param],
        doc: str,
        decorator: str = "",
        first: tuple[Param, ...] = (),
    ) -> Function:
        """The function around this block, less what is dead. Suffix `first` it takes what it reads of the `known`."""
        body = without_dead(tuple(self.stmts))
        read = read_by(body)
        params = (*first, *[param for param in known if param.name in read])
        return Function(name, params, doc, body, decorator)


def _target(names: Sequence[str]) -> Expr:
    return Tuple(tuple(map(Var, names))) if len(names) > 1 else Var(names[0])


def without_dead(stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """The statements less every plain `name = value` or `a, b = value` of which nothing is read, and empty loops."""
    while True:
        alive = _prune(stmts, read_by(stmts))
        if alive == stmts:
            return stmts
        stmts = alive


def _prune(stmts: tuple[Stmt, ...], read: frozenset[str]) -> tuple[Stmt, ...]:
    alive: list[Stmt] = []
    for stmt in stmts:
        match stmt:
            case Assign() if stmt.binds and read.isdisjoint(stmt.binds):
                continue
            case For(var, over, body):
                kept = _prune(body, read)
                if not all(isinstance(each, Comment | Blank) for each in kept):
                    alive.append(stmt if kept == body else For(var, over, kept))
            case _:
                alive.append(stmt)
    return tuple(alive)
