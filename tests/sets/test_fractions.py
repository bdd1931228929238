"""Comparisons of reals that are fractions, as integers, against doubles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_zoo import attention_of, mask_of
from properties import cases
from range_checks import Counts, check_ranges, transposed
from scalar_meaning import Scene, meaning

from attnc.analyze.ranges import find_ranges
from attnc.ir import nodes as ir
from attnc.sets.convert import to_bool, to_predicate
from attnc.sets.predicate import Opaque

INTEGERS = st.sampled_from([ir.Index("i"), ir.Index("j"), ir.IntParam("window"), ir.IntParam("left")])
NUMBERS = st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.25, 0.75, 1.0, 2.0, 3.0, 7.0, 0.1, 1e9])
LEAVES = st.one_of(INTEGERS.map(ir.FromInt), NUMBERS.map(ir.RealConst))


def _operations(below: st.SearchStrategy[ir.Real]) -> st.SearchStrategy[ir.Real]:
    return st.one_of(
        st.builds(ir.RealOp, st.sampled_from(["+", "-", "*"]), below, below),
        st.builds(lambda a, n: ir.RealOp("/", a, ir.RealConst(n)), below, NUMBERS.filter(bool)),
        st.builds(lambda a: ir.RealCall("abs", a), below),
    )


REALS = st.recursive(LEAVES, _operations, max_leaves=5)
COMPARISONS = st.builds(ir.Compare, st.sampled_from(["<", "<=", "==", "!="]), REALS, REALS)


@given(COMPARISONS, st.integers(-40, 40), st.integers(-9, 9))
@cases(2000, 400)
def test_what_is_multiplied_out_says_what_doubles_say(mask: ir.Compare, window: int, left: int) -> None:
    found = to_bool(to_predicate(mask))
    for i in (0, 1, 2, 3, 5, 8, 21, 35):
        for j in (0, 1, 4, 6, 7, 20, 34):
            values = {"i": i, "j": j, "window": window, "left": left}
            assert meaning(found, Scene(values)) == meaning(mask, Scene(values))


@pytest.mark.parametrize(
    "mask",
    ["real(abs(i - j)) < real(window) / 2.0", "abs(real(i - j)) <= 0.5 * real(window) + 0.25",
     "real(j) <= real(i) * 1.5 - real(window) / 4.0", "real(i - j) / 3.0 < real(window) / 7.0 and j <= i"],
)  # fmt: skip
def test_masks_of_fractions_have_a_closed_form(mask: str) -> None:
    term = mask_of(mask)
    for target in ("j", "i"):
        ranges = find_ranges(attention_of(term), target)  # type: ignore[arg-type]
        assert ranges.closed and not ranges.loose
        for window in (-3, 0, 1, 2, 5, 6, 40):
            values = {"N": 30, "M": 26, "window": window}
            seen = [
                [bool(meaning(term, Scene({**values, "i": i, "j": j}))) for j in range(26)] for i in range(30)
            ]
            check_ranges(ranges, seen if target == "j" else transposed(seen), values, 4, 4, Counts())


def test_what_is_rounded_on_the_way_is_left_alone() -> None:
    """A third and a third of two numbers are not what the doubles add up to; nor is a tenth one."""
    for text in ("real(i) / 3.0 + real(j) / 3.0 <= 1.0", "real(i) * 0.1 < real(j)", "real(i) < temperature"):
        assert isinstance(to_predicate(mask_of(text)), Opaque)
