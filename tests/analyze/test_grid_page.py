"""`docs/grids.md`: it has what is found, and boxes visit no more than is asked of them."""

from __future__ import annotations

import pytest
from grid_page import CALLS, LANES, PAGE, SPECS, Call, found, page

from attnc.run.boxes import count_boxes
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_file
from attnc.syntax.reading import read_source

KEPT = PAGE.read_text(encoding="utf-8").split("\n")


def test_the_page_has_what_is_found() -> None:
    """To the letter; the rows of calls are made anew by the slow test."""
    assert set(found()) <= set(KEPT)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.name}, {call.says}")
def test_boxes_visit_no_more(call: Call) -> None:
    grid = call.compilation.grid
    assert grid is not None
    boxes = count_boxes(grid, call.values, LANES)
    assert boxes is not None and boxes.needed
    visited = boxes.shapes[0].visited
    assert call.at_most is None or visited <= call.at_most * boxes.needed
    assert call.of_dense is None or call.values["N"] * call.values["M"] >= call.of_dense * visited
    (row,) = [line for line in KEPT if line.startswith(f"| `{call.name}` | {call.says} |")]
    assert f" | {visited / boxes.needed:.2f} | " in row


@pytest.mark.slow
def test_the_whole_page() -> None:
    (times,) = [line for line in KEPT if line.startswith("Finding a grid takes")]
    assert page(times).split("\n") == KEPT


def test_specs_are_well_kept() -> None:
    source = read_source(SPECS)
    assert print_file(parse_file(source)) == source.text, "not formatted"
