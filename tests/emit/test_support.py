"""Support code is copied as it stands: a file is its imports, and then functions that two blank lines set apart."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

from attnc.emit.support import SUPPORT, functions_of, select, whole

FILES = sorted(path.stem for path in SUPPORT.glob("*.py") if path.stem not in ("__init__", "of_module"))
each_file = pytest.mark.parametrize("file", FILES)


def defined(text: str) -> list[str]:
    return [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


@each_file
def test_every_function_is_found_and_nothing_else(file: str) -> None:
    text = (SUPPORT / f"{file}.py").read_text(encoding="utf-8")
    assert list(functions_of(file)) == defined(text)
    assert defined(whole(file)) == defined(text)
    assert not [node for node in ast.parse(whole(file)).body if isinstance(node, ast.Import | ast.ImportFrom)]
    for name, part in functions_of(file).items():
        assert name in defined(part) and part in text


@each_file
def test_a_file_can_be_imported(file: str) -> None:
    module = import_module(f"attnc.support.{file}")
    assert Path(str(module.__file__)) == SUPPORT / f"{file}.py"


def test_what_is_called_comes_along() -> None:
    chosen = select(functions_of("cpu"), ["_spare_processors"])
    assert [name for part in chosen.values() for name in defined(part)] == ["_spare_processors", "_quota"]
    assert chosen["_quota"].startswith("@lru_cache(maxsize=1)\ndef _quota():")
