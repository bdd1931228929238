"""Emitted modules define every name once: of two functions the first would be lost without a word."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

MODULES = sorted((Path(__file__).parent.parent / "golden").glob("*/module.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.parent.name)
def test_every_function_is_defined_once(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    defined = (node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    counts = Counter(name for name in defined if name != "_")  # what is registered needs no name
    assert counts and max(counts.values()) == 1, counts.most_common(3)
