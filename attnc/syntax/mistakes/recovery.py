"""A text with mistakes, read as it was meant as far as that is known: one mistake hides no others.

Enters: a source that the grammar refuses. Leaves: a `Recovery`: every mistake of its syntax, and the tree of what is
left of it. A line whose mistakes have a repair is read as repaired, and what else is wrong with it is found; any other
is left out, and the names in it mean nothing that is known. Nothing but further mistakes is ever made of such a tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import takewhile

from lark import UnexpectedInput

from attnc.errors import Diagnostic, Label
from attnc.source import Source, Span
from attnc.syntax.build import Builder
from attnc.syntax.comments import CommentReader
from attnc.syntax.grammar import parse_text
from attnc.syntax.layout import TAB_WIDTH, Layout, Line, find_lines
from attnc.syntax.mistakes.lines import BrokenLine, explain_error, find_broken
from attnc.syntax.mistakes.words import CLAUSE_WORDS, find_words
from attnc.syntax.tree import File

# Each round takes a mistake from every line that has one; more of them in a line are nobody's.
MOST_ROUNDS = 12


@dataclass(frozen=True)
class Mended:
    """A text, and for each of its characters where it stands in the source, or what it stands for begins there."""

    source: Source
    text: str
    origin: tuple[int, ...]

    @property
    def as_source(self) -> Source:
        return Source(self.source.name, self.text)

    def edited(self, edits: Iterable[tuple[int, int, str]]) -> Mended:
        """With the text of other lengths in place of `[start, end)`, for all edits at once."""
        text, origin, at = "", list[int](), 0
        for start, end, new in sorted(edits):
            text += self.text[at:start] + new
            origin += self.origin[at:start] + self.origin[start : start + 1] * len(new)
            at = end
        return replace(self, text=text + self.text[at:], origin=(*origin, *self.origin[at:]))

    def place(self, span: Span) -> Span:
        """A span of this text in the source; one of another file as it is."""
        if span.source.name != self.source.name:
            return span
        return Span(self.source, self.origin[span.start], self.origin[span.end])

    def cite(self, diagnostic: Diagnostic) -> Diagnostic:
        """A diagnostic of this text as one of the source."""
        label = diagnostic.label and Label(self.place(diagnostic.label.span), diagnostic.label.text)
        related = tuple(Label(self.place(each.span), each.text) for each in diagnostic.related)
        return replace(diagnostic, label=label, related=related)


@dataclass(frozen=True)
class Recovery:
    """What was read of a text with mistakes: `file`, where something is left to read, and the `lost` words."""

    mistakes: tuple[Diagnostic, ...]
    file: File | None
    lost: frozenset[str]
    mended: Mended


def recover(source: Source) -> Recovery:
    mended = Mended(source, source.text, tuple(range(len(source.text) + 1)))
    found: dict[Diagnostic, None] = {}
    lost: set[str] = set()
    for left in reversed(range(MOST_ROUNDS)):
        here = mended.as_source
        layout = find_lines(here)
        file, mistakes = _read(here, layout)
        broken = [] if file else find_broken(here, layout)
        mistakes += [mistake for each in broken for mistake in each.mistakes]
        if not (file or broken):
            mistakes += _explain_whole(here)
        known = len(found)
        found.update(dict.fromkeys(map(mended.cite, mistakes)))
        if file or not broken:
            return Recovery(_in_order(found), file, frozenset(lost), mended)
        # A mistake that is met again was not mended by its repair.
        may_repair = left > 1 and known + len(mistakes) == len(found)
        edits: list[tuple[int, int, str]] = []
        for each in broken:
            if repairs := _repairs(each, here, layout) if may_repair else []:
                edits += repairs
                continue
            for line in _with_its_own(each.line, here, layout):
                edits.append(_blank(here, line))
                lost |= {word.text for word in find_words(here, line.start, line.end)}
        mended = mended.edited(_apart(edits))
    return Recovery(_in_order(found), None, frozenset(lost), mended)


def _read(source: Source, layout: Layout) -> tuple[File | None, list[Diagnostic]]:
    """The tree, with what the builder has to say of it."""
    if not layout.is_regular:
        return None, []
    try:
        branch = parse_text(source.text, "file")
    except UnexpectedInput:
        return None, []
    builder = Builder(source, CommentReader(source, layout.comments))
    return builder.file(branch), builder.found


def _explain_whole(source: Source) -> list[Diagnostic]:
    """What stops the parser where every line is well alone."""
    try:
        parse_text(source.text, "file")
    except UnexpectedInput as error:
        return [explain_error(source, error)]
    return []


def _repairs(broken: BrokenLine, source: Source, layout: Layout) -> list[tuple[int, int, str]]:
    """Those of a line, if each of its mistakes has one; a tab is mended wherever there is one."""
    if any(mistake.code == "tab-indent" for mistake in broken.mistakes):
        return _without_tabs(source, layout)
    found = [
        (mistake.label.span.start, mistake.label.span.end, mistake.repair)
        for mistake in broken.mistakes
        if mistake.label and mistake.repair is not None
    ]
    return found if len(found) == len(broken.mistakes) else []


def _with_its_own(line: Line, source: Source, layout: Layout) -> list[Line]:
    """A line, and those that are indented under it: a statement that is left out takes them along."""
    first = find_words(source, line.start, line.end)[0].text
    if line.indent or first in CLAUSE_WORDS:
        return [line]
    after = layout.lines[layout.lines.index(line) + 1 :]
    return [line, *takewhile(lambda each: each.indent > 0, after)]


def _blank(source: Source, line: Line) -> tuple[int, int, str]:
    return line.start, line.end, re.sub(r"[^\n]", " ", source.text[line.start : line.end])


def _without_tabs(source: Source, layout: Layout) -> list[tuple[int, int, str]]:
    """Spaces for the tabs of every line's indentation, of which only the first is a mistake that is told."""
    starts = [(source.text.rfind("\n", 0, line.start) + 1, line.start) for line in layout.lines]
    blanks = [(start, end, source.text[start:end]) for start, end in starts]
    return [(start, end, text.expandtabs(TAB_WIDTH)) for start, end, text in blanks if "\t" in text]


def _apart(edits: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Without those that lie in another one: repairs of a line that is left out."""
    kept: list[tuple[int, int, str]] = []
    for start, end, new in sorted(set(edits), key=lambda each: (each[0], -each[1])):
        if not kept or start > kept[-1][1] or (start == kept[-1][1] and end > start):
            kept.append((start, end, new))
    return kept


def _in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    return tuple(sorted(diagnostics, key=lambda d: d.label.span.start if d.label else 0))
