"""What else is wrong with a text that cannot be parsed.

Enters: the source. Leaves: every mistake of it: those of its syntax, and those of names, sorts and sizes in what can be
read of it. What may be the doing of something that could not be read is not told: warnings, names that stand in a line
that was left out, and whatever is said of an expression with such a mistake in it.
"""

from __future__ import annotations

from attnc.check.file import find_mistakes
from attnc.errors import Diagnostic
from attnc.source import Source
from attnc.syntax.mistakes.recovery import Recovery, recover
from attnc.syntax.reading import normalized

OF_NAMES = ("unknown-name", "unknown-function", "unknown-import", "used-before-definition")


def find_all_mistakes(source: Source) -> tuple[Diagnostic, ...]:
    """All mistakes of a source that has one in its syntax, in the order of its text."""
    recovery = recover(normalized(source))
    if recovery.file is None:
        return recovery.mistakes
    found = find_mistakes(recovery.file).diagnostics
    more = [each for each in map(recovery.mended.cite, found) if not _may_be_lost(each, recovery)]
    return tuple(sorted((*recovery.mistakes, *more), key=_place))


def _may_be_lost(diagnostic: Diagnostic, recovery: Recovery) -> bool:
    """Would it perhaps be no mistake, had all lines been read?"""
    if diagnostic.severity == "warning" or diagnostic.label is None:
        return True
    here = diagnostic.label.span
    spans = [each.label.span for each in recovery.mistakes if each.label and each.repair is None]
    if any(here.start <= span.start < here.end and here.source == span.source for span in spans):
        return True
    if diagnostic.code == "unknown-axis":
        return "grid" in recovery.lost
    return diagnostic.code in OF_NAMES and here.text in recovery.lost


def _place(diagnostic: Diagnostic) -> int:
    return diagnostic.label.span.start if diagnostic.label else 0
