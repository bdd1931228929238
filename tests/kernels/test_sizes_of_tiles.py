"""Tiles that are no squares, and strips of pairs as short as they get: the same values and gradients."""

from __future__ import annotations

from types import ModuleType

import pytest
from kernel_checks import Measure, assert_holds, case_for, compile_text
from zoo import BIASES, MASKS, TOKENS

from attnc.evaluate import load_evaluated
from attnc.verify.cases import Case

ZOO = {**BIASES, **MASKS, **TOKENS}
WIDE, HIGH = (
    Case("numpy", "float32", N=70, M=75, D=16, DV=24, H=2, HKV=1, variant=1, tile=tile)
    for tile in ((16, 32), (32, 16))
)
SPECS = (
    "bias_hnm",
    "unsorted_documents",
    "union",
    "lengths",
    "two_d",
    "relu2_count",
    "counted",
    "l2",
    "max_norm",
)


@pytest.mark.parametrize("case", [WIDE, HIGH], ids=["wide", "high"])
@pytest.mark.parametrize("name", SPECS)
def test_tiles_that_are_no_squares(measure: Measure, name: str, case: Case) -> None:
    spec = ZOO[name]
    compilation = compile_text(spec.text)
    fixed = {"numbers": spec.numbers, "entries": spec.entries}
    assert_holds(measure(compilation, case_for(compilation, case, spec.square, **fixed)))


@pytest.mark.parametrize("name", ["bias_bhnm", "bias_table", "bias_same_twice", "none_with_bias"])
def test_strips_of_one_tile(measure: Measure, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has several only where its pairs fill 64 MiB."""

    def in_short_strips(name: str, text: str) -> ModuleType:
        module = load_evaluated(name, text)
        assert hasattr(module, "_strip_rows")
        vars(module)["_strip_rows"] = lambda pairs_of_a_row, block_q: block_q
        return module

    monkeypatch.setattr("attnc.verify.measure.load_evaluated", in_short_strips)
    spec = ZOO[name]
    compilation = compile_text(spec.text)
    assert_holds(measure(compilation, case_for(compilation, WIDE, spec.square)))
