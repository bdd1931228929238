"""Diagnostics to text: the only drawer.

Enters: diagnostics. Leaves: what a terminal shows, at most 8 lines for a diagnostic of one label and two hints:

    error[unknown-name]: `windw` is not defined here
     --> causal.attn:2:20
      |
    2 |     mask  i - j < windw
      |                   ^^^^^
      |
      = help: did you mean `window`?
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnc.errors import Diagnostic, Label
from attnc.source import Source

MAX_LINES = 8
MAX_COLUMNS = 110
TAB_WIDTH = 4
CUT = "..."
CONTEXT = 12  # columns kept before an underline when a line is cut

BOLD, RED, YELLOW, BLUE, OFF = "\033[1m", "\033[1;31m", "\033[1;33m", "\033[1;34m", "\033[0m"


def render_all(diagnostics: Iterable[Diagnostic], color: bool = False) -> str:
    """All of them in the order of their text, at most one for a span, an empty line between two."""
    given = list(diagnostics)
    sources = {d.label.span.source.name: None for d in given if d.label}
    order = {name: number for number, name in enumerate(sources)}

    def place(d: Diagnostic) -> tuple[int, int, int]:
        return (
            (order[d.label.span.source.name], d.label.span.start, d.label.span.end) if d.label else (-1, 0, 0)
        )

    kept: list[Diagnostic] = []
    for d in sorted(given, key=lambda d: (place(d), d.severity != "error")):
        if d not in kept and not (d.label and kept and kept[-1].label and place(kept[-1]) == place(d)):
            kept.append(d)
    return "\n\n".join(render(d, color) for d in kept)


def render(diagnostic: Diagnostic, color: bool = False) -> str:
    """One diagnostic, without a newline at its end."""
    d = diagnostic
    paint = _Paint(color)
    strong = RED if d.severity == "error" else YELLOW
    head = [f"{paint(f'{d.severity}[{d.code}]', strong)}{paint(f': {_shown(d.message)}', BOLD)}"]
    notes = [("note", text) for text in d.notes] + [("help", text) for text in d.helps]
    if d.label is None:
        return "\n".join(head + _hints(notes, "", paint))

    labels = sorted((d.label, *d.related), key=lambda label: label.span.start)
    pad = " " * max(len(str(label.span.line)) for label in labels)
    gutter = paint(f"{pad} |", BLUE)
    body: list[str] = []
    sources = {label.span.source: None for label in (d.label, *d.related)}
    for source in sources:
        mine = [label for label in labels if label.span.source == source]
        first = d.label if d.label in mine else mine[0]
        arrow = "-->" if source == d.label.span.source else ":::"
        place = f"{_shown(source.name)}:{first.span.line}:{first.span.column}"
        body.append(f"{pad}{paint(arrow, BLUE)} {place}")
        body.append(gutter)
        last = 0
        for line in sorted({label.span.line for label in mine}):
            if last and line > last + 1:
                body.append(paint(CUT, BLUE))
            last = line
            here = [label for label in mine if label.span.line == line]
            here.sort(key=lambda label: label is not d.label)
            text, *marks = _draw_line(source, line, here, d.label, MAX_COLUMNS - len(pad) - 3)
            body.append(f"{paint(f'{line:>{len(pad)}} |', BLUE)} {text}".rstrip())
            for label, mark in zip(here, marks, strict=True):
                body.append(f"{gutter} {paint(mark, strong if label is d.label else BLUE)}")
    if notes:
        body.append(gutter)
    lines = head + body + _hints(notes, f"{pad} ", paint)
    return "\n".join(_without_spare(lines, gutter))


def _without_spare(lines: list[str], gutter: str) -> list[str]:
    """The lines less the empty ones of the gutter, the last first, while there are too many."""
    while len(lines) > MAX_LINES and gutter in lines:
        del lines[len(lines) - 1 - lines[::-1].index(gutter)]
    return lines


def _hints(hints: Sequence[tuple[str, str]], pad: str, paint: _Paint) -> list[str]:
    lines = []
    for kind, text in hints:
        first, *more = text.split("\n")
        lines.append(f"{pad}{paint('=', BLUE)} {paint(f'{kind}:', BOLD)} {_shown(first)}")
        lines += [f"{pad}{' ' * len(f'= {kind}: ')}{_shown(line)}" for line in more]
    return lines


# ---- a line of the source --------------------------------------------------------------------------


def _draw_line(source: Source, line: int, labels: Sequence[Label], primary: Label, width: int) -> list[str]:
    """A line, and below it the marks and text of each label, cut to `width`."""
    start = source.line_starts[line - 1]
    after = source.line_starts[line : line + 1]
    columns, places = _columns(source.text[start : after[0] - 1 if after else None].removesuffix("\r"))
    lefts = [places[min(label.span.start - start, len(places) - 1)] for label in labels]
    ends = [places[min(label.span.end - start, len(places) - 1)] for label in labels]
    ends = [max(left + 1, end) for left, end in zip(lefts, ends, strict=True)]
    wanted = max(end + len(f" {label.text}".rstrip()) for end, label in zip(ends, labels, strict=True))
    shift = min(max(0, wanted - width), max(0, min(lefts) - CONTEXT))
    lines = [_cut(columns, shift, width)]
    for label, left, end in zip(labels, lefts, ends, strict=True):
        sign = "^" if label is primary else "-"
        marks = sign * max(1, min(end - shift, width) - (left - shift))
        lines.append(f"{' ' * (left - shift)}{marks} {_shown(label.text)}".rstrip())
    return lines


def _columns(text: str) -> tuple[list[str], list[int]]:
    """What stands in each column of a terminal, and the column of each character and of the end."""
    columns: list[str] = []
    places: list[int] = []
    for char in text:
        if unicodedata.combining(char) and columns:
            places.append(len(columns) - 1)
            columns[-1] += char
            continue
        places.append(len(columns))
        if char == "\t":
            columns += [" "] * TAB_WIDTH
            continue
        columns.append(_shown(char))
        if unicodedata.east_asian_width(columns[-1]) in "WF":
            columns.append("")  # the second half of a wide character
    return columns, [*places, len(columns)]


def _cut(columns: list[str], shift: int, width: int) -> str:
    """The columns `[shift, shift + width)`, with dots where something is left out."""
    seen = columns[shift : shift + width]
    if shift:
        seen[: len(CUT)] = CUT
        seen[len(CUT) :] = [" " if n == 0 and not char else char for n, char in enumerate(seen[len(CUT) :])]
    if len(columns) > shift + width:
        seen[-len(CUT) :] = CUT
    return "".join(seen).rstrip()


def _shown(text: str) -> str:
    """Text without characters that would move the cursor."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


@dataclass(frozen=True)
class _Paint:
    color: bool

    def __call__(self, text: str, code: str) -> str:
        return f"{code}{text}{OFF}" if self.color and text else text
