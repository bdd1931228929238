"""What two parts of the keys leave of a row, merged, is what all of them leave: for every fold, as its data say it."""

from __future__ import annotations

from math import exp, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnc.algebra.fold import Fold, Largest, Softmax, Sums
from attnc.ir.nodes import RealConst, RealOp, Score

Row = dict[str, float]
FOLDS = {
    "softmax": Softmax(),
    "sums": Sums(weight=Score(), sums=(RealConst(1.0), RealOp("*", Score(), Score()))),
    "largest": Largest(sums=(Score(),)),
}
each_fold = pytest.mark.parametrize("fold", FOLDS.values(), ids=FOLDS)
# Few numbers, so that some are equal; positions are those of the whole row.
SCORES = st.lists(st.sampled_from([-3.0, -0.5, 0.0, 1.25, 2.0]), max_size=6)


def made(fold: Fold, scores: list[float], first: int = 0) -> Row:
    """What the keys from `first` on leave, by definition."""
    largest = max(scores, default=-inf)
    match fold:
        case Softmax():
            return {"row_max": largest, "row_sum": sum(exp(s - largest) for s in scores)}
        case Sums():
            return {"sum_1": float(len(scores)), "sum_2": sum(s * s for s in scores)}
        case Largest():
            return {"largest": largest, "at": first + scores.index(largest) if scores else -1}
    raise AssertionError(fold)


def merged(fold: Fold, parts: list[Row]) -> Row:
    """As `Kept` says."""
    (maximum,) = [each.name for each in fold.kept if each.merge == "max"] or [None]
    top = max(part[maximum] for part in parts) if maximum else None
    found: Row = {}
    for each in fold.kept:
        numbers = [part[each.name] for part in parts]
        if each.merge == "max":
            found[each.name] = max(numbers)
        elif each.merge == "first":
            found[each.name] = min(part[each.name] for part in parts if part[maximum] == top)
        elif maximum:
            factors = [0.0 if part[maximum] == -inf else exp(part[maximum] - top) for part in parts]
            found[each.name] = sum(factor * number for factor, number in zip(factors, numbers, strict=True))
        else:
            found[each.name] = sum(numbers)
    return found


@each_fold
@given(SCORES, SCORES, SCORES)
def test_parts_merge(fold: Fold, a: list[float], b: list[float], c: list[float]) -> None:
    parts = [made(fold, a), made(fold, b, len(a)), made(fold, c, len(a) + len(b))]
    whole = pytest.approx(made(fold, a + b + c), rel=1e-12)
    assert merged(fold, parts) == whole
    assert merged(fold, [merged(fold, parts[:2]), parts[2]]) == whole
    assert merged(fold, [parts[0], merged(fold, parts[1:])]) == whole


@each_fold
@given(SCORES)
def test_a_part_without_a_key_changes_nothing(fold: Fold, scores: list[float]) -> None:
    nothing = {each.name: each.identity for each in fold.kept}
    assert nothing == made(fold, [])
    part = made(fold, scores)
    assert merged(fold, [part, nothing]) == merged(fold, [nothing, part]) == pytest.approx(part, rel=1e-12)


@each_fold
def test_names_are_those_that_kernels_know(fold: Fold) -> None:
    assert set(made(fold, [])) == {each.name for each in fold.kept}
    assert all(dtype in ("float32", "int32") for _, dtype in fold.left)
