"""Emitted code and the interpreter agree where clauses speak of key heads and map tokens, forward and backward."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_checks import Measure, assert_holds, case_for, compile_text
from properties import cases
from random_maps import ENTRIES, specs
from turns import TURNS

from attnc.verify.cases import Case

CPU = Case("cpu", "float64", 1, 1, 8, 6, 4, 2, 2, entries=ENTRIES)
NUMPY = Case("numpy", "float32", 1, 1, 16, 16, 4, 2, 1, tile=(16, 16), entries=ENTRIES)
LENGTHS, HEADS = st.integers(1, 30), st.sampled_from([(4, 2), (3, 1), (2, 2)])
SIZES = st.builds(
    lambda n, m, heads: {"N": n, "M": m, "H": heads[0], "HKV": heads[1]}, LENGTHS, LENGTHS, HEADS
)
DTYPES, VARIANTS = st.sampled_from(["float32", "bfloat16", "float16"]), st.integers(1, 5)


def agree(measure: Measure, text: str, sizes: dict[str, int], dtype: str, variant: int) -> None:
    compilation = compile_text(text)
    for case in (CPU, replace(NUMPY, dtype=dtype)):
        sized = replace(case, variant=variant, **sizes)  # type: ignore[arg-type]
        assert_holds(measure(compilation, case_for(compilation, sized)))


@cases(100, 12)
@given(specs(), SIZES, DTYPES, VARIANTS)
def test_random_maps(measure: Measure, text: str, sizes: dict[str, int], dtype: str, variant: int) -> None:
    agree(measure, text, sizes, dtype, variant)


@pytest.mark.slow
@cases(400 // TURNS)
@given(specs(), SIZES, DTYPES, VARIANTS)
def test_many_random_maps(
    measure: Measure, text: str, sizes: dict[str, int], dtype: str, variant: int
) -> None:
    agree(measure, text, sizes, dtype, variant)
