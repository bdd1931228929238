"""Collecting mistakes.

Enters: one mistake at a time, wherever it is met. Leaves: the diagnostics of a file in the order of its text, at most
one error for a span. A mistake inside the body of a macro of another file is shown where this file uses the macro.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from attnc.check.values import quote
from attnc.errors import Diagnostic, Label
from attnc.source import Source, Span

# Pairs of letters that may be compared to find which names were meant: hundreds of mistakes in a file of some pages.
MOST_COMPARED = 100_000


@dataclass
class Search:
    """How much more work it may be to look for the names that were meant, in all mistakes of a file together."""

    left: int = MOST_COMPARED

    @property
    def goes_on(self) -> bool:
        return self.left > 0

    def spend(self, cost: int) -> bool:
        """False where that is too much."""
        self.left -= cost
        return self.goes_on


@dataclass(frozen=True, slots=True)
class Frame:
    """A macro being expanded, and the call that asked for it."""

    macro: str
    call: Span


@dataclass
class Report:
    """The report on a file: what was found in `source` so far."""

    source: Source
    frames: list[Frame] = field(default_factory=list)
    search: Search = field(default_factory=Search)
    _found: dict[Diagnostic, None] = field(default_factory=dict)
    _seen: set[tuple[str, int, int, str]] = field(default_factory=set)
    has_errors: bool = False

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        label: str = "",
        *,
        related: Iterable[Label] = (),
        notes: Iterable[str] = (),
        helps: Iterable[str] = (),
    ) -> None:
        """Note a mistake that `span` holds."""
        self._add("error", code, message, span, label, tuple(related), tuple(notes), tuple(helps))

    def warning(
        self, code: str, message: str, span: Span, label: str = "", *, helps: Iterable[str] = ()
    ) -> None:
        """Note something that compiles and is probably not meant."""
        self._add("warning", code, message, span, label, (), (), tuple(helps))

    def adopt(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Take over the diagnostics of another file."""
        for diagnostic in diagnostics:
            self._keep(diagnostic)

    @contextmanager
    def inside(self, macro: str, call: Span) -> Iterator[None]:
        """While the body of `macro` is expanded for `call`."""
        self.frames.append(Frame(macro, call))
        try:
            yield
        finally:
            self.frames.pop()

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything found: this file first, then other files by name; each in the order of its text."""
        return tuple(sorted(self._found, key=self._order))

    def _order(self, diagnostic: Diagnostic) -> tuple[bool, str, int]:
        if diagnostic.label is None:
            return False, "", 0
        span = diagnostic.label.span
        return span.source.name != self.source.name, span.source.name, span.start

    def _add(
        self,
        severity: Literal["error", "warning"],
        code: str,
        message: str,
        span: Span,
        label: str,
        related: tuple[Label, ...],
        notes: tuple[str, ...],
        helps: tuple[str, ...],
    ) -> None:
        if self.frames:
            at = self._nearest(span)
            frame = next((f for f in self.frames if f.call == at and f.call != span), None)
            if frame is not None:
                body = quote(span, 60)
                notes = (f"in the body of `{self.frames[-1].macro}`, {span.place}: {body}",)
                related, label = (), f"in this use of `{frame.macro}`"
            elif self.frames[0].call != span and not related:
                related = (*related, Label(self.frames[0].call, f"`{self.frames[0].macro}` is used here"))
            span = at
        place = (span.source.name, span.start, span.end, severity)
        if place not in self._seen:
            self._seen.add(place)
            self._keep(Diagnostic(code, message, Label(span, label), related, notes, helps, severity))

    def _keep(self, diagnostic: Diagnostic) -> None:
        self._found[diagnostic] = None
        self.has_errors |= diagnostic.severity == "error"

    def _nearest(self, span: Span) -> Span:
        """The innermost span of the chain of expansions that lies in the file being checked."""
        chain = [frame.call for frame in self.frames] + [span]
        mine = [at for at in chain if at.source.name == self.source.name]
        return mine[-1] if mine else span
