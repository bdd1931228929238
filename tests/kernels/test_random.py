"""Emitted code and the interpreter agree on random masks with random scores, forward and backward."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st
from kernel_checks import Measure, compile_text
from properties import cases
from random_specs import ENTRIES, specs
from turns import TURNS

from attnc.errors import AttncError
from attnc.verify.cases import Case

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def agree(measure: Measure, text: str, sizes: tuple[int, int], variant: int, *cases: Case) -> None:
    compilation = compile_text(text)
    try:
        _ = compilation.module
    except AttncError as refused:
        # A parameter that nothing speaks of, or a mask that is never true, is worth a warning and no kernel.
        codes = {d.code for d in refused.diagnostics if d.severity == "error"}
        assert codes <= {"no-kernel", "mask-always-false"}, str(refused)
        event(f"refused: {codes}")
        return
    for case in cases:
        measurement = measure(compilation, replace(case, N=sizes[0], M=sizes[1], variant=variant))
        assume(not measurement.is_skipped)  # too large a number somewhere
        said = f"{measurement.label}: {measurement.problem}\n" + " ".join(
            f"{q.name} {q}" for q in measurement.quantities
        )
        assert measurement.holds, said


CPU = Case("cpu", "float64", 1, 1, 8, 6, 2, 1, 2, entries=ENTRIES)
NUMPY = Case("numpy", "float32", 1, 1, 16, 16, 2, 1, 1, tile=(16, 16), entries=ENTRIES)


@cases(100, 40)
@given(specs(), SIZES, st.integers(1, 5))
def test_random_specs(measure: Measure, text: str, sizes: tuple[int, int], variant: int) -> None:
    agree(measure, text, sizes, variant, CPU, NUMPY)


@pytest.mark.slow
@cases(800 // TURNS)
@given(specs(), SIZES, st.integers(1, 5))
def test_many_random_specs(measure: Measure, text: str, sizes: tuple[int, int], variant: int) -> None:
    agree(measure, text, sizes, variant, CPU, NUMPY)
