"""Lines, indentation and the 100-column limit.

Enters: lines and words. Leaves: text. Indentation belongs to a `with` block, never to a string.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

WIDTH = 100


class Lines:
    """A writer of lines; `with writer.indent():` is a block."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    @property
    def text(self) -> str:
        return "\n".join(self._lines).rstrip("\n") + "\n"

    def line(self, text: str = "") -> None:
        self._lines.append(("    " * self._depth + text).rstrip())

    def gap(self) -> None:
        """Two blank lines: what comes is another function."""
        self.line()
        self.line()

    def lines(self, text: str) -> None:
        """Several lines at once, each indented."""
        margin = "    " * self._depth
        self._lines += [(margin + line).rstrip() for line in text.split("\n")]

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

    def fits(self, text: str) -> bool:
        """Is there room for this on one line?"""
        return len(text) + 4 * self._depth <= WIDTH
