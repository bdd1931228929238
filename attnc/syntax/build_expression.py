"""Lark's tree of an expression to ours.

Enters: a branch of lark's tree. Leaves: an expression, every node with the span of exactly its text, and the mistakes
that a grammar cannot say: numbers that fit nowhere, nesting without end, arguments out of order.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast

from lark import Token, Tree

from attnc.errors import CompilerBug, Diagnostic, Label
from attnc.source import Source, Span
from attnc.syntax.grammar import Branch
from attnc.syntax.tree import (
    All,
    Axis,
    Binary,
    Call,
    Compare,
    Expr,
    IfElse,
    In,
    Index,
    Logic,
    Name,
    Number,
    Slice,
    Truth,
    Unary,
)

Child = Branch | Token | None

# Every later pass goes down a tree by recursion; this keeps all of them far from Python's own limit.
MAX_DEPTH = 100
MAX_INT = 2**63 - 1


class ExpressionBuilder:
    """Builds nodes of `source` from a parse of its text from `offset` on; `found` holds the mistakes."""

    def __init__(self, source: Source, offset: int = 0) -> None:
        self.source = source
        self.offset = offset
        self.found: list[Diagnostic] = []

    def expr(self, branch: Child) -> Expr:
        """An expression, unless it is nested too deeply to be walked."""
        too_deep = _find_too_deep(cast(Branch, branch))
        if too_deep is None:
            return self._expr(branch)
        self._mistake(
            "too-deep",
            f"this expression is nested more than {MAX_DEPTH} levels deep",
            Span(self.source, self.span(too_deep).start, self.span(too_deep).start + 1),
            "the first level that is one too many",
            "name its parts with `let` or `def`",
        )
        return Truth(False, span=self.span(branch))

    def _expr(self, branch: Child) -> Expr:
        span = self.span(branch)
        match branch:
            case Tree(data="parens", children=[inner]):
                return self._expr(inner)
            case Tree(data="name", children=[name]):
                return self.name(name)
            case Tree(data="integer" | "real", children=[Token() as text]):
                return self._number(text)
            case Tree(data="truth", children=[word]):
                return Truth(word == "true", span=span)
            case Tree(data="negative", children=[_, a]):
                return Unary("-", self._expr(a), span=span)
            case Tree(data="not_", children=[a]):
                return Unary("not", self._expr(a), span=span)
            case Tree(data="binary", children=[a, op, b]):
                sign = cast(Literal["+"], str(op))
                return Binary(sign, self._expr(a), self._expr(b), span=span)
            case Tree(data="compare", children=children):
                signs = cast(tuple[Literal["<"], ...], tuple(str(op) for op in children[1::2]))
                written = [self.span(a) for a in children[::2]]
                links = tuple(a.to(b) for a, b in pairwise(written))
                return Compare(signs, tuple(self._expr(a) for a in children[::2]), links, span=span)
            case Tree(data="member", children=[item, table]):
                return In(self._expr(item), self._expr(table), span=span)
            case Tree(data="not_member", children=[item, table]):
                return In(self._expr(item), self._expr(table), negated=True, span=span)
            case Tree(data="and_", children=items):
                return Logic("and", tuple(self._expr(a) for a in items), span=span)
            case Tree(data="or_", children=items):
                return Logic("or", tuple(self._expr(a) for a in items), span=span)
            case Tree(data="if_else", children=[then, cond, other]):
                return IfElse(self._expr(then), self._expr(cond), self._expr(other), span=span)
            case Tree(data="call", children=[fn, *arguments]):
                return self._call(fn, arguments, span)
            case Tree(data="index", children=[base, *items]):
                return Index(self.name(base), tuple(self._expr(a) for a in items), span=span)
            case Tree(data="slice", children=[first, end]):
                return Slice(self._expr(first), self._expr(end), span=span)
            case Tree(data="all"):
                return All(span=span)
            case Tree(data="axis_of", children=[base, axis]):
                return Axis(self.name(base), self.name(axis), span=span)
            case _:
                raise CompilerBug(f"the builder met {branch!r} in an expression")

    def _call(self, fn: Child, arguments: list[Branch | Token], span: Span) -> Call:
        args: list[Expr] = []
        kwargs: list[tuple[Name, Expr]] = []
        for argument in arguments:
            match argument:
                case Tree(data="keyword", children=[name, value]):
                    kwargs.append((self.name(name), self._expr(value)))
                case _:
                    args.append(self._expr(argument))
                    if kwargs:
                        self._mistake(
                            "argument-order",
                            "an argument without a name comes after one with a name",
                            self.span(argument),
                            "",
                            "put it first, or give its name",
                        )
        return Call(self.name(fn), tuple(args), tuple(kwargs), span=span)

    def _number(self, token: Token) -> Number:
        span, text = self.span(token), str(token)
        value: int | float
        if token.type == "INT":
            digits = text.replace("_", "")
            value = int(digits) if len(digits) < 20 else MAX_INT + 1
            if value > MAX_INT:
                self._mistake("bad-number", "this integer does not fit in 64 bits", span)
        else:
            value = float(text)
            if value == float("inf"):
                self._mistake("bad-number", "this number is too large for a float", span)
        return Number(value, text, span=span)

    def name(self, token: Child) -> Name:
        return Name(str(token), span=self.span(token))

    def optional(self, branch: Child) -> Expr | None:
        return None if branch is None else self.expr(branch)

    def span(self, branch: Child) -> Span:
        at = branch.meta if isinstance(branch, Tree) else cast(Token, branch)
        start, end = cast(int, at.start_pos), cast(int, at.end_pos)
        return Span(self.source, self.offset + start, self.offset + end)

    def _mistake(self, code: str, message: str, span: Span, label: str = "", *helps: str) -> None:
        self.found.append(Diagnostic(code, message, Label(span, label), helps=helps))


def _find_too_deep(branch: Branch) -> Branch | None:
    """The first part of an expression that lies deeper than `MAX_DEPTH`; found without recursion."""
    level = [branch]
    for _ in range(MAX_DEPTH):
        if not level:
            return None
        level = [c for part in level for c in part.children if isinstance(c, Tree)]
    return min(level, key=lambda part: part.meta.start_pos, default=None)
