"""Tables of the pages that are written here."""

from __future__ import annotations

from collections.abc import Iterator


def header(*names: str) -> Iterator[str]:
    """The names of columns, and the line below them."""
    yield row(*names)
    yield "|" + "---|" * len(names)


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
