"""Support code by name: the functions of the files in `attnc/support`, as they are written there.

Enters: the name of a file, and of what is asked of it. Leaves: text, which emitted modules carry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

SUPPORT = Path(__file__).parent.parent / "support"
GAP = "\n\n\n"


@cache
def functions_of(file: str) -> dict[str, str]:
    """The text of every function of a file, with its decorators, in order."""
    parts = whole(file).split(GAP)
    named = ((re.search(r"^def (\w+)\(", part, re.MULTILINE), part) for part in parts)
    return {found[1]: part for found, part in named if found}


@cache
def whole(file: str) -> str:
    """A file but for its docstring and its imports, which two blank lines set apart."""
    _, _, body = (SUPPORT / f"{file}.py").read_text(encoding="utf-8").partition(GAP)
    return body.rstrip("\n")


def select(functions: dict[str, str], used: Iterable[str]) -> dict[str, str]:
    """The functions that are used, by a module or by each other."""
    wanted: set[str] = set()
    todo = set(used) & set(functions)
    while todo:
        wanted |= todo
        todo = {name for each in todo for name in _words(functions[each])} & set(functions) - wanted
    return {name: text for name, text in functions.items() if name in wanted}


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))
