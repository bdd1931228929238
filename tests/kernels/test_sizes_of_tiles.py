"""Tiles that are no squares, ends beside the end of a tile or of a tensor, and strips of pairs as short as they get."""

from __future__ import annotations

from dataclasses import replace
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


@pytest.mark.parametrize(("shift", "width"), [(0, 2), (1, 33), (15, 18)])
def test_ends_one_position_behind_a_tile(measure: Measure, shift: int, width: int) -> None:
    """A position more or less shows nowhere else."""
    compilation = compile_text("attention zoo(c: int, w: int):\n    mask j <= i + c and i - j < w\n")
    case = replace(WIDE, N=37, M=45, H=1, tile=(16, 16), numbers=(("c", shift), ("w", width)))
    assert_holds(measure(compilation, case))


@pytest.mark.parametrize("mask", ["true", "j < 20 or i >= 16"])
def test_full_tiles_end_where_tensors_do(measure: Measure, mask: str) -> None:
    """Of widths that are no powers of two, and of whole tiles, which are not asked where they end."""
    compilation = compile_text(f"attention zoo():\n    mask {mask}\n")
    case = Case("numpy", "float32", N=32, M=48, D=24, DV=40, tile=(16, 16))
    assert_holds(measure(compilation, case))


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
