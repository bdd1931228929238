"""Lark's tree to ours.

Enters: lark's tree of a file, or of one line of it, and its comments. Leaves: `tree.File`; the mistakes that a grammar
cannot say are in `found`.
"""

from __future__ import annotations

from typing import Literal, cast

from lark import Token, Tree

from attnc.errors import CompilerBug
from attnc.source import Source, Span
from attnc.syntax.build_expression import Child, ExpressionBuilder
from attnc.syntax.comments import CommentReader
from attnc.syntax.grammar import Branch
from attnc.syntax.tree import (
    Attention,
    Clause,
    Const,
    File,
    Grid,
    GridAxis,
    Import,
    Let,
    Macro,
    MacroParam,
    Param,
)

Item = Import | Const | Macro | Attention


class Builder(ExpressionBuilder):
    """Builds statements, and gives each its comments."""

    def __init__(self, source: Source, comments: CommentReader, offset: int = 0) -> None:
        super().__init__(source, offset)
        self.comments = comments

    def file(self, branch: Branch) -> File:
        docstring, *items = branch.children
        doc = ""
        leading: tuple[str, ...] = ()
        if isinstance(docstring, Token):
            doc, leading = _doc(docstring), self.comments.above(self.span(docstring).start)[0]
        whole = Span(self.source, 0, len(self.source.text))
        starts = [self.span(item).start for item in items] + [whole.end]
        built = tuple(self.item(item, end) for item, end in zip(items, starts[1:], strict=True))
        return File(doc, built, self.comments.lines_before(whole.end), leading, span=whole)

    def line(self, branch: Branch) -> None:
        """One line alone, for the mistakes in it."""
        match branch.children:
            case [Tree(data="macro_line") as line]:
                self.macro(line)
            case [Tree(data="attention_line") as line]:
                self.attention(line)
            case [Tree(data="import_" | "const") as line]:
                self.item(line, 0)
            case [Tree() as line]:
                self.clause(line)
            case _:
                raise CompilerBug(f"the builder met {branch!r} as a line")

    def item(self, branch: Child, end: int) -> Item:
        """One item; everything before `end` is its own."""
        match branch:
            case Tree(data="import_", children=[Token() as module, *names]):
                span = self.span(branch)
                comments, blank = self.comments.of_statement(span.start, span.end)
                taken = tuple(self.name(name) for name in names)
                return Import(self.name(module), taken, span=span, comments=comments, blank_above=blank)
            case Tree(data="const", children=[_, name, value]):
                span = self.span(branch)
                comments, blank = self.comments.of_statement(span.start, span.end)
                return Const(
                    self.name(name), self.expr(value), span=span, comments=comments, blank_above=blank
                )
            case Tree(data="macro", children=[line, docstring]):
                return self.macro(cast(Branch, line), docstring)
            case Tree(data="attention", children=[line, body]):
                return self.attention(cast(Branch, line), body, end)
            case _:
                raise CompilerBug(f"the builder met {branch!r} among the items of a file")

    def macro(self, line: Branch, docstring: Child = None) -> Macro:
        name, params, body = line.children
        span = self.span(line)
        comments, blank = self.comments.of_statement(span.start, span.end)
        doc = ""
        if isinstance(docstring, Token):
            doc, span = _doc(docstring), span.to(self.span(docstring))
        return Macro(
            self.name(name),
            None if params is None else tuple(self.macro_param(p) for p in cast(Branch, params).children),
            self.expr(body),
            doc,
            span=span,
            comments=comments,
            blank_above=blank,
        )

    def macro_param(self, branch: Child) -> MacroParam:
        name, default = cast(Branch, branch).children
        return MacroParam(self.name(name), self.optional(default), span=self.span(branch))

    def attention(self, line: Branch, body: Child = None, end: int = 0) -> Attention:
        name, *heads = line.children
        span = self.span(line)
        params = tuple(self.param(cast(Branch, head)) for head in heads)
        params = self.comments.of_params(params, span.start, span.end)
        comments, blank = self.comments.of_statement(span.start, span.end)
        doc, clauses = "", []
        if isinstance(body, Tree):
            docstring, *lines = body.children
            if isinstance(docstring, Token):
                doc, span = _doc(docstring), span.to(self.span(docstring))
            clauses = [self.clause(cast(Branch, one)) for one in lines]
        if clauses and (last := clauses[-1].span):
            span = span.to(last)
        trailing = self.comments.indented_before(end)
        return Attention(
            self.name(name),
            params,
            tuple(clauses),
            doc,
            trailing,
            span=span,
            comments=comments,
            blank_above=blank,
        )

    def param(self, branch: Branch) -> Param:
        name, const, is_sorted, sort, sizes, default = branch.children
        return Param(
            self.name(name),
            cast(Literal["int", "float", "bool"], str(sort)),
            const is not None,
            is_sorted is not None,
            None if sizes is None else tuple(self.expr(size) for size in cast(Branch, sizes).children),
            self.optional(default),
            span=self.span(branch),
        )

    # ---- clauses -----------------------------------------------------------------------------------

    def clause(self, branch: Branch) -> Grid | Let | Clause:
        span = self.span(branch)
        comments, blank = self.comments.of_statement(span.start, span.end)
        match branch:
            case Tree(data="grid", children=axes):
                both = tuple(self.axis(axis) for axis in axes)
                return Grid(both, span=span, comments=comments, blank_above=blank)
            case Tree(data="grid_sides", children=[query, key]):
                sides = [tuple(self.axis(a) for a in cast(Branch, side).children) for side in (query, key)]
                return Grid((), *sides, span=span, comments=comments, blank_above=blank)
            case Tree(data="let", children=[name, value]):
                return Let(self.name(name), self.expr(value), span=span, comments=comments, blank_above=blank)
            case Tree(data="clause", children=[word, value]):
                return Clause(
                    cast(Literal["mask"], str(word)),
                    self.expr(value),
                    span=span,
                    word_span=self.span(word),
                    comments=comments,
                    blank_above=blank,
                )
            case _:
                raise CompilerBug(f"the builder met {branch!r} among the clauses of an attention")

    def axis(self, branch: Child) -> GridAxis:
        name, extent = cast(Branch, branch).children
        return GridAxis(self.name(name), self.expr(extent), span=self.span(branch))


def _doc(token: Token) -> str:
    return str(token)[3:-3]
