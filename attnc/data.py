"""Files that are read at run time and are not Python.

Enters: the name of one. Leaves: where it is. In a checkout `grammars/` and `docs/errors/` lie beside the package; a
wheel carries them inside it.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
_HOMES = {"grammars": "_grammars", "docs/errors": "_errors"}


def data_folder(folder: str) -> Path:
    """`grammars` or `docs/errors`, wherever this installation keeps it."""
    inside = _PACKAGE / _HOMES[folder]
    return inside if inside.is_dir() else _PACKAGE.parent / folder


def error_page(code: str) -> str | None:
    """The page of a diagnostic code, as Markdown."""
    page = data_folder("docs/errors") / f"{code}.md"
    return page.read_text(encoding="utf-8") if page.is_file() else None


def error_codes() -> list[str]:
    """Every code that has a page."""
    return sorted(page.stem for page in data_folder("docs/errors").glob("*-*.md"))
