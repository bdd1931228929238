"""How far kernels count: never further than what a call checks, whatever the mask and its numbers are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from integer_oracle import evaluate
from mask_zoo import attention_of
from properties import cases
from random_masks import IN_ORDER, MANY, masks, terms

from attnc.analyze.ranges import find_ranges
from attnc.compiler import Compilation
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir
from attnc.ir.walk import walk
from attnc.lower.conversions import Position
from attnc.lower.int_ranges import SMALL, find_int_ranges
from attnc.lower.magnitude import Magnitudes
from attnc.lower.proofs import Proofs
from attnc.run.limits import FAR
from attnc.sets.convert import to_int
from attnc.source import Source

# What is checked, what is cut off, and what has 64 bits.
COUNTED = (
    ("", "j <= i", "M + N", "", ()),
    ("w: int", "i - j < w", "M + N", "w", ()),
    ("w: int", "j < i + w", "M + N", "w", ()),
    ("w: int", "j < i + 2 * w", "M + N + 2 * abs(w)", "", ()),
    ("w: int, sinks: int", "j < sinks or i - w < j", "M + N", "w sinks", ()),
    ("w: int, x: int", "j < i + w + x", "M + N + abs(x)", "w", ()),
    ("w: int, a: int[H]", "j < i + w and a[h] < w", "M + N + abs(w)", "", ()),
    ("w: int", "j < i + w and (i + j) % w == 0", "M + N + abs(w)", "", ()),
    ("size: int", "i // size == j // size", "M + N + 2 * size", "", ()),
    ("", "i // 64 == j // 64", "M + N", "", ()),
    ("", "j < i + 3000000", "M + N + 3000000", "", ()),
    ("", "i * M <= j * N", "M + N", "", ("i * M", "j * N")),
    ("", "(i * 1000003 + j) % 7 == 0", "M + N", "", ("i * 1000003",)),
    ("n: int", "j * n <= i", "2 * abs(n) * M + M + N", "", ()),
    ("n: int, m: int", "j < n * m", "M + N + abs(m) + abs(m) * abs(n) + abs(n)", "", ()),
)

PARAMS = (*IN_ORDER, *(ir.Param(name, "int") for name in "wpcs"))


@pytest.mark.parametrize(("params", "mask", "most", "cut", "wide"), COUNTED)
def test_masks(params: str, mask: str, most: str, cut: str, wide: tuple[str, ...]) -> None:
    plan = Compilation(Source("zoo.attn", f"attention zoo({params}):\n    mask {mask}\n")).plan
    assert print_ir(plan.last.ints.most) == most
    assert plan.last.ints.clamped == set(cut.split())
    assert {text for text in wide if any(f"`{text}`" in why.text for why in plan.last.ints.because)} == set(
        wide
    )


def test_a_number_that_is_written_out_is_said() -> None:
    """A call in which it is too large is refused: `explain` says so."""
    plan = Compilation(Source("zoo.attn", "attention zoo():\n    mask j < i + 2000000000\n")).plan
    words = "kernels count in 32 bits: a call checks that `M + N + 2000000000` is below 2**29"
    assert words in [why.text for why in plan.because]


def test_numbers_of_a_score_are_not_cut_off() -> None:
    head = "attention zoo(w: int):\n    mask i - j < w\n"
    assert Compilation(Source("zoo.attn", head)).plan.last.ints.clamped == {"w"}
    assert not Compilation(Source("zoo.attn", head + "    score dot(q, k) * w\n")).plan.last.ints.clamped


@st.composite
def large_calls(draw: st.DrawFn) -> dict[str, Any]:
    """Calls with numbers of any size, and arrays of zeros: what they have counts nothing."""
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    number = st.one_of(
        st.integers(-8, 14),
        st.integers(-(2**15), 2**15),
        st.integers(-(2**31), 2**31),
        st.integers(-(2**40), 2**40),
    )
    zeros = [0] * 12
    return {
        "N": n,
        "M": m,
        "H": 2,
        "B": 2,
        "h": draw(st.integers(0, 1)),
        "b": draw(st.integers(0, 1)),
        "i": draw(st.integers(0, n - 1)),
        "j": draw(st.integers(0, m - 1)),
        "w": draw(number),
        "p": draw(number),
        "c": draw(number.filter(bool)),
        "s": 12,
        "on": draw(st.booleans()),
        "at_head": zeros,
        "doc": zeros,
        "order": zeros,
        "orders": [zeros, zeros],
        "flags": [draw(st.booleans())] * 12,
    }


@cases(400)
@given(terms(3, masks), large_calls())
def test_no_term_is_larger_than_its_magnitude(term: ir.Int, values: dict[str, Any]) -> None:
    magnitude = Magnitudes(attention_of(ir.Truth(True), PARAMS), Proofs(())).of(term)
    assert abs(evaluate(term, values, 0)) <= evaluate(to_int(magnitude), values)


def check_reach(mask: ir.Bool, values: dict[str, Any], rows: int) -> None:
    """Nothing that a kernel counts in 32 bits is beyond them, and the mask is the same of what is cut off."""
    attention = attention_of(mask, PARAMS)
    ranges = find_ranges(attention, "j"), find_ranges(attention, "i")
    requires = (*ranges[0].requires, *ranges[1].requires)
    assume(all(evaluate(required.term, values) >= 1 for required in requires))
    ints = find_int_ranges(attention, ranges, Proofs(requires, attention.params))
    assume(evaluate(ints.most, values) < FAR)
    near = {**values, **{name: max(-FAR, min(values[name], FAR)) for name in ints.clamped}}
    assert evaluate(mask, near, 0) == evaluate(mask, values, 0)
    for term, moving, here in counted(mask, ranges, near, rows):
        if not ints.is_wide(term, moving):
            with suppress(ZeroDivisionError):  # in a branch that is not taken
                assert abs(evaluate(term, here, 0)) < 3 * FAR + SMALL


def counted(
    mask: ir.Bool, ranges: Any, values: dict[str, Any], rows: int
) -> Iterator[tuple[ir.IntOp, Position, dict[str, Any]]]:
    """Every operation of a kernel with what its loop moves along and the numbers of a place."""
    yield from ((part, "j", values) for part in walk(mask) if isinstance(part, ir.IntOp))
    for each, axis in zip(ranges, "ij", strict=True):
        last = min(values[axis] + rows, values["N" if axis == "i" else "M"]) - 1
        here = {**values, f"{axis}.first": values[axis], f"{axis}.last": last}
        if each.periods:
            lo, hi = evaluate(each.periods.lo, here, 0), evaluate(each.periods.hi, here, 0)
            here |= {"period.first": min(lo, hi), "period.last": max(min(lo, hi), hi)}
        for end in each.ends:
            yield from ((part, each.target, here) for part in walk(end) if isinstance(part, ir.IntOp))


@cases(150, 45)
@given(masks, large_calls(), st.integers(1, 5))
def test_random_masks(mask: ir.Bool, values: dict[str, Any], rows: int) -> None:
    check_reach(mask, values, rows)


@pytest.mark.slow
@cases(MANY)
@given(masks, large_calls(), st.integers(1, 5))
def test_many_random_masks(mask: ir.Bool, values: dict[str, Any], rows: int) -> None:
    check_reach(mask, values, rows)
