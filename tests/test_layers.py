"""Rooms import from the rooms above them and from nowhere else. Imports inside functions count too."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GROUND = {"source", "errors", "render", "options", "tiles", "data", "version"}

# From top to bottom as data flows: each room, and the rooms it may import from beside the ground and itself.
MAY_IMPORT: dict[str, set[str]] = {
    "source": set(),
    "errors": set(),
    "render": set(),
    "options": set(),
    "tiles": set(),
    "data": set(),
    "version": set(),
    "ir": set(),
    "syntax": set(),
    "check": {"syntax", "ir"},
    "sets": {"ir"},
    "algebra": {"ir"},
    "analyze": {"sets", "algebra", "ir"},
    "kernel": set(),
    "lower": {"kernel", "analyze", "algebra", "sets", "ir"},
    "support": set(),
    "emit": {"kernel"},  # it prints values, and decides nothing
    "run": {"support", "analyze", "ir"},
    "evaluate": {"run"},
    "explain": {"run", "lower", "analyze", "algebra", "ir"},
    "plot": {"run", "analyze", "ir"},
    "compiler": {"explain", "plot", "run", "emit", "lower", "analyze", "check", "syntax", "ir"},
    "verify": {"compiler", "evaluate", "run", "analyze", "algebra", "ir"},
    "inspect": {"compiler", "run", "analyze", "ir"},
    "bench": {"compiler", "plot", "run", "emit", "lower", "kernel", "analyze", "algebra", "ir"},
    "importer": {"compiler", "run", "syntax"},
    "cli": {"bench", "inspect", "verify", "compiler", "run", "syntax", "ir"},
    "attnc": {"importer", "compiler"},  # attnc/__init__.py
    "__main__": {"cli"},
}


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "attnc").with_suffix("").parts
    return "attnc" if parts[0] == "__init__" else parts[0]


def imported_rooms(text: str) -> Iterator[tuple[int, str]]:
    """Line and room of every import from the package."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module, names, 0) if module == "attnc":
                modules = [f"attnc.{alias.name}" for alias in names]
            case ast.ImportFrom(str(module), _, 0):
                modules = [module]
            case ast.ImportFrom():
                raise AssertionError(f"line {node.lineno}: write imports from the package's root")
            case _:
                continue
        for module in modules:
            root, _, rest = module.partition(".")
            if root == "attnc":
                room = rest.partition(".")[0]
                yield node.lineno, room if room in MAY_IMPORT else "attnc"


TESTS = [path for path in (ROOT / "tests").rglob("test_*.py") if "golden" not in path.parts]
FILES = sorted((ROOT / "attnc").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    assert room in MAY_IMPORT, f"say in {Path(__file__).name} what the room `{room}` may import"
    allowed = {room} | GROUND | MAY_IMPORT[room]
    wrong = [f"{path.name}:{line}: {room} imports {other}" for line, other in imported_rooms(path.read_text())
             if other not in allowed]  # fmt: skip
    assert wrong == []


def test_the_table_has_no_cycle() -> None:
    done: set[str] = set()
    while len(done) < len(MAY_IMPORT):
        ready = {room for room, above in MAY_IMPORT.items() if room not in done and above <= done}
        assert ready, f"a cycle among {sorted(set(MAY_IMPORT) - done)}"
        done |= ready


def test_every_import_is_seen() -> None:
    text = """import attnc.ir.nodes
def f():
    from attnc import __version__, options
    from attnc.run.loader import x
"""
    assert sorted(imported_rooms(text)) == [(1, "ir"), (3, "attnc"), (3, "options"), (4, "run")]


def test_every_file_of_tests_has_a_name_of_its_own() -> None:
    """pytest imports them by their names alone, and a run of one folder would not notice two of the same name."""
    counts = Counter(path.name for path in TESTS)
    assert len(TESTS) > 100
    assert [name for name, count in counts.items() if count > 1] == []
