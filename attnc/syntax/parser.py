"""Text to tree.

Enters: a source, or the path of one. Leaves: `tree.File`, or one `AttncError` with every syntax mistake of the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lark import UnexpectedInput

from attnc.errors import AttncError, Diagnostic
from attnc.source import Source
from attnc.syntax.build import Builder
from attnc.syntax.comments import CommentReader
from attnc.syntax.grammar import parse_text
from attnc.syntax.layout import find_lines
from attnc.syntax.tree import File


def read_source(path: str | Path) -> Source:
    """The text of a file, under the name by which it was asked for."""
    name = str(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise _unreadable(
            name, "there is no such file", "check the path, from the current directory"
        ) from None
    except IsADirectoryError:
        raise _unreadable(name, "it is a directory", "name a file in it") from None
    except PermissionError:
        raise _unreadable(name, "permission denied", "check its permissions") from None
    except (OSError, ValueError) as error:
        raise _unreadable(name, str(error)) from None
    try:
        return _normalized(Source(name, data.decode("utf-8")))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        why = f"line {line} holds the byte 0x{data[error.start]:02x}, which is not UTF-8"
        raise _unreadable(name, why, "save it as UTF-8 text") from None


def parse_file(source: Source) -> File:
    """The tree of a source. A mark at its start and carriage returns are taken away first."""
    source = _normalized(source)
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


def _normalized(source: Source) -> Source:
    text = source.text.removeprefix("\ufeff").replace("\r\n", "\n")
    return source if text == source.text else replace(source, text=text)


def _unreadable(name: str, why: str, *helps: str) -> AttncError:
    return AttncError(Diagnostic("unreadable-file", f"cannot read `{name}`: {why}", helps=helps))
