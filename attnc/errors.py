"""Mistakes as data.

Enters: what was seen, where, and what to do. Leaves: `Diagnostic` values, and what carries them: exceptions, a warning.
`render.py` is the only code that turns a diagnostic into text; `docs/errors/` has a page for every code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from attnc.source import Span


@dataclass(frozen=True)
class Label:
    """A span and what there is to say about it."""

    span: Span
    text: str = ""


@dataclass(frozen=True)
class Diagnostic:
    """One mistake. `code` is a few words joined by hyphens; `message` stands alone: lowercase, no full stop.

    `repair` is what the help says to write in place of the label's span, where there is no doubt about it.
    """

    code: str
    message: str
    label: Label | None = None
    related: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    severity: Literal["error", "warning"] = "error"
    repair: str | None = None


class AttncError(Exception):
    """A mistake of the user's: in a spec, on the command line, or in the arguments of a call."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = diagnostics
        super().__init__(*diagnostics)

    def __str__(self) -> str:
        from attnc.render import render_all

        return render_all(self.diagnostics)


class AttncWarning(UserWarning):
    """Something that works and is probably not meant; its text is that of a diagnostic."""


class CompilerBug(Exception):
    """A mistake of ours. No spec and no argument may ever raise it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}\nthis is a bug in attnc: please report it with the spec that shows it")


def raise_all(diagnostics: Iterable[Diagnostic]) -> None:
    """Raise one `AttncError` for every error among the diagnostics; warnings alone raise nothing."""
    found = tuple(diagnostics)
    if any(d.severity == "error" for d in found):
        raise AttncError(*found)
