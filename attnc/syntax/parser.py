"""Text to tree.

Enters: a source. Leaves: `tree.File`, or one `AttncError` with every syntax mistake of the file.
"""

from __future__ import annotations

from contextlib import suppress

from lark import UnexpectedInput

from attnc.errors import AttncError
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
    if layout.is_regular:
        with suppress(UnexpectedInput):
            builder = Builder(source, CommentReader(source, layout.comments))
            file = builder.file(parse_text(source.text, "file"))
            if not builder.found:
                return file

    # Only a text with a mistake pays for the search.
    from attnc.syntax.mistakes.recovery import recover

    raise AttncError(*recover(source).mistakes)
