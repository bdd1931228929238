"""Conversions by tokens: their texts, and that they are the conversion of the pair, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from read_ir import parse_term
from scalar_meaning import Scene, meaning

from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, replace_terms, walk
from attnc.lower.conversions import Position, convert_by_token, find_converted, turn_around

I, J = ir.Index("i"), ir.Index("j")
FIRST: dict[Position, ir.TileEnd] = {"i": ir.TileEnd("i", "first"), "j": ir.TileEnd("j", "first")}
TILE = 128

TEXTS = [
    ("i - j", "real(i - first(j)) - real(j - first(j))", "real(first(i) - j) + real(i - first(i))"),
    ("j - i", "real(first(j) - i) + real(j - first(j))", "real(j - first(i)) - real(i - first(i))"),
    ("i + j", "real(i + first(j)) + real(j - first(j))", "real(first(i) + j) + real(i - first(i))"),
    (
        "2 * i - 3 * j + w",
        "real(2 * i - 3 * first(j) + w) - real(3 * (j - first(j)))",
        "real(2 * first(i) - 3 * j + w) + real(2 * (i - first(i)))",
    ),
    # One of the two is no multiple of its position: the other is split.
    ("i // 3 - j", "real(i // 3 - first(j)) - real(j - first(j))", "real(i // 3 - first(j)) - real(j - first(j))"),
    ("i - j % 4", "real(first(i) - j % 4) + real(i - first(i))", "real(first(i) - j % 4) + real(i - first(i))"),
    ("abs(i - j)", "abs(real(i - j))", "abs(real(i - j))"),
    ("min(i - j, w)", "min(real(i - j), real(w))", "min(real(i - j), real(w))"),
    # Nothing to be had: one token, or no multiple of any.
    ("i + 3", "real(i + 3)", "real(i + 3)"),
    ("i * j", "real(i * j)", "real(i * j)"),
    ("i // 4 - j // 4", "real(i // 4 - j // 4)", "real(i // 4 - j // 4)"),
]  # fmt: skip


def number(text: str) -> ir.Int:
    term = parse_term(text, {"w": "int"})
    assert isinstance(term, ir.Int)
    return term


@pytest.mark.parametrize(("text", "of_keys", "of_queries"), TEXTS)
def test_texts(text: str, of_keys: str, of_queries: str) -> None:
    term = ir.FromInt(number(text))
    assert print_ir(convert_by_token(term, "j")) == of_keys
    assert print_ir(convert_by_token(term, "i")) == of_queries


def converted(term: ir.Node, moving: Position) -> ir.Real:
    """Every conversion by tokens, as a kernel does it."""

    def change(part: ir.Node) -> ir.Node | None:
        if not isinstance(part, ir.FromInt):
            return None
        by_token = convert_by_token(part, moving)
        return None if by_token == part else converted(by_token, moving)

    found = replace_terms(term, change)
    assert isinstance(found, ir.Real)
    return found


def in_float32(term: ir.Real, values: dict[str, int], first: dict[Position, int]) -> Any:
    """What a kernel computes: integers are exact, and every real is rounded."""
    match term:
        case ir.FromInt(a):
            known = {FIRST[axis]: ir.IntConst(place) for axis, place in first.items()}
            return np.float32(meaning(replace_terms(a, lambda part: known.get(part)), Scene(values)))  # type: ignore[call-overload]
        case ir.RealConst(x):
            return np.float32(x)
        case ir.RealCall("abs", a):
            return abs(in_float32(a, values, first))
        case ir.RealOp("+" | "-" | "min" | "max" as op, a, b):
            x, y = in_float32(a, values, first), in_float32(b, values, first)
            return {"+": x + y, "-": x - y, "min": min(x, y), "max": max(x, y)}[op]
    raise AssertionError(term)


def integers(depth: int = 3) -> SearchStrategy[ir.Int]:
    leaves = st.one_of(
        st.sampled_from([I, J]), st.integers(-9, 9).map(ir.IntConst), st.just(ir.IntParam("w"))
    )
    if depth == 0:
        return leaves
    a = integers(depth - 1)
    return st.one_of(
        leaves,
        st.builds(lambda op, x, y: build.integer(op, x, y), st.sampled_from(["+", "-", "min", "max"]), a, a),
        st.builds(lambda c, x: build.integer("*", ir.IntConst(c), x), st.integers(-3, 3), a),
        st.builds(lambda x: build.integer("//", x, ir.IntConst(3)), a),
        st.builds(build.int_abs, a),
    )


PLACES = st.tuples(st.integers(0, 4000), st.integers(0, 4000), st.integers(-500, 500))


@given(integers(), PLACES, st.sampled_from(["i", "j"]))
def test_to_the_last_bit(term: ir.Int, places: tuple[int, int, int], moving: Position) -> None:
    i, j, w = places
    values = {"i": i, "j": j, "w": w}
    first: dict[Position, int] = {"i": i - i % TILE, "j": j - j % TILE}
    expected = np.float32(meaning(term, Scene(values)))
    assert abs(expected) < 2**23, "beyond, conversions round"
    assert in_float32(converted(ir.FromInt(term), moving), values, first) == expected


@given(st.integers(0, 2**30), st.integers(-(2**22), 2**22), st.sampled_from(["i", "j"]))
def test_far_positions_are_as_exact_as_near_ones(i: int, apart: int, moving: Position) -> None:
    """Float32 of a position of a billion is off by 32; a distance is not."""
    j = i - apart
    first: dict[Position, int] = {"i": i - i % TILE, "j": j - j % TILE}
    term = converted(ir.FromInt(number("i - j")), moving)
    assert in_float32(term, {"i": i, "j": j}, first) == apart


@given(st.integers(0, 2**30), st.integers(0, 2**30), st.sampled_from(["i", "j"]))
def test_the_farthest_are_rounded_no_worse(i: int, j: int, moving: Position) -> None:
    first: dict[Position, int] = {"i": i - i % TILE, "j": j - j % TILE}
    found = in_float32(converted(ir.FromInt(number("i - j")), moving), {"i": i, "j": j}, first)
    assert abs(int(found) - (i - j)) <= 2.0**-23 * max(abs(i - j), 2**23)


@pytest.mark.parametrize(
    ("text", "around"),
    [
        ("0.0 - real(i - j)", "real(j - i)"),
        ("real(i - j)", "-real(j - i)"),
        ("real(abs(i - j))", "real(abs(j - i))"),
        ("real(i + j) * 2.0", "-real(-(i + j)) * 2.0"),
        ("real(i) * 2.0", "real(i) * 2.0"),
        ("real(i * j)", "real(i * j)"),
    ],
)
def test_the_other_way_round(text: str, around: str) -> None:
    term = parse_term(text, {})
    assert isinstance(term, ir.Real)
    assert print_ir(turn_around(term)) == around


@given(integers(), PLACES)
def test_the_other_way_round_is_equal(term: ir.Int, places: tuple[int, int, int]) -> None:
    values = dict(zip("ijw", places, strict=True))
    real = build.from_int(term)
    assert meaning(turn_around(real), Scene(values)) == meaning(real, Scene(values))


@given(integers())
def test_what_is_found_is_what_is_converted(term: ir.Int) -> None:
    real = build.from_int(term)
    left = {
        part.a
        for part in walk(converted(real, "j"))
        if isinstance(part, ir.FromInt) and {"i", "j"} <= axes_of(part)
    }
    assert not left & set(find_converted(real))
    assert bool(find_converted(real)) <= (converted(real, "j") != real)
