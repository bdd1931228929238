"""Support code by name: the functions of the files in `attnc/support`, as they are written there.

Enters: the name of a file, and of what is asked of it. Leaves: text, which emitted modules carry.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

SUPPORT = Path(__file__).parent.parent / "support"


@cache
def functions_of(file: str) -> dict[str, str]:
    """The text of every function of a file, with its decorators, in order."""
    text = _read(file)
    lines = text.splitlines()
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name != "_":
            found[node.name] = "\n".join(lines[_first_line(node) - 1 : node.end_lineno])
    return found


def text_of(file: str, *names: str) -> str:
    """These functions of a file, two blank lines between them."""
    return "\n\n\n".join(functions_of(file)[name] for name in names)


@cache
def whole(file: str) -> str:
    """A file but for its docstring and its imports."""
    text = _read(file)
    body = ast.parse(text).body
    first = next(node for node in body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr))
    return "\n".join(text.splitlines()[_first_line(first) - 1 :])


def select(functions: dict[str, str], used: Iterable[str]) -> list[str]:
    """The texts of the functions that are used, by a module or by each other."""
    wanted: set[str] = set()
    todo = set(used) & set(functions)
    while todo:
        wanted |= todo
        todo = {name for each in todo for name in _words(functions[each])} & set(functions) - wanted
    return [text for name, text in functions.items() if name in wanted]


def _first_line(node: ast.stmt) -> int:
    """Decorators stand above it."""
    above = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return min([node.lineno, *(each.lineno for each in above)])


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


def _read(file: str) -> str:
    return (SUPPORT / f"{file}.py").read_text(encoding="utf-8")
