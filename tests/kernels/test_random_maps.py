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

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))
HEADS = st.sampled_from([(4, 2), (3, 1), (2, 2)])

CPU = Case("cpu", "float64", 1, 1, 8, 6, 4, 2, 2, entries=ENTRIES)
NUMPY = Case("numpy", "float32", 1, 1, 16, 16, 4, 2, 1, tile=(16, 16), entries=ENTRIES)


def agree(measure: Measure, text: str, sizes: tuple[int, int], heads: tuple[int, int], variant: int) -> None:
    compilation = compile_text(text)
    for case in (CPU, NUMPY):
        sized = replace(case, N=sizes[0], M=sizes[1], H=heads[0], HKV=heads[1], variant=variant)
        assert_holds(measure(compilation, case_for(compilation, sized)))


@cases(100, 30)
@given(specs(), SIZES, HEADS, st.integers(1, 5))
def test_random_maps(
    measure: Measure, text: str, sizes: tuple[int, int], heads: tuple[int, int], variant: int
) -> None:
    agree(measure, text, sizes, heads, variant)


@pytest.mark.slow
@cases(400 // TURNS)
@given(specs(), SIZES, HEADS, st.integers(1, 5))
def test_many_random_maps(
    measure: Measure, text: str, sizes: tuple[int, int], heads: tuple[int, int], variant: int
) -> None:
    agree(measure, text, sizes, heads, variant)
