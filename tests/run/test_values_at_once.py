"""Values at many places at once, against the meaning of terms at one place after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from random_terms import Random
from read_ir import parse_term
from scalar_meaning import Scene, Undefined, meaning

from attnc.errors import AttncError
from attnc.ir import nodes as ir
from attnc.run.arithmetic import FAR
from attnc.run.coordinates import period_end, tile_end
from attnc.run.values import Columns

N, M = 6, 5
SORTS = {"row": "int", "table": "int", "on": "bool", "w": "int"}
AT: dict[str, Any] = {
    "N": N, "M": M, "B": 2, "H": 3, "D": 4, "DV": 4, "b": 1, "h": 2, "w": 2, "c": 1.5, "on": True,
    "row": [1, 1, 4, 4, 9, 12],
    "table": [[(5 * y + 3 * x) % 7 - 1 for x in range(3)] for y in range(N)],
    "step": [3, -1, 0, 2, 4],
    "flags": [[True, False, True, True, False]] * 3,
    "bias": [[[float(i - j) for j in range(M)] for i in range(N)]] * 3,
}  # fmt: skip
POSITIONS = np.arange(N)


def one_by_one(term: ir.Int, places: dict[str, Any], asked: list[bool]) -> list[int] | None:
    """The numbers; None where one of them has no value."""
    rows = [dict(zip(places, row, strict=True)) for row in zip(*places.values(), strict=True)]
    try:
        found = [
            meaning(term, Scene(AT | row)) for row, is_asked in zip(rows, asked, strict=True) if is_asked
        ]
    except Undefined:
        return None
    return [max(-FAR, min(int(number), FAR)) for number in found]


def at_once(term: ir.Int, places: dict[str, Any], asked: list[bool]) -> list[int] | None:
    columns = {name: np.array(each, np.int64) for name, each in places.items()}
    try:
        (found,) = Columns([term], AT).at(columns, np.array(asked))
    except AttncError:
        return None
    return [number for number, is_asked in zip(found.tolist(), asked, strict=True) if is_asked]


@given(
    Random(frozenset({"b", "h", "i", "j"}), "D").int(3),
    st.lists(st.tuples(st.integers(0, N - 1), st.integers(0, M - 1), st.booleans()), min_size=1, max_size=8),
)
@cases(2000, 300)
def test_values_at_once_are_those_of_each_place(term: ir.Int, rows: list[tuple[int, int, bool]]) -> None:
    i, j, asked = (list(each) for each in zip(*rows, strict=True))
    assert at_once(term, {"i": i, "j": j}, asked) == one_by_one(term, {"i": i, "j": j}, asked)


@pytest.mark.parametrize(
    "text",
    ["least(i, row[i] - 2 * i)", "greatest(i, row[i] * first(i)) + last(i)", "rank(row[:], first(i) * 2)",
     "rank(table[b, :], first(i))", "rank(table[first(i), :], 2)", "4 if last(i) in row[:] else first_period()",
     "least(i, w if on else row[i + 9])", "least(i, row[i + 9] if on else w)"],
)  # fmt: skip
def test_terms_of_a_tile(text: str) -> None:
    term = parse_term(text, SORTS)
    assert isinstance(term, ir.Int)
    places = {
        tile_end("i", "first"): [0, 2, 3, 5], tile_end("i", "last"): [1, 2, 4, 5],
        period_end("first"): [0, 1, 5, 2],
    }  # fmt: skip
    asked = [True, True, False, True]
    assert at_once(term, places, asked) == one_by_one(term, places, asked)


@pytest.mark.parametrize(
    ("text", "number"),
    [("w * w - w * w + i", None), ("w * w + i", FAR), ("i - w * w", -FAR), ("w * w // w - w + i", None)],
)
def test_numbers_that_64_bits_do_not_hold(text: str, number: int | None) -> None:
    """They are exact on the way, whatever their size."""
    term = parse_term(text, SORTS)
    assert isinstance(term, ir.Int)
    (found,) = Columns([term], {"w": 2**61 + 1}).at({"i": POSITIONS})
    assert found.tolist() == (POSITIONS.tolist() if number is None else [number] * N)


def test_equal_terms_are_evaluated_once() -> None:
    one, two = (parse_term(text, SORTS) for text in ("row[i] * row[i] + 3", "max(row[i] * row[i], w)"))
    assert isinstance(one, ir.Int) and isinstance(two, ir.Int)
    columns = Columns([one, two, one], AT)
    first, second, third = (each.tolist() for each in columns.at({"i": POSITIONS}))
    assert len(columns._distinct) == 7  # i, row[i], their product, 3, the sum, w, the max
    assert first == third == [row**2 + 3 for row in AT["row"]]
    assert second == [max(row**2, 2) for row in AT["row"]]
