"""Emitted modules define every name once: of two functions the first would be lost without a word."""

from __future__ import annotations

import ast
from collections import Counter

import pytest
from compilations import NAMES, example


@pytest.mark.parametrize("name", NAMES)
def test_every_function_is_defined_once(name: str) -> None:
    body = ast.parse(example(name).module).body
    defined = (node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    counts = Counter(name for name in defined if name != "_")  # what is registered needs no name
    assert counts and max(counts.values()) == 1, counts.most_common(3)
