"""The standard library.

Enters: the `.attn` files of `attnc/std`. Leaves: their trees, read once, and an index of the names they define.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from attnc.source import Source
from attnc.syntax import tree

NORMALIZATIONS = "normalizations"


@dataclass(frozen=True, slots=True)
class Module:
    """A file that was read."""

    source: Source
    file: tree.File


@cache
def standard_modules() -> dict[str, Module]:
    """Every file of the standard library, by its name without `.attn`."""
    from attnc.syntax.parser import parse_file

    found: dict[str, Module] = {}
    for entry in sorted((files("attnc") / "std").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".attn"):
            source = Source(f"std/{entry.name}", entry.read_text(encoding="utf-8"))
            found[entry.name.removesuffix(".attn")] = Module(source, parse_file(source))
    return found


@cache
def standard_names() -> dict[str, str]:
    """Which file of the standard library defines a macro."""
    return {
        item.name.id: title
        for title, module in standard_modules().items()
        for item in module.file.items
        if isinstance(item, tree.Macro)
    }
