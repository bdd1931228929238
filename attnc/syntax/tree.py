"""The surface tree: what was written, where, and nothing about what it means.

Enters: nothing. Leaves: one frozen class per thing the grammar can say. Spans do not take part in equality, so a tree
equals the tree of its own printed text. Comments are part of the tree, because `attnc fmt` must keep them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeVar, dataclass_transform

from attnc.source import Span

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def tree(cls: type[T]) -> type[T]:
    """What every class below is: a frozen dataclass. (The decorator above tells the type checker.)"""
    return dataclass(frozen=True, slots=True)(cls)


class Expr(Node):
    __slots__ = ()


# ---- expressions -----------------------------------------------------------------------------------


@tree
class Name(Expr):  # window, i, relu
    id: str


@tree
class Number(Expr):  # 4096, 50.0, 1e-3; an int where the text is one
    value: int | float
    text: str = field(default="", compare=False, repr=False)  # as it was written, for `attnc fmt`


@tree
class Truth(Expr):  # true, false
    value: bool


@tree
class Unary(Expr):  # -x, not p
    op: Literal["-", "not"]
    a: Expr


@tree
class Binary(Expr):  # a + b
    op: Literal["+", "-", "*", "/", "//", "%", "**"]
    a: Expr
    b: Expr


@tree
class Compare(Expr):  # start <= r < start + w: one operand more than operators
    ops: tuple[Literal["<", "<=", ">", ">=", "==", "!="], ...]
    operands: tuple[Expr, ...]
    links: tuple[Span, ...] = field(
        default=(), compare=False, repr=False
    )  # of each two, with their parentheses


@tree
class In(Expr):  # x in table[b, h, :], x not in table[b, h, :]
    item: Expr
    table: Expr
    negated: bool = False


@tree
class Logic(Expr):  # p and q and r, flat
    op: Literal["and", "or"]
    items: tuple[Expr, ...]


@tree
class IfElse(Expr):  # a if c else b
    then: Expr
    cond: Expr
    other: Expr


@tree
class Call(Expr):  # clamp(x, 0, 9), alibi(slope, base=2)
    fn: Name
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[Name, Expr], ...] = ()


@tree
class All(Expr):  # the `:` in gate[b, h, i, :]
    pass


@tree
class Slice(Expr):  # the `j + 1 : i + 1` in gate[b, h, j + 1 : i + 1]
    first: Expr
    end: Expr


@tree
class Index(Expr):  # bias[h, i, j]
    base: Name
    items: tuple[Expr, ...]


@tree
class Axis(Expr):  # i.y
    base: Name
    axis: Name


# ---- comments --------------------------------------------------------------------------------------


@tree
class Comments(Node):
    """Comment lines above a statement, and the one on its own line; each with its `#`.

    An empty string is a blank line between comments, or between them and what they stand above.
    """

    above: tuple[str, ...] = ()
    beside: str = ""


# ---- parameters ------------------------------------------------------------------------------------


@tree
class Param(Node):  # doc: sorted int[B, N]; window: const int = 4096
    name: Name
    sort: Literal["int", "float", "bool"]
    const: bool = False
    sorted: bool = False
    sizes: tuple[Expr, ...] | None = None  # None: a scalar
    default: Expr | None = None
    comments: Comments = field(default=Comments(), kw_only=True)


@tree
class MacroParam(Node):  # a, b = 1
    name: Name
    default: Expr | None = None


# ---- clauses ---------------------------------------------------------------------------------------


@tree
class GridAxis(Node):  # y: rows
    name: Name
    extent: Expr


@tree
class Statement(Node):
    comments: Comments = field(default=Comments(), kw_only=True)
    blank_above: bool = field(default=False, kw_only=True, compare=False)


@tree
class Grid(Statement):  # grid y: rows, x: cols; grid query(y: a) key(y: b)
    both: tuple[GridAxis, ...] = ()
    query: tuple[GridAxis, ...] = ()
    key: tuple[GridAxis, ...] = ()


@tree
class Let(Statement):  # let d = j - i
    name: Name
    value: Expr


@tree
class Clause(Statement):  # mask j <= i
    word: Literal["query", "key", "value", "mask", "score", "normalize", "output"]
    value: Expr
    word_span: Span | None = field(default=None, compare=False, repr=False)


# ---- a file ----------------------------------------------------------------------------------------


@tree
class Import(Statement):  # from std import causal, alibi
    module: Name
    names: tuple[Name, ...]


@tree
class Const(Statement):  # const BLOCK = 64
    name: Name
    value: Expr


@tree
class Macro(Statement):  # def near(p, r, w) = abs(p - r) <= w
    name: Name
    params: tuple[MacroParam, ...] | None  # None: written without parentheses
    body: Expr
    doc: str = ""


@tree
class Attention(Statement):
    name: Name
    params: tuple[Param, ...]
    clauses: tuple[Grid | Let | Clause, ...]
    doc: str = ""
    trailing: tuple[str, ...] = ()  # indented comment lines after the last clause


@tree
class File(Node):
    doc: str
    items: tuple[Import | Const | Macro | Attention, ...]
    trailing: tuple[str, ...] = ()  # comment lines after the last statement
    leading: tuple[str, ...] = ()  # comment lines above the docstring
