"""A module is a guest in another project: it is read, called with types, and left as it is by the host's tools."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from compilations import NAMES, example

TYPES = {"Tensor", "int", "float", "bool", "str", "float | None", "dict[str, Tensor] | None"}


@pytest.mark.parametrize("name", NAMES)
def test_the_function_that_people_call_has_types(name: str) -> None:
    (public,) = (
        node
        for node in ast.parse(example(name).module).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    taken = [*public.args.args, *public.args.kwonlyargs]
    assert {ast.unparse(each.annotation) if each.annotation else each.arg for each in taken} <= TYPES
    assert [arg.arg for arg in public.args.args] == ["q", "k", "v"]
    has_lse = example(name).plan.last.fold.has_lse
    assert public.returns is not None
    beside = ["Tensor"] * has_lse or ["dict[str, Tensor]"] * (example(name).why_no_state is None)
    assert ast.unparse(public.returns) == " | ".join(
        ["Tensor", *(f"tuple[Tensor, {each}]" for each in beside)]
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_kernels_stand_first(name: str) -> None:
    functions = [node for node in ast.parse(example(name).module).body if isinstance(node, ast.FunctionDef)]
    kernels = [fn.name for fn in example(name).kernels.triton]
    assert [fn.name for fn in functions[: len(kernels)]] == kernels


@pytest.mark.parametrize(
    "command", [["check", "--select", "ALL", "--ignore", "PGH004"], ["format", "--check"]]
)
def test_formatters_and_linters_leave_it_as_it_is(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "swin.py"
    path.write_text(example("swin").module, encoding="utf-8")
    called = [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache", str(path)]
    subprocess.run(called, check=True, capture_output=True)
