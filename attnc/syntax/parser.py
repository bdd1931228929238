"""Text to tree.

Enters: a source. Leaves: `tree.File`, or one `AttncError` with every syntax mistake of the file.
"""

from __future__ import annotations

from collections.abc import Iterable

from lark import UnexpectedInput

from attnc.errors import AttncError, Diagnostic
from attnc.source import Source
from attnc.syntax.build import Builder
from attnc.syntax.comments import CommentReader
from attnc.syntax.grammar import parse_text
from attnc.syntax.layout import find_lines
from attnc.syntax.reading import normalized
from attnc.syntax.tree import File


def parse_file(source: Source) -> File:
    """The tree of a source. A mark at its start and carriage returns are taken away first."""
    source = normalized(source)
    layout = find_lines(source)
    error: UnexpectedInput | None = None
    if layout.is_regular:
        try:
            branch = parse_text(source.text, "file")
        except UnexpectedInput as refused:
            error = refused
        else:
            builder = Builder(source, CommentReader(source, layout.comments))
            file = builder.file(branch)
            if builder.found:
                raise AttncError(*_in_order(builder.found))
            return file

    # Only a text with a mistake pays for the search.
    from attnc.syntax.mistakes.lines import explain_error, find_mistakes

    mistakes = find_mistakes(source, layout)
    if not mistakes and error is not None:
        mistakes = (explain_error(source, error),)
    raise AttncError(*_in_order(mistakes))


def _in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    return sorted(diagnostics, key=lambda d: d.label.span.start if d.label else 0)
