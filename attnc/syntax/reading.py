"""A file to its text.

Enters: a path. Leaves: a `Source`, without a mark at its start and without carriage returns, or an `AttncError` that
says why the file cannot be read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from attnc.errors import AttncError, Diagnostic
from attnc.source import Source


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
        return normalized(Source(name, data.decode("utf-8")))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        why = f"line {line} holds the byte 0x{data[error.start]:02x}, which is not UTF-8"
        raise _unreadable(name, why, "save it as UTF-8 text") from None


def normalized(source: Source) -> Source:
    """The source as the parser reads it."""
    text = source.text.removeprefix("\ufeff").replace("\r\n", "\n")
    return source if text == source.text else replace(source, text=text)


def _unreadable(name: str, why: str, *helps: str) -> AttncError:
    return AttncError(Diagnostic("unreadable-file", f"cannot read `{name}`: {why}", helps=helps))
