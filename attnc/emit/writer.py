"""Statements and functions as text.

Enters: statements and functions of the kernel language. Leaves: their lines. Decides nothing but where a line that is
too long is broken.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from attnc.emit.expression import (
    arguments,
    emit_argument,
    emit_base,
    emit_expression,
    emit_item,
    emit_literal,
    emit_operand,
    emit_parts,
    indices,
    keyword,
    operands,
    quote,
)
from attnc.emit.lines import WIDTH, Lines
from attnc.errors import CompilerBug
from attnc.kernel.expressions import (
    Attr,
    Call,
    Dict,
    Expr,
    Item,
    Lit,
    Op,
    Ternary,
    Text,
    Tuple,
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
    Try,
    With,
)

NOTE_COLUMN = 70
WORDS = 80  # columns of a text that is broken
# Its words: of a text, and of what stands in an f-string, where a quoted value is no two words.
PLAIN = re.compile(r"\S+\s*|\s+")
QUOTING = re.compile(r"(?:\{\{|\{[^{}]*\}|[^\s{])+\s*|\s+")


class Writer(Lines):
    """A writer of statements and functions, which breaks what does not fit on a line."""

    def function(self, fn: Function) -> None:
        if fn.decorator:
            head, bracket, rest = fn.decorator.partition("[")
            names, end, tail = rest.partition("]")
            self.items(f"@{head}{bracket}", names.split(", "), end + tail) if names else self.line(f"@{head}")
        returns = f" -> {fn.returns}" if fn.returns else ""
        self.items(f"def {fn.name}(", list(map(_declared, fn.params)), f"){returns}:")
        with self.indent():
            if fn.doc:
                self.doc(fn.doc)
            self.body(fn.body)

    def comment(self, text: str) -> None:
        """A comment: on as many lines as it needs."""
        room = WIDTH - 4 * self._depth - len("# ")
        for line in textwrap.wrap(printable(text), room, break_long_words=False, break_on_hyphens=False):
            self.line(f"# {line}")

    def doc(self, text: str) -> None:
        """A docstring: lines as they are, or else one line where it fits, or filled lines."""
        if "\n" in text:
            self.lines(f'"""{text}\n"""')
        elif self.fits(f'"""{text}"""'):
            self.line(f'"""{text}"""')
        else:
            self.fill(f'"""{text}'.split(" "))
            self.line('"""')

    def body(self, stmts: Sequence[Stmt]) -> None:
        for stmt in stmts:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        match stmt:
            case Assign(target, value, op, note):
                self._value(f"{self._target(target, value)} {op} ", value, note)
            case Do(value, note):
                self._value("", value, note)
            case Return(None):
                self.line("return")
            case Return(Expr() as value):
                self._value("return ", value, "")
            case Comment(text):
                self.comment(text)
            case Blank():
                self.line()
            case For(var, over, body):
                self.expression(f"for {emit_expression(var)} in ", over, ":")
                with self.indent():
                    self.body(body)
            case If(cond, then, other, note):
                with self.block(self._noted(f"if {emit_expression(cond)}:", note)):
                    self.body(then)
                if other:
                    with self.block("else:"):
                        self.body(other)
            case With(over, body, note):
                with self.block(self._noted(f"with {emit_expression(over)}:", note)):
                    self.body(body)
            case Try(body, mistakes, name, then):
                with self.block("try:"):
                    self.body(body)
                with self.block(f"except {emit_argument(mistakes)} as {name}:"):
                    self.body(then)
            case Raise(value):
                self._value("raise ", value, "")
            case unknown:
                raise CompilerBug(f"no text for the kernel statement {type(unknown).__name__}")

    def _target(self, target: Expr, value: Expr) -> str:
        """Names; on lines of their own, between parentheses, where a call does not begin on the same line."""
        if not isinstance(target, Tuple):
            return emit_expression(target)
        flat = emit_expression(target) if target.items[1:] else emit_argument(target)
        if not isinstance(value, Call) or self.fits(f"{flat} = {emit_expression(value.fn)}("):
            return flat
        self.line("(")
        with self.indent():
            self.fill([f"{emit_expression(each)}," for each in target.items])
        return ")"

    def _noted(self, head: str, note: str) -> str:
        """The head of a block, with its note in the column of notes where there is room, else right behind it."""
        noted = _noted(head, note, self._depth)
        return noted if self.fits(noted) else f"{head}  # {printable(note)}"

    def _value(self, head: str, value: Expr, note: str) -> None:
        """A statement: with its note behind it where both fit, else with the note above."""
        plain = head + emit_expression(value)
        flat = _noted(plain, note, self._depth)
        if self.fits(flat):
            self.line(flat)
            return
        if note:
            self.comment(note)
        if self.fits(plain):
            self.line(plain)
        else:
            self.expression(head, value, "")

    def expression(self, head: str, value: Expr, tail: str) -> None:
        """`head value tail`, on one line where it fits, else broken at the outermost call or operator."""
        flat = head + emit_argument(value) + tail
        if self.fits(flat):
            self.line(flat)
        else:
            self._break(head, value, tail)

    def _break(self, head: str, value: Expr, tail: str) -> None:
        """`head value tail` on several lines, which keep the value together whatever stands in `head`."""
        match value:
            case Call(Attr(Call() | Op() | Item() as base, name), args, kwargs):
                self._break(head, base, f".{name}({', '.join(arguments(args, kwargs))}){tail}")
            case Call(fn, (Text(parts),), ()):
                with self.block(f"{head}{emit_expression(fn)}("):
                    for piece in _pieces(QUOTING.findall(emit_parts(parts))):
                        self.line(quote(piece))
                self.line(f"){tail}")
            case Call(fn, args, kwargs) if args or kwargs:
                self.line(f"{head}{emit_expression(fn)}(")
                with self.indent():
                    self._arguments(
                        [("", each) for each in args] + [(keyword(n), each) for n, each in kwargs]
                    )
                self.line(f"){tail}")
            case Item(a, index):
                self.line(f"{head}{emit_base(a)}[")
                with self.indent():
                    several = len(index) > 1  # a comma behind a single index would make it a tuple
                    self.fill([f"{each}," if several else each for each in indices(index)])
                self.line(f"]{tail}")
            case Dict(items):
                self.line(f"{head}{{")
                with self.indent():
                    self.fill([f"{emit_item(each)}," for each in items])
                self.line(f"}}{tail}")
            case Tuple(items):
                self.line(f"{head}(")
                with self.indent():
                    self._arguments([("", item) for item in items])
                self.line(f"){tail}")
            case Ternary(then, cond, other):
                self.line(f"{head}(")
                with self.indent():
                    self._part("", then, emit_operand(then, "or", is_first=True))
                    self._part("if ", cond, emit_operand(cond, "or", is_first=True))
                    self._part("else ", other, emit_argument(other))
                self.line(f"){tail}")
            case Op():
                self.line(f"{head}(")
                with self.indent():
                    for op, operand in operands(value):
                        self._operand(op, operand, value.op)
                self.line(f"){tail}")
            case _:
                self.line(head + emit_argument(value) + tail)

    def _arguments(self, given: list[tuple[str, Expr]]) -> None:
        """Arguments, filled into lines where each of them fits on one, else one below the other."""
        texts = [f"{name}{emit_argument(value)}," for name, value in given]
        if all(map(self.fits, texts)):
            self.fill(texts)
        else:
            for name, value in given:
                if isinstance(value, Lit) and isinstance(value.value, str):
                    self._words(name, value.value)
                else:
                    self.expression(name, value, ",")

    def _words(self, name: str, text: str) -> None:
        """An argument that is a text, in pieces where it does not fit."""
        is_short = self.fits(f"{name}{emit_literal(text)},")
        *pieces, last = map(emit_literal, [text] if is_short else _pieces(PLAIN.findall(text)))
        for piece in (*pieces, f"{last},"):
            self.line(f"{name}{piece}")
            name = ""

    def _operand(self, op: str, operand: Expr, chain: str) -> None:
        self._part(f"{op} " if op else "", operand, emit_operand(operand, op or chain, is_first=not op))

    def _part(self, head: str, value: Expr, text: str) -> None:
        """A part of something broken, on a line of its own, or on several."""
        if self.fits(head + text) or not isinstance(value, Op | Call | Ternary):
            self.line(head + text)
        else:
            self._break(head, value, "")


def _declared(param: Param) -> str:
    if param.default is None:
        return f"{param.name}: {param.annotation}" if param.annotation else param.name
    default = emit_argument(param.default)
    return f"{param.name}: {param.annotation} = {default}" if param.annotation else f"{param.name}={default}"


def _pieces(words: Iterable[str]) -> list[str]:
    """A text in pieces of several words."""
    pieces = [""]
    for word in words:
        if pieces[-1] and len((pieces[-1] + word).rstrip()) > WORDS:
            pieces.append("")
        pieces[-1] += word
    return pieces


def _noted(text: str, note: str, depth: int) -> str:
    if not note:
        return text
    return f"{text:<{NOTE_COLUMN - 4 * depth}}  # {printable(note)}"


def printable(text: str) -> str:
    """Text that cannot leave its comment: what does not print is written as an escape."""
    text = text.rstrip()
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
