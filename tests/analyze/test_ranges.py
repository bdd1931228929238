"""Ranges: sound for every mask and every call, tight for the masks people use, and their texts."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_oracle import heads
from mask_zoo import ALL, NEARLY_TIGHT, TIGHT, attention_of, mask_of, nasty, usual
from properties import cases
from random_masks import IN_ORDER, MANY, calls, masks
from range_checks import Counts, check_ranges, requirements_hold, transposed
from truth import pairs_seen

import attnc
from attnc.analyze.ranges import OUT_OF_STEPS, find_ranges
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.walk import Axis

CALLS = 12


def check_zoo(name: str, draw, calls: int, counts: dict[str, Counts]) -> None:
    mask, random = mask_of(ALL[name]), Random(name)
    found = {target: find_ranges(attention_of(mask), target) for target in ("j", "i")}
    for _ in range(calls):
        call = draw(random)
        rows, columns = random.choice([3, 7, 16]), random.choice([3, 7, 16])
        for values in heads(mask, call.values):
            seen = pairs_seen(mask, values)
            for target, ranges in found.items():
                if requirements_hold(ranges, values):
                    truth = seen if target == "j" else transposed(seen)
                    check_ranges(ranges, truth, values, rows, columns, counts[target])


@pytest.mark.parametrize("name", ALL)
def test_ranges_are_sound_for_arguments_nobody_expects(name: str) -> None:
    check_zoo(name, nasty, CALLS, {"j": Counts(), "i": Counts()})


@pytest.mark.parametrize("name", ALL)
def test_ranges_of_the_zoo(name: str) -> None:
    counts = {"j": Counts(), "i": Counts()}
    check_zoo(name, usual, CALLS, counts)
    for found in counts.values():
        if name in TIGHT or name in NEARLY_TIGHT:
            assert found.visited == found.seen
        if name in TIGHT:
            assert found.full == found.truly_full


def check_random_mask(mask: ir.Bool, values: dict[str, Any], rows: int) -> None:
    seen = pairs_seen(mask, values)
    for target in ("j", "i"):
        ranges = find_ranges(attention_of(mask, IN_ORDER), target)
        if requirements_hold(ranges, values):
            truth = seen if target == "j" else transposed(seen)
            check_ranges(ranges, truth, values, rows, rows, Counts())


@cases(150, 60)
@given(masks, calls(), st.integers(1, 5))
def test_ranges_of_random_masks_are_sound(mask: ir.Bool, values: dict[str, Any], rows: int) -> None:
    check_random_mask(mask, values, rows)


SORTED = st.sampled_from(
    [ir.IntLoad("order", (ir.Index(axis),)) for axis in "ij"]  # type: ignore[arg-type]
    + [ir.IntLoad("orders", (ir.Index("h"), ir.Index(axis))) for axis in "ij"]  # type: ignore[arg-type]
)
BESIDE = st.one_of(
    SORTED, st.sampled_from([ir.IntParam("w"), ir.Index("i"), ir.IntLoad("doc", (ir.Index("i"),))])
)
IN_PLACES = st.builds(
    lambda op, a, b, n: build.compare(op, a, build.integer("+", b, ir.IntConst(n))),
    st.sampled_from(["<", "<=", "==", ">", ">="]),
    SORTED,
    BESIDE,
    st.integers(-2, 2),
)


@cases(150)
@given(st.lists(IN_PLACES, min_size=1, max_size=2), calls(), st.integers(1, 5))
def test_ranges_by_places_in_sorted_arrays_are_sound(
    clauses: list[ir.Bool], values: dict[str, Any], rows: int
) -> None:
    check_random_mask(build.conj(*clauses), values, rows)


@pytest.mark.slow
@cases(MANY)
@given(masks, calls(), st.integers(1, 5))
def test_ranges_of_many_random_masks_are_sound(mask: ir.Bool, values: dict[str, Any], rows: int) -> None:
    check_random_mask(mask, values, rows)


@pytest.mark.parametrize("steps", [0, 300, 3_000, 30_000])
@given(name=st.sampled_from(sorted(ALL)), seed=st.integers(0, 999))
@cases(200, 25)
def test_ranges_are_sound_wherever_steps_run_out(steps: int, name: str, seed: int) -> None:
    """And where a mask was not followed because of it, its tiles are listed and the reasons say so."""
    mask, random = mask_of(ALL[name]), Random(seed)
    values = random.choice(heads(mask, usual(random).values))
    seen = pairs_seen(mask, values)
    for target in ("j", "i"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("attnc.analyze.ranges.STEPS", steps)
            ranges = find_ranges(attention_of(mask), target)  # type: ignore[arg-type]
        if requirements_hold(ranges, values):
            check_ranges(ranges, seen if target == "j" else transposed(seen), values, 4, 5, Counts())
        assert ranges.closed or ranges.loose
        if steps == 0:
            assert OUT_OF_STEPS in ranges.because


# A division that something before it is there to switch off: where the divisor is positive it has a closed form, and
# where it is negative, which nobody means, every tile is visited.
SWITCHES = [
    "h < prefix and i // stride == j // stride",
    "i // stride == j // stride and h < prefix",
    "on and i // stride == j // stride or i == j",
    "j <= i and (not on or i // stride == j // stride)",
    "stride == 0 or i // stride == j // stride",
    "stride < 1 or i // stride - 1 <= j // stride",
    "i // stride == j // stride if h < prefix else j <= i",
    "h < prefix and i // windows[h] == j // windows[h]",
]


@pytest.mark.parametrize("mask", SWITCHES)
def test_divisions_behind_a_switch_have_a_closed_form(mask: str) -> None:
    term = mask_of(mask)
    found = {target: find_ranges(attention_of(term), target) for target in ("j", "i")}
    assert all(ranges.closed and not ranges.loose for ranges in found.values())
    for stride in (-4, -1, 0, 1, 3, 50):
        for prefix, on in ((0, False), (2, True), (3, False)):
            values = {"N": 23, "M": 31, "B": 1, "H": 3, "prefix": prefix, "on": on, "stride": stride}
            for each in heads(term, {**values, "windows": [stride, -stride, 5]}):
                try:
                    seen = pairs_seen(term, each)
                except ZeroDivisionError:
                    continue  # no call of this head has a meaning
                for target, ranges in found.items():
                    if requirements_hold(ranges, each):
                        truth = seen if target == "j" else transposed(seen)
                        check_ranges(ranges, truth, each, 5, 4, Counts())


GRIDS = [
    "i.y == j.y if h == 0 else true",
    "h != 1 or i.x == j.x",
    "i.y == j.y if h % 2 == 0 else i.x == j.x",
    "h < w and abs(i.y - j.y) <= w and abs(i.x - j.x) <= w",
    "h < 1 and i.y == j.y or h == 1 and abs(i.y - j.y) <= 1",
]


@pytest.mark.parametrize("mask", GRIDS)
def test_a_grid_is_never_switched_off(mask: str) -> None:
    """Its extents are at least 1 where there are tokens, whatever stands before a division by one."""
    text = f"attention a(w: int = 1):\n    grid y: rows, x: cols\n    mask {mask}\n"
    attention = attnc.compile(text)._compilation.attention
    found = {target: find_ranges(attention, target) for target in ("j", "i")}
    assert all(ranges.closed and not ranges.loose for ranges in found.values())
    assert not any("if 0 < cols" in reason.text for ranges in found.values() for reason in ranges.because)
    for rows, cols in ((4, 6), (1, 20), (20, 1)):
        tokens = {"N": rows * cols, "M": rows * cols, "rows": rows, "cols": cols}
        for w in (0, 1, 3):
            for values in heads(attention.mask, {**tokens, "B": 1, "H": 3, "w": w}):
                seen = pairs_seen(attention.mask, values)
                for target, ranges in found.items():
                    truth = seen if target == "j" else transposed(seen)
                    check_ranges(ranges, truth, values, 5, 4, Counts())


@pytest.mark.parametrize("causal", ["", " and r <= p"])
def test_heads_that_choose_a_shift_are_tight(causal: str) -> None:
    """Chen et al. 2023, arXiv 2309.12307: half of the heads have their groups shifted by half of one."""
    place = "{0} if h < H // 2 else ({0} - group // 2) % N"
    lets = f"    let p = {place.format('i')}\n    let r = {place.format('j')}\n"
    text = f"attention a(group: int):\n{lets}    mask p // group == r // group{causal}\n"
    attention = attnc.compile(text)._compilation.attention
    for target in ("j", "i"):
        ranges = find_ranges(attention, target)  # type: ignore[arg-type]
        assert ranges.closed and not ranges.loose
        for n, group in ((48, 16), (64, 8), (40, 10), (33, 7)):
            counts = Counts()
            values = {"N": n, "M": n, "B": 1, "H": 4, "group": group}
            for each in heads(attention.mask, values):
                seen = pairs_seen(attention.mask, each)
                truth = seen if target == "j" else transposed(seen)
                check_ranges(ranges, truth, each, 4, 4, counts)
            if n % group == group // 2 % 4 == 0:
                assert counts.visited == counts.seen
                assert counts.full == counts.truly_full


def test_an_end_that_looks_into_an_array_stands_alone() -> None:
    """Made one with those queries that see all keys, it was read as all queries, and that was said to be exact."""
    least = ir.IntOp("min", ir.Index("i"), ir.IntParam("c"))
    mask = ir.Compare("<", least, ir.IntLoad("orders", (ir.Index("h"), ir.Index("j"))))
    for c in (-1, 0, 1, 2):
        values = {"N": 2, "M": 2, "H": 2, "B": 2, "h": 1, "b": 0, "c": c, "s": 2, "orders": [[0, 0], [0, 1]]}
        check_random_mask(mask, values, 1)


def test_a_case_is_told_apart_once() -> None:
    """Where the budget is spent, nothing is proved: not even that a case is the case."""

    def seldom(axis: Axis, other: ir.Int) -> ir.Int:
        rank = ir.IntOp("*", ir.IntLoad("order", (ir.Index(axis),)), ir.IntParam("w"))
        return ir.IntIf(ir.Compare("!=", rank, ir.Size("N")), ir.IntConst(7), other)

    mask = ir.Compare("==", seldom("i", ir.Size("N")), seldom("j", ir.IntConst(3)))
    order = [1, 2, 4, 4, 4, 5, 5, 5, 6]
    for w in (-4, 0, 1, 2):
        values = {"N": 2, "M": 9, "H": 2, "B": 2, "h": 1, "b": 1, "w": w, "s": 9, "order": order}
        check_random_mask(mask, values, 1)


def test_an_end_divides_by_0_in_no_call() -> None:
    """Also where the condition that it stands behind speaks of another number."""
    f = attnc.compile("attention a(w: int, c: int):\n    mask i < j and i < j // c * w\n")
    for w in (-2, 0, 1, 3):
        tiles = f.tiles(N=60, M=70, w=w, c=1, block_q=16, block_k=16)
        seen = [[i < j and i < j * w for j in range(70)] for i in range(60)]
        alive = {(i // 16, j // 16) for i in range(60) for j in range(70) if seen[i][j]}
        assert tiles.visited == len(alive)


def test_what_an_end_hangs_on_divides_by_0_in_no_call() -> None:
    """Here a condition that stands in the end divides by `p`."""
    i, j = ir.Index("i"), ir.Index("j")
    mask = ir.BoolIf(
        ir.Compare("==", ir.IntParam("w"), ir.IntOp("*", ir.IntParam("p"), i)),
        ir.Compare("<", i, j),
        ir.Compare("<", i, ir.IntLoad("doc", (i,))),
    )
    for w, p in ((0, 0), (3, 0), (-3, 0), (6, 2), (6, -2), (-6, 2)):
        values = {"N": 9, "M": 11, "H": 2, "B": 2, "h": 1, "b": 1, "w": w, "p": p, "doc": [0, 4, 1] * 3}
        for rows in (1, 4):
            check_random_mask(mask, values, rows)
