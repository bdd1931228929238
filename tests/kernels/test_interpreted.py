"""Triton's interpreter: every example, and of all other kernels those whose turn it is in this run.

The evaluator and Triton's interpreter are two meanings of one language, written by different people. Each is held to
the same limits around the same numbers, so they agree within rounding; together they would have to be wrong alike.
"""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest
import test_few_queries
import test_formulas
import test_shared_heads
from compilations import with_kernels
from kernel_checks import TRITON, Measure, assert_holds, case_for, compile_text
from test_kernels_of_examples import EXAMPLES, compilations
from test_zoo import ZOO
from turns import TURN, in_turn

from attnc.verify.cases import plan_cases
from attnc.verify.inputs import is_square


def check_example(measure: Measure, at: int, turn: int | None = None) -> None:
    for compilation in compilations(EXAMPLES[at]):
        cases = plan_cases("triton", is_square(compilation.attention), quick=True)
        for case in cases if turn is None else [cases[(at + turn) % len(cases)]]:
            assert_holds(measure(with_kernels(compilation), case))


@pytest.mark.parametrize("at", in_turn(range(len(EXAMPLES))), ids=lambda at: EXAMPLES[at].stem)
def test_a_case_of_an_example(measure: Measure, at: int) -> None:
    check_example(measure, at, TURN)


@pytest.mark.slow
@pytest.mark.parametrize("at", in_turn(range(len(EXAMPLES)), turns=8), ids=lambda at: EXAMPLES[at].stem)
def test_examples(measure: Measure, at: int) -> None:
    check_example(measure, at)


@pytest.mark.parametrize("name", in_turn(ZOO))
def test_zoo(measure: Measure, name: str) -> None:
    spec = ZOO[name]
    compilation = compile_text(spec.text)
    fixed = {"numbers": spec.numbers, "entries": spec.entries}
    assert_holds(measure(compilation, case_for(compilation, TRITON, spec.square, **fixed)))


def test_a_read_that_a_whole_program_guards(measure: Measure) -> None:
    """Triton's interpreter is particular about masks that are one truth for some part."""
    compilation = compile_text(ZOO["bias_by_two_heads"].text)
    assert_holds(measure(compilation, case_for(compilation, TRITON, H=4, HKV=2)))


@pytest.mark.parametrize("name", in_turn(test_formulas.FORMULAS))
def test_formula(measure: Measure, name: str) -> None:
    case = replace(test_formulas.NUMPY, backend="triton", scale=test_formulas.ABOUT_1)
    assert_holds(measure(test_formulas.compiled(test_formulas.FORMULAS[name]), case))


SPLIT = [(room, name) for room in (test_few_queries, test_shared_heads) for name in room.SPECS]


@pytest.mark.parametrize(("room", "name"), in_turn(SPLIT), ids=lambda each: getattr(each, "__name__", each))
def test_shares(measure: Measure, room: ModuleType, name: str) -> None:
    """Of the keys of few queries, and of the heads of a group."""
    compilation = compile_text(room.SPECS[name])
    for case in room.CALLS:
        assert_holds(measure(compilation, case_for(compilation, case, backend="triton", tile=(16, 16))))
