"""Lines, indentation and the 100-column limit.

Enters: statements and functions of the kernel language, or plain lines. Leaves: text. Indentation belongs to a `with`
block, never to a string. Decides nothing but where a line that is too long is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attnc.emit.expression import arguments, emit_expression, emit_operand, operands
from attnc.errors import CompilerBug
from attnc.kernel.nodes import (
    Assign,
    Attr,
    Blank,
    Call,
    Comment,
    Do,
    Expr,
    For,
    Function,
    If,
    Return,
    Stmt,
    Tuple,
)

WIDTH = 100
NOTE_COLUMN = 70


class Writer:
    """Collects lines; `with writer.indent():` is a block."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    @property
    def text(self) -> str:
        return "\n".join(self._lines).rstrip("\n") + "\n"

    def line(self, text: str = "") -> None:
        self._lines.append(("    " * self._depth + text).rstrip())

    def lines(self, text: str) -> None:
        """Several lines at once, each indented."""
        for line in text.split("\n"):
            self.line(line)

    @contextmanager
    def indent(self) -> Iterator[None]:
        self._depth += 1
        yield
        self._depth -= 1

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """`head` and what is indented under it."""
        self.line(head)
        with self.indent():
            yield

    def items(self, head: str, items: Sequence[str], tail: str) -> None:
        """`head item, item, ... tail` on one line where it fits, else filled lines between `head` and `tail`.

        Without a tail nothing holds the lines together, and parentheses do.
        """
        flat = head + ", ".join(items) + tail
        if self.fits(flat):
            self.line(flat)
            return
        if not tail:
            head, tail = f"{head}(", ")"
        self.line(head)
        with self.indent():
            self.fill([item + "," for item in items])
        self.line(tail)

    def fill(self, words: Sequence[str]) -> None:
        """Words separated by spaces, as many to a line as fit."""
        row = ""
        for word in words:
            if row and not self.fits(f"{row} {word}"):
                self.line(row)
                row = ""
            row = f"{row} {word}" if row else word
        if row:
            self.line(row)

    def function(self, fn: Function) -> None:
        if fn.decorator:
            self.line(f"@{fn.decorator}")
        params = [f"{p.name}: {p.annotation}" if p.annotation else p.name for p in fn.params]
        self.items(f"def {fn.name}(", params, "):")
        with self.indent():
            if fn.doc:
                self.doc(fn.doc)
            self.body(fn.body)

    def doc(self, text: str) -> None:
        """A docstring: one line where it fits."""
        if "\n" not in text and self.fits(f'"""{text}"""'):
            self.line(f'"""{text}"""')
            return
        self.lines(f'"""{text}')
        self.line('"""')

    def body(self, stmts: Sequence[Stmt]) -> None:
        for stmt in stmts:
            self.statement(stmt)

    def statement(self, stmt: Stmt) -> None:
        match stmt:
            case Assign(target, value, op, note):
                self._value(f"{emit_expression(target)} {op} ", value, note)
            case Do(value, note):
                self._value("", value, note)
            case Return(value):
                self._value("return ", value, "")
            case Comment(text):
                self.line(f"# {text}")
            case Blank():
                self.line()
            case For(var, over, body):
                with self.block(f"for {emit_expression(var)} in {emit_expression(over)}:"):
                    self.body(body)
            case If(cond, then, other, note):
                self.line(_noted(f"if {emit_expression(cond)}:", note, self._depth))
                with self.indent():
                    self.body(then)
                if other:
                    with self.block("else:"):
                        self.body(other)
            case unknown:
                raise CompilerBug(f"no text for the kernel statement {type(unknown).__name__}")

    def _value(self, head: str, value: Expr, note: str) -> None:
        plain = head + emit_expression(value)
        flat = _noted(plain, note, self._depth)
        if self.fits(flat):
            self.line(flat)
            return
        if note:
            self.line(f"# {note}")
        if self.fits(plain):
            self.line(plain)
            return
        chain = operands(value)
        if isinstance(value, Call) and len(chain) == 1:
            self._call(head, value)
        elif len(chain) > 1:
            self.line(f"{head}(")
            with self.indent():
                self.line(emit_operand(chain[0][1], chain[1][0]))
                for op, operand in chain[1:]:
                    self.line(f"{op} {emit_operand(operand, op)}")
            self.line(")")
        elif isinstance(value, Tuple):
            self.items(f"{head}(", [emit_expression(item) for item in value.items], ")")
        else:
            self.line(f"{head}(")
            with self.indent():
                self.line(emit_expression(value))
            self.line(")")

    def _call(self, head: str, call: Call) -> None:
        """A call over several lines; a short method of a call, as `.to(dtype)`, stays behind what it is called on."""
        tail = ")"
        if isinstance(call.fn, Attr) and isinstance(call.fn.a, Call):
            tail = f").{call.fn.name}({', '.join(arguments(call.args, call.kwargs))})"
            call = call.fn.a
        self.line(f"{head}{emit_expression(call.fn)}(")
        with self.indent():
            self.fill([f"{argument}," for argument in arguments(call.args, call.kwargs)])
        self.line(tail)

    def fits(self, text: str) -> bool:
        """Is there room for this on one line?"""
        return len(text) + 4 * self._depth <= WIDTH


def _noted(text: str, note: str, depth: int) -> str:
    if not note:
        return text
    return f"{text:<{NOTE_COLUMN - 4 * depth}}  # {note}"
