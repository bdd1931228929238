"""The lines of a text, before any grammar.

Enters: a source. Leaves: its logical lines (a line continues inside brackets and docstrings), its comments, and the
mistakes that can be seen without a grammar: brackets, docstrings and tabs. A text whose layout is regular can be given
to the parser whole; otherwise the lines are what mistakes are looked for in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from attnc.errors import Diagnostic, Label
from attnc.source import Source, Span

PIECE = re.compile(
    r"""(?P<docstring>\"{3}[\s\S]*?\"{3})
      | (?P<open_docstring>\"{3}[\s\S]*)
      | (?P<comment>\#[^\n]*)
      | (?P<newline>\n)
      | (?P<blank>[ \t]+)
      | (?P<open>[(\[])
      | (?P<close>[)\]])
      | (?P<code>\"[^"\n]*\" | '[^'\n]*' | [^\s"'\#()\[\]]+ | .)""",
    re.VERBOSE,
)

# A line that can only start a statement, though a bracket above it is still open.
RESTART = re.compile(
    r"""[ \t]*(?: (?:attention|def|const|from)[ ]+[A-Za-z_]
                | (?:let|grid)[ ]+[A-Za-z_]\w*[ ]*[=:(]
                | (?:query|key|value|mask|score|normalize|output)[ ]+(?!(?:and|or|in|if|else|not)\b)[\w(] )""",
    re.VERBOSE,
)

CLOSES = {"(": ")", "[": "]"}
TAB_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment. `indent` is None where code stands before it on its line."""

    start: int
    end: int
    text: str
    indent: int | None
    blank_above: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line: characters `[start, end)` without indentation and comment; `block` is the indentation that was due."""

    start: int
    end: int
    indent: int
    block: int
    problem: Diagnostic | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The lines of a text and its comments."""

    lines: tuple[Line, ...]
    comments: tuple[Comment, ...]

    @property
    def is_regular(self) -> bool:
        return all(line.problem is None and line.indent == line.block for line in self.lines)


def is_blank_above(text: str, offset: int) -> bool:
    """Is the line above that of `offset` there, and empty?"""
    start = text.rfind("\n", 0, offset) + 1
    return start > 0 and not text[text.rfind("\n", 0, start - 1) + 1 : start - 1].strip()


def find_lines(source: Source) -> Layout:
    """Cut a text into lines and comments."""
    text = source.text
    comments: list[Comment] = []
    lines: list[Line] = []
    brackets: list[int] = []
    start = end = -1
    problem: Diagnostic | None = None
    line_start, has_code = 0, False

    def close_line() -> None:
        nonlocal start, problem
        if start >= 0:
            if brackets:
                problem = problem or _unclosed_bracket(source, brackets[-1])
                brackets.clear()
            lines.append(_measured(source, start, end, problem, lines))
        start, problem = -1, None

    for piece in PIECE.finditer(text):
        at, kind = piece.start(), piece.lastgroup
        if kind == "newline":
            line_start, has_code = piece.end(), False
            if not brackets or RESTART.match(text, line_start):
                close_line()
        elif kind == "comment":
            indent = None if has_code else at - line_start
            blank = is_blank_above(text, at)
            comments.append(Comment(at, piece.end(), piece[0].rstrip(), indent, blank))
        elif kind != "blank":
            if start < 0:
                start = at
            end, has_code = piece.end(), True
            if kind == "open":
                brackets.append(at)
            elif kind == "close":
                opened = brackets.pop() if brackets else None
                if opened is None or CLOSES[text[opened]] != piece[0]:
                    problem = problem or _unmatched_bracket(source, at, opened)
            elif kind == "open_docstring":
                problem = problem or _unclosed_docstring(source, at)
    close_line()
    return Layout(_with_tabs(source, lines), tuple(comments))


def _measured(source: Source, start: int, end: int, problem: Diagnostic | None, above: list[Line]) -> Line:
    blanks = source.text[source.text.rfind("\n", 0, start) + 1 : start]
    indent = len(blanks.expandtabs(TAB_WIDTH))
    if not indent or not above:
        block = 0
    elif above[-1].block:
        block = above[-1].block
    else:
        block = indent
    return Line(start, end, indent, block, problem)


# ---- mistakes --------------------------------------------------------------------------------------


def _unclosed_bracket(source: Source, at: int) -> Diagnostic:
    bracket = source.text[at]
    return Diagnostic(
        "unclosed-bracket",
        f"`{bracket}` is never closed",
        Label(Span(source, at, at + 1), f"no `{CLOSES[bracket]}` follows"),
        helps=(f"add the `{CLOSES[bracket]}`",),
    )


def _unmatched_bracket(source: Source, at: int, opened: int | None) -> Diagnostic:
    bracket = source.text[at]
    label = Label(Span(source, at, at + 1))
    if opened is None:
        return Diagnostic(
            "unmatched-bracket", f"`{bracket}` closes nothing", label, helps=("drop it, or open it before",)
        )
    due = CLOSES[source.text[opened]]
    return Diagnostic(
        "unmatched-bracket",
        f"`{bracket}` cannot close `{source.text[opened]}`",
        Label(label.span, f"`{due}` is due here"),
        related=(Label(Span(source, opened, opened + 1), "opened here"),),
    )


def _unclosed_docstring(source: Source, at: int) -> Diagnostic:
    return Diagnostic(
        "unclosed-docstring",
        "this docstring never ends",
        Label(Span(source, at, at + 3), "no other three quotes follow"),
        helps=('end it with `"""`',),
    )


def _with_tabs(source: Source, lines: list[Line]) -> tuple[Line, ...]:
    """The lines, the first one that is indented with a tab bearing the problem of them all."""
    tabbed: list[tuple[int, Span]] = []
    for number, line in enumerate(lines):
        start = source.text.rfind("\n", 0, line.start) + 1
        if "\t" in source.text[start : line.start]:
            tabbed.append((number, Span(source, start, line.start)))
    if tabbed:
        number, span = tabbed[0]
        more = len(tabbed) - 1
        lines[number] = replace(
            lines[number],
            problem=Diagnostic(
                "tab-indent",
                "this line is indented with a tab",
                Label(span, "a tab"),
                notes=(f"so {'is' if more == 1 else 'are'} {more} more line{'s' * (more > 1)}",)
                if more
                else (),
                helps=("indent with spaces, four of them",),
            ),
        )
    return tuple(lines)
