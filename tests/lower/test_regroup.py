"""Scores in base 2: where log2(e) goes, and that nothing else changes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from read_ir import parse_term
from scalar_meaning import Scene, meaning

from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir
from attnc.lower.regroup import fits_base_2, in_base_2

SORTS = {"cap": "float", "t": "float", "u": "float", "bias": "float"}
LOG2_E = "1.4426950408889634"

TEXTS = [
    ("dot(q, k) * scale", f"dot(q, k) * (scale * {LOG2_E})"),
    ("dot(q, k) / cap", f"dot(q, k) * ({LOG2_E} / cap)"),
    (
        "dot(q, k) * scale - t[h] * real(i - j)",
        f"dot(q, k) * (scale * {LOG2_E}) - real(i - j) * (t[h] * {LOG2_E})",
    ),
    ("dot(q, k) * scale + t[h]", f"dot(q, k) * (scale * {LOG2_E}) + t[h] * {LOG2_E}"),
    ("dot(q, k) * scale - 2.0", f"dot(q, k) * (scale * {LOG2_E}) - 2.8853900817779268"),
    ("cap * tanh(dot(q, k) * scale / cap)", f"tanh(dot(q, k) * (scale / cap)) * (cap * {LOG2_E})"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_texts(text: str, expected: str) -> None:
    score = parse_term(text, SORTS)
    assert isinstance(score, ir.Real)
    assert fits_base_2(score)
    assert print_ir(in_base_2(score)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "dot(q, k)",
        "dot(q, k) * scale + bias[i, j]",
        "dot(q, k) * scale + u[i] - u[j]",
        "dot(q, k) * scale if 0.0 < u[j] else -1.0",
    ],
)
def test_a_summand_without_a_factor_stays_in_base_e(text: str) -> None:
    """Log2(e) would be multiplied at every pair, with whatever an array holds."""
    score = parse_term(text, SORTS)
    assert isinstance(score, ir.Real)
    assert not fits_base_2(score)


def scores(depth: int = 3) -> SearchStrategy[ir.Real]:
    leaves = st.sampled_from(
        [ir.Scale(), ir.RealParam("cap"), ir.FromInt(ir.Index("i")), ir.FromInt(ir.Index("j"))]
    ) | st.sampled_from([0.5, -1.5, 3.0]).map(ir.RealConst)
    if depth == 0:
        return leaves
    a = scores(depth - 1)
    return st.one_of(
        leaves,
        st.builds(lambda op, x, y: build.real(op, x, y), st.sampled_from(["+", "-", "*"]), a, a),
        st.builds(lambda x: build.real("/", x, ir.RealParam("cap")), a),
        st.builds(lambda x: build.call("tanh", x), a),
    )


def size(term: ir.Real, scene: Scene) -> float:
    """The sum of the sizes of what is added: what a sum's error is measured by."""
    match term:
        case ir.RealOp("+" | "-", a, b):
            return size(a, scene) + size(b, scene)
        case ir.RealOp("*", a, b):
            return size(a, scene) * size(b, scene)
        case ir.RealOp("/", a, b):
            return size(a, scene) / abs(float(meaning(b, scene)))
    return abs(float(meaning(term, scene)))


@given(scores(), st.integers(0, 500), st.integers(0, 500), st.floats(0.05, 4), st.floats(0.5, 9))
def test_it_is_the_score_times_log2e(score: ir.Real, i: int, j: int, scale: float, cap: float) -> None:
    scene = Scene({"i": i, "j": j, "scale": scale, "cap": cap})
    expected = float(meaning(score, scene)) * math.log2(math.e)
    assert abs(float(meaning(in_base_2(score), scene)) - expected) <= 1e-14 * size(score, scene)
