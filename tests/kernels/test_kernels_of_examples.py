"""The examples: a few cases by default, a share of the grid of `attnc verify` in the slow suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from compilations import file, one_of, with_kernels
from kernel_checks import Measure, assert_holds
from turns import in_turn

from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.verify.cases import Backend, plan_cases
from attnc.verify.inputs import is_square

BACKENDS: tuple[Backend, ...] = ("cpu", "numpy")
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.attn"))


def compilations(path: Path) -> list[Compilation]:
    """Every attention of a file that has a kernel."""
    found = [one_of(path, attention.name) for attention in file(path).attentions]
    return [compilation for compilation in found if has_kernel(compilation)]


def has_kernel(compilation: Compilation) -> bool:
    try:
        _ = compilation.plan
    except AttncError as refused:
        assert [d.code for d in refused.diagnostics] == ["no-kernel"]
        return False
    return True


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(measure: Measure, path: Path) -> None:
    """The quick grid, of one path; that of the other in the next run."""
    for compilation in compilations(path):
        for backend in in_turn(BACKENDS, EXAMPLES.index(path), turns=2):
            chosen = compilation if backend == "cpu" else with_kernels(compilation)
            for case in plan_cases(backend, is_square(compilation.attention), quick=True):
                assert_holds(measure(chosen, case))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_by_turns(measure: Measure, path: Path) -> None:
    """Every pair of values that a case is made of: each case meets some of the examples."""
    for compilation in compilations(path):
        square = is_square(compilation.attention)
        cases = [case for backend in (*BACKENDS, "triton") for case in plan_cases(backend, square)]
        for case in in_turn(cases, EXAMPLES.index(path)):
            assert_holds(measure(compilation if case.backend == "cpu" else with_kernels(compilation), case))
