"""Text and places in it.

Enters: the text of a file. Leaves: `Source`, and `Span`s that every later value may carry back to the reader.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Source:
    """A named text. `name` is what diagnostics print: a path as the user typed it, or `<string>`."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        starts = [0]
        starts += [at + 1 for at, char in enumerate(self.text) if char == "\n"]
        return tuple(starts)

    def line_column(self, offset: int) -> tuple[int, int]:
        """Line and column of a character offset, both counted from 1."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1


@dataclass(frozen=True)
class Span:
    """Characters `[start, end)` of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.line_column(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.line_column(self.start)[1]

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def place(self) -> str:
        """`file:line`, as reasons cite it."""
        return f"{self.source.name}:{self.line}"

    @property
    def cited(self) -> str:
        """`name:line`, as emitted code cites it: the same text wherever the file lies."""
        return f"{self.source.name.rsplit('/', 1)[-1]}:{self.line}"

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of another."""
        return Span(self.source, self.start, other.end)
