"""Sizes and arguments of a call that is not made."""

from __future__ import annotations

import pytest

from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.ir.nodes import Attention
from attnc.run.settings import check_place, complete, read_numbers
from attnc.source import Source

TEXT = """
attention every(window: int = 64, cap: float = 5.0, causal: bool = true, length: int[B], chunk: int):
    mask (j <= i or not causal) and i - j < window and j < length[b] and i // chunk == j // chunk
    score cap * dot(q, k)
"""
GRID = """
attention pooled(factor: int):
    grid      query(y: rows, x: cols) key(y: rows // factor, x: cols // factor)
    mask      i.y // factor == j.y and i.x // factor == j.x
"""


def attention(text: str) -> Attention:
    return Compilation(Source("<string>", text)).attention


def mistakes(texts: dict[str, str]) -> list[str]:
    with pytest.raises(AttncError) as caught:
        read_numbers(attention(TEXT), texts)
    return str(caught.value).split("\n\n")


def test_numbers_have_the_sort_of_their_parameter() -> None:
    texts = {"N": "8192", "window": "-3", "cap": "2", "causal": "False", "chunk": "1_000"}
    found = read_numbers(attention(TEXT), texts)
    assert found == {"N": 8192, "window": -3, "cap": 2.0, "causal": False, "chunk": 1000}
    assert [type(value) for value in found.values()] == [int, int, float, bool, int]


def test_every_mistake_is_reported() -> None:
    assert mistakes({"N": "many", "window": "2.5", "cap": "wide", "causal": "1", "chunk": str(2**62)}) == [
        "error[wrong-type]: `N` needs an int, got `many`",
        "error[wrong-type]: `window` needs an int, got `2.5`",
        "error[wrong-type]: `cap` needs a float, got `wide`",
        "error[wrong-type]: `causal` needs `true` or `false`, got `1`",
        f"error[wrong-type]: `chunk` needs an int between -2**62 and 2**62, got `{2**62}`",
    ]


def test_a_name_that_is_not_there() -> None:
    assert mistakes({"windw": "3"}) == [
        "error[unknown-argument]: `every` has no parameter `windw`\n"
        "= note: its parameters: `window`, `cap`, `causal`, `length`, `chunk`\n"
        "= note: the sizes: `N`, `M`, `B`, `H`, `HKV`, `D`, `DV`\n"
        "= help: did you mean `window`?"
    ]


def test_an_array_is_no_number() -> None:
    assert mistakes({"length": "3"}) == [
        "error[wrong-type]: `length` is an array, an int[B], and no number\n"
        "= help: `attnc plot` takes it as `--array length=FILE.npy`\n"
        "= help: in Python: `f.tiles(..., length=...)`"
    ]


def test_defaults_and_sizes_are_filled_in() -> None:
    every = attention(TEXT)
    defaults = {"window": 64, "cap": 5.0, "causal": True}
    assert complete(every, {}, 100) == {"N": 100, "M": 100, **defaults}
    assert complete(every, {"N": 7, "window": 3}, 100) == {"N": 7, "M": 7, **defaults, "window": 3}
    assert complete(every, {"M": 7}, 100) == {"N": 100, "M": 7, **defaults}


def test_a_grid_says_how_many_tokens_there_are() -> None:
    pooled = attention(GRID)
    assert complete(pooled, {"rows": 8, "cols": 6, "factor": 2}, 100) | {"N": 48, "M": 12} == complete(
        pooled, {"rows": 8, "cols": 6, "factor": 2}, 100
    )
    assert complete(pooled, {"rows": 8}, 100) == {"N": 100, "M": 100, "rows": 8}
    with pytest.raises(AttncError, match=r"needs the product M = 11"):
        complete(pooled, {"rows": 8, "cols": 6, "factor": 2, "M": 11}, 100)


@pytest.mark.parametrize("size", ["N", "M", "B", "HKV"])
def test_sizes_are_one_or_more(size: str) -> None:
    with pytest.raises(AttncError) as caught:
        complete(attention(TEXT), {size: 0}, 100)
    assert str(caught.value) == f"error[wrong-size]: `{size}` needs 1 or more, got 0"


def test_a_head_is_one_of_those_there_are() -> None:
    check_place({}, 5, 5)
    check_place({"H": 6, "B": 6}, 5, 5)
    with pytest.raises(AttncError) as caught:
        check_place({"H": 5, "B": 2}, 5, 2)
    assert str(caught.value).split("\n\n") == [
        "error[wrong-value]: `h` needs 0 to 4, got 5",
        "error[wrong-value]: `b` needs 0 to 1, got 2",
    ]
