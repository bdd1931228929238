"""What a kernel does anew for each pair: rows of tables that it searches."""

from __future__ import annotations

import pytest

from attnc.compiler import Compilation
from attnc.source import Source

SEARCHED = (
    "a row may have more than 16 slots, so it is searched in a loop, and edge tiles are not copied ahead"
)


@pytest.mark.parametrize(
    ("slots", "mask", "is_searched"),
    [
        ("16", "j // 64 in table[i // 64, :]", False),
        ("17", "j // 64 in table[i // 64, :]", True),
        ("slots", "j // 64 in table[i // 64, :]", True),
        ("slots", "j <= i and h in table[i // 64, :]", True),
        ("slots", "j <= i", False),
    ],
)
def test_rows_that_are_searched_in_a_loop_are_named(slots: str, mask: str, is_searched: bool) -> None:
    text = f"attention a(slots: int, table: int[(N - 1) // 64 + 1, {slots}]):\n    mask {mask}\n"
    compilation = Compilation(Source("a.attn", text))
    reasons = [reason for reason in compilation.plan.because if SEARCHED in reason.text]
    assert bool(reasons) == is_searched == ("_is_member(" in compilation.module.split("def _forward(")[1])
    for reason in reasons:
        clause = mask.split(" and ")[-1]
        assert reason.text == f"`{clause}`: {SEARCHED}"
        assert reason.span and text[reason.span.start : reason.span.end] == clause
