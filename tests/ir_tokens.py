"""Text cut into tokens, and the questions a reader asks of them.

Enters: a text. Leaves: `Tokens`: what comes next, and a diagnostic that points at it where it is not what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

from attnc.errors import AttncError, Diagnostic, Label
from attnc.source import Source, Span

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<real>\d+(?:\.\d*(?:e[+-]?\d+)?|e[+-]?\d+))|(?P<int>\d+)|(?P<name>[^\W\d]\w*)"
    r'|(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign>\*\*|//|<=|==|!=|[-+*/%<=(),.:\[\]])'
)


class Tokens:
    """The tokens of a text, taken from left to right."""

    def __init__(self, text: str) -> None:
        self._source = Source("<ir>", text)
        self._tokens: list[tuple[str, str, int]] = []
        self._at = 0
        start = 0
        while start < len(text):
            found = _TOKEN.match(text, start)
            if found is None:
                raise self._error("a character that means nothing here", start, start + 1)
            if found.lastgroup and found.lastgroup != "space":
                self._tokens.append((found.lastgroup, found.group(), start))
            start = found.end()
        self._tokens.append(("end", "", len(text)))

    def _error(self, message: str, start: int, end: int) -> AttncError:
        return AttncError(Diagnostic("bad-ir", message, Label(Span(self._source, start, end))))

    def expected(self, what: str) -> NoReturn:
        _, text, start = self._tokens[self._at]
        raise self._error(f"expected {what}", start, start + len(text))

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0]

    def take(self, *texts: str) -> str | None:
        """The next token, if it is one of these."""
        kind, text, _ = self._tokens[self._at]
        if kind == "text" or text not in texts:
            return None
        self._at += 1
        return text

    def take_kind(self, kind: str) -> str | None:
        """The next token, if it is of this kind."""
        found, text, _ = self._tokens[self._at]
        if found != kind:
            return None
        self._at += 1
        return text

    def need(self, text: str) -> None:
        if self.take(text) is None:
            self.expected(f"`{text}`")

    def name(self) -> str:
        return self.take_kind("name") or self.expected("a name")

    def end(self) -> None:
        if self.kind != "end":
            self.expected("the end")

    def items(self, close: str) -> Iterator[None]:
        """Go round once for each item between commas, up to a closing bracket."""
        is_first = True
        while not self.take(close):
            if not is_first:
                self.need(",")
            is_first = False
            yield
