"""The shares that keys are split into, run as plain Python: together they visit what one program would."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_oracle import heads
from mask_zoo import ALL, attention_of, mask_of, nasty, usual
from properties import cases
from random_masks import calls, unions
from range_checks import requirements_hold
from test_loops import ARRAYS, SKIPPED, emitted_loops, run

from attnc.analyze.facts import Ranges
from attnc.analyze.ranges import find_ranges
from attnc.emit.writer import Writer
from attnc.ir import nodes as ir
from attnc.ir.nodes import Attention, Size
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Lit, Var
from attnc.lower.int_ranges import find_int_ranges
from attnc.lower.proofs import Proofs
from attnc.lower.split.share import find_share
from attnc.lower.tiled.bounds import Bounds
from attnc.lower.tiled.loops import find_tiles
from attnc.lower.triton_terms import TritonTerms

CALLS = 6


def emitted_shares(attention: Attention, ranges: Ranges) -> str:
    """The text of bounds, shares and loops, whose bodies note first position and kind."""
    block = Block()

    def body(inside: Block, first: Expr, is_edge: bool) -> None:
        inside.do(function("note")(first, Lit(is_edge)))

    ints = find_int_ranges(attention, (ranges,), Proofs(()))
    terms = TritonTerms(attention, ints, {})
    terms.moving = ranges.target
    bounds = Bounds(block, terms, Size("M"), Var("BLOCK_K"))
    find_share(block, find_tiles(bounds, ranges)).loop(block, body)
    writer = Writer()
    writer.body(block.stmts)
    return writer.text


Texts = tuple[str, str]


def emitted(attention: Attention, ranges: Ranges) -> Texts:
    """Loops over all keys, and over a share of them."""
    return emitted_loops(attention, ranges)[0], emitted_shares(attention, ranges)


def check_shares(texts: Texts, values: dict[str, Any], rows: int, step: int) -> None:
    whole, shares = texts
    for first in range(0, values["N"], rows):
        names = {**values, "i_first": first, "i_last": min(first + rows, values["N"]) - 1}
        names |= {"BLOCK_K": step, "b": values.get("b", 0), "h": values.get("h", 0)}
        expected = run(whole, names)
        for splits in (1, 2, 3, len(expected) + 1):
            found = [run(shares, {**names, "split": n, "splits": splits}) for n in range(splits)]
            fair = len(expected) // splits
            assert Counter(visit for each in found for visit in each) == Counter(expected)
            assert all(0 <= len(each) - fair <= 1 for each in found), "shares are not of equal size"


def is_split(ranges: Ranges) -> bool:
    return bool(ranges.visited) and ranges.periods is None


# Where nothing is visited, or what is repeats, there is nothing to share.
WHOLE = {
    "dilated", "empty", "ends_of_chunks", "grid", "grid_ahead", "grid_below", "places_by_head", "shifted_grid",
    "sink_every", "strided_sparse", "two_lengths",
}  # fmt: skip
ZOO = sorted(ALL.keys() - SKIPPED - WHOLE)


@pytest.mark.parametrize("draw", [usual, nasty], ids=["usual", "nasty"])
@pytest.mark.parametrize("name", ZOO)
def test_shares_of_the_zoo(name: str, draw: Any) -> None:
    mask, random = mask_of(ALL[name]), Random(name)
    attention = replace(attention_of(mask), params=ARRAYS)
    ranges = find_ranges(attention, "j")
    assert is_split(ranges)
    texts = emitted(attention, ranges)
    for _ in range(CALLS):
        call = draw(random)
        step, rows = random.choice([3, 7, 16]), random.choice([3, 7, 16])
        for values in heads(mask, call.values):
            if requirements_hold(ranges, values):
                check_shares(texts, values, rows, step)


@cases(60, 25)
@given(unions, calls(), st.integers(1, 5), st.integers(1, 5))
def test_shares_of_random_unions(mask: ir.Bool, values: dict[str, Any], rows: int, step: int) -> None:
    attention = replace(attention_of(mask), params=ARRAYS)
    ranges = find_ranges(attention, "j")
    if is_split(ranges):
        unread = {name: [0] for name in ("windows", "offsets", "lengths", "global_head")}
        check_shares(emitted(attention, ranges), {**values, **unread}, rows, step)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_what_is_not_shared(name: str) -> None:
    assert not is_split(find_ranges(attention_of(ALL[name]), "j"))


def test_there_are_many() -> None:
    assert len(ZOO) > 40
