"""The test of a tile against a look at every pair."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_oracle import evaluate, heads
from mask_zoo import ALL, attention_of, mask_of, nasty, usual
from properties import cases
from random_masks import IN_ORDER, MANY, calls, masks
from range_checks import GARBAGE
from truth import pairs_seen

from attnc.analyze.facts import TileTest
from attnc.analyze.implied import find_implied
from attnc.analyze.requirements import find_requirements
from attnc.analyze.tile_test import find_tile_test
from attnc.ir import nodes as ir
from attnc.ir.walk import axes_of


def check(test: TileTest, seen: list[list[bool]], values: dict[str, Any], rows: int, columns: int) -> int:
    """How many tiles are not decided, of all; soundness is asserted."""
    undecided = 0
    for top in range(0, len(seen), rows):
        for left in range(0, len(seen[0]), columns):
            pairs = [seen_by[left : left + columns] for seen_by in seen[top : top + rows]]
            here = {
                **values,
                "i.first": top, "i.last": top + len(pairs) - 1,
                "j.first": left, "j.last": left + len(pairs[0]) - 1,
            }  # fmt: skip
            some, every = (evaluate(term, here, outside=GARBAGE) for term in (test.some, test.every))
            assert some or not any(map(any, pairs)), f"a visible pair is missed at {here}"
            assert not every or all(map(all, pairs)), f"wrongly full at {here}"
            undecided += some and not every and not (any(map(any, pairs)) and not all(map(all, pairs)))
    return undecided


def requirements_hold(mask: ir.Bool, values: dict[str, Any]) -> bool:
    return all(evaluate(each.term, values) >= 1 for each in find_requirements(mask))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("draw", [usual, nasty])
def test_zoo(name: str, draw: Any) -> None:
    mask, random = mask_of(ALL[name]), Random(name)
    test = find_tile_test(attention_of(mask), mask)
    for _ in range(6):
        for values in heads(mask, draw(random).values):
            if requirements_hold(mask, values):
                check(test, pairs_seen(mask, values), values, random.choice([3, 7]), random.choice([3, 7]))


def check_random_mask(mask: ir.Bool, values: dict[str, Any], rows: int, columns: int) -> None:
    if requirements_hold(mask, values):
        attention = attention_of(mask, IN_ORDER)
        simpler = find_implied(attention).mask
        test = find_tile_test(attention, simpler)
        check(test, pairs_seen(mask, values), values, rows, columns)
        # Lists have a row for each head that the mask of the kernels tells apart.
        assert (axes_of(test.some) | axes_of(test.every)) & {"b", "h"} <= axes_of(simpler)


@cases(150, 45)
@given(masks, calls(), st.integers(1, 5), st.integers(1, 5))
def test_random_masks(mask: ir.Bool, values: dict[str, Any], rows: int, columns: int) -> None:
    check_random_mask(mask, values, rows, columns)


@pytest.mark.slow
@cases(MANY)
@given(masks, calls(), st.integers(1, 5), st.integers(1, 5))
def test_many_random_masks(mask: ir.Bool, values: dict[str, Any], rows: int, columns: int) -> None:
    check_random_mask(mask, values, rows, columns)


EXACT = ["causal", "sliding_window", "local_blocks", "longformer", "prefix_lm", "block_causal"]


@pytest.mark.parametrize("name", EXACT)
def test_decides_what_people_use(name: str) -> None:
    mask, random = mask_of(ALL[name]), Random(name)
    test = find_tile_test(attention_of(mask), mask)
    for _ in range(10):
        values = usual(random).values
        assert check(test, pairs_seen(mask, values), values, 5, 4) <= (3 if name == "longformer" else 0)
