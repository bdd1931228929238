"""Rows: never said to be never empty where a call has an empty one, and the texts of the reasons."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from integer_oracle import evaluate, heads
from mask_zoo import ALL, attention_of, mask_of, nasty, usual
from properties import cases
from random_masks import calls, masks
from truth import pairs_seen

from attnc.analyze.requirements import find_requirements
from attnc.analyze.rows import find_rows
from attnc.ir import nodes as ir

NEVER_EMPTY = {
    "full", "causal", "sink_and_window", "prefix_lm", "batch_prefix_lm", "block_causal",
    "first_queries_or_first_keys", "compressed_queries", "valid_or_causal", "strided_keys", "strided_by_head",
    "last_queries_see_all",
    "remainder_staircase",
}  # fmt: skip


def has_empty_row(mask: ir.Bool, values: dict[str, Any]) -> bool:
    return not all(any(row) for row in pairs_seen(mask, values))


@pytest.mark.parametrize("name", ALL)
def test_rows_of_the_zoo(name: str) -> None:
    mask, random = mask_of(ALL[name]), Random(name)
    rows = find_rows(attention_of(mask))
    assert rows.because
    assert rows.can_be_empty == (name not in NEVER_EMPTY)
    drawn = [draw(random) for draw in (usual, nasty) for _ in range(8)]
    if name in NEVER_EMPTY:
        assert not any(has_empty_row(mask, values) for call in drawn for values in heads(mask, call.values))


@cases(200, 80)
@given(masks, calls())
def test_rows_of_random_masks(mask: ir.Bool, values: dict[str, Any]) -> None:
    if all(evaluate(each.term, values) >= 1 for each in find_requirements(mask)):
        assert find_rows(attention_of(mask)).can_be_empty or not has_empty_row(mask, values)


@pytest.mark.parametrize(
    ("text", "can_be_empty", "because"),
    [
        ("j <= i", False, "no row is empty: query i sees key 0"),
        ("i < 3 or j == 0", False, "no row is empty: query i sees key 0"),
        ("j <= i if h < 4 else j < 2", False, "no row is empty: query i sees key 0"),
        ("h < 4 and j <= i or 4 <= h and i // 2 <= j and j <= i // 2", True,
         "query i may see no key where 4 <= h and M < (N + 1) // 2"),
        ("i < prefix and j <= i or prefix <= i and j < 5", False,
         "no row is empty: every query sees a key, proved case by case"),
        ("j < i", True, "query i may see no key where i < 1"),
        ("j <= i and i - j < window", True, "query i may see no key where window < 1 or M + window <= N"),
        ("j <= i + (M - N)", True, "query i may see no key where M < N"),
        ("j <= i + offsets[b]", True, "query i may see no key where offsets[b] < 0"),
        ("j < lengths[b] and j <= i", True, "query i may see no key where lengths[b] < 1"),
        ("h < 4 and j <= i", True, "query i may see no key where 4 <= h"),
        ("j <= i and (h < 4 or i - j < window)", True,
         "query i may see no key where 4 <= h and window < 1 or 4 <= h and M + window <= N"),
        ("j == i", True, "query i sees key i, so a row is empty only where i >= M; that can be where N > M"),
        ("doc[i] == doc[j] and j <= i", True,
         "query i sees key i, so a row is empty only where i >= M; that can be where N > M"),
        ("i // chunk == j // chunk", True,
         "query i sees key i, so a row is empty only where i >= M; that can be where N > M"),
        ("valid[j] and j <= i", True,
         "`valid[j]` reads an array at key positions: which keys a query sees is open; "
         "no key is known that every query sees, so a row may be empty"),
        ("i < j and j < i", True, "no query sees a key"),
    ],
)  # fmt: skip
def test_reasons(text: str, can_be_empty: bool, because: str) -> None:
    rows = find_rows(attention_of(text))
    assert (rows.can_be_empty, "; ".join(map(str, rows.because))) == (can_be_empty, because)


def test_the_condition_in_a_reason_is_the_whole_truth() -> None:
    """`window < 1 or M + window <= N` is where a sliding window has an empty row, and nowhere else."""
    mask, random = mask_of("j <= i and i - j < window"), Random(0)
    for draw in (usual, nasty):
        for _ in range(60):
            values = {**draw(random).values, "b": 0, "h": 0}
            said = values["window"] < 1 or values["M"] + values["window"] <= values["N"]
            assert has_empty_row(mask, values) == said
