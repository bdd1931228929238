"""Builders fold what is exact, leave what is not, and never change what a term means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import cases
from random_terms import SORTS, random_terms
from read_ir import parse_term
from scalar_meaning import Scene, Undefined, meaning

from attnc.errors import CompilerBug
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir
from attnc.ir.walk import canonical, map_children
from attnc.source import Source, Span

X, Y = ir.Index("i"), ir.Index("j")
R = ir.RealParam("c")
P, Q = ir.Compare("<", X, Y), ir.BoolParam("on")


def canonical_text(text: str) -> str:
    """The text of a term after each of its nodes was built again."""

    def again(term: ir.Node) -> ir.Node:
        return canonical(map_children(term, again))

    return print_ir(again(parse_term(text, SORTS | {"x": "float"})))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("i + 0", "i"),
        ("0 + i", "i"),
        ("i - 0", "i"),
        ("0 - i", "-i"),
        ("i - i", "0"),
        ("i * 1", "i"),
        ("i * 0", "0"),
        ("i // 1", "i"),
        ("i % 1", "0"),
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("-7 % 2", "1"),
        ("7 % -2", "-1"),
        ("7 // 0", "7 // 0"),
        ("0 % 0", "0 % 0"),
        ("min(i, i)", "i"),
        ("min(3, 4) + max(3, 4)", "7"),
        ("j + i", "j + i"),  # arguments keep their order
        ("abs(-3)", "3"),
        ("abs(abs(i))", "abs(i)"),
        ("floor(2.5)", "2"),
        ("floor(-2.5)", "-3"),
        ("floor(real(i))", "i"),
        ("floor(inf())", "floor(inf())"),
        ("1 if 3 < 4 else 2", "1"),
        ("i if j < 3 else i", "i"),
        # conditions
        ("i <= i", "true"),
        ("i < i", "false"),
        ("c == c", "c == c"),  # nan
        ("true and i < j", "i < j"),
        ("i < j and false", "false"),
        ("i < j or true", "true"),
        ("false or i < j", "i < j"),
        ("i < j and i < j", "i < j"),
        ("(i < j and on) and i < h", "i < j and on and i < h"),
        ("all()", "true"),
        ("any()", "false"),
        ("not i < j", "j <= i"),
        ("not i <= j", "j < i"),
        ("not i == j", "i != j"),
        ("not c < x", "not c < x"),  # nan
        ("not c == x", "c != x"),
        ("not not on", "on"),
        ("not (on and i < j)", "not (on and i < j)"),
        ("true if i < j else false", "i < j"),
        ("ispow2(8)", "true"),
        ("ispow2(0)", "false"),
        ("ispow2(-4)", "false"),
        # reals
        ("c + 0.0", "c"),
        ("c * 1.0", "c"),
        ("c / 1.0", "c"),
        ("c ** 1.0", "c"),
        ("c ** 0.0", "1.0"),
        ("c * 0.0", "c * 0.0"),  # inf, nan
        ("c - c", "c - c"),  # inf, nan
        ("2.0 ** 3.0", "8.0"),
        ("1.0 / 0.0", "1.0 / 0.0"),
        ("0.0 ** -1.0", "0.0 ** (-1.0)"),
        ("(-8.0) ** 0.5", "(-8.0) ** 0.5"),
        ("1e+300 * 1e+300", "1e+300 * 1e+300"),
        ("exp(1000.0)", "exp(1000.0)"),
        ("exp(0.0)", "1.0"),
        ("log(0.0)", "log(0.0)"),
        ("sqrt(-1.0)", "sqrt(-1.0)"),
        ("relu(-1.0) + relu(2.0)", "2.0"),
        ("relu(relu(c))", "relu(c)"),
        ("abs(abs(c))", "abs(c)"),
        ("exp(abs(c))", "exp(abs(c))"),
        ("abs(relu(c))", "abs(relu(c))"),
        ("real(3)", "3.0"),
        ("real(9007199254740993)", "real(9007199254740993)"),  # no double is this number
        # vectors
        ("q + splat(0.0)", "q"),
        ("splat(1.0) * q", "q"),
        ("splat(c) * splat(2.0)", "splat(c * 2.0)"),
        ("tanh(splat(c))", "splat(tanh(c))"),
        ("l2(l2(q))", "l2(l2(q))"),
        ("abs(abs(q))", "abs(q)"),
        ("tanh(abs(q))", "tanh(abs(q))"),
        ("l2(splat(c))", "l2(splat(c))"),
    ],
)
def test_folds(before: str, after: str) -> None:
    assert canonical_text(before) == after


def test_comparisons_are_turned_around() -> None:
    assert build.compare(">", X, Y) == ir.Compare("<", Y, X)
    assert build.compare(">=", X, Y) == ir.Compare("<=", Y, X)


def test_one_sort_for_both_sides() -> None:
    with pytest.raises(CompilerBug):
        build.compare("<", X, R)
    with pytest.raises(CompilerBug):
        build.choose(P, X, R)  # type: ignore[call-overload]


def test_negation_is_a_subtraction() -> None:
    assert build.negative(X) == ir.IntOp("-", ir.IntConst(0), X)
    assert build.negative(ir.IntConst(3)) == ir.IntConst(-3)
    assert build.negative(ir.RealConst(3.0)) == ir.RealConst(-3.0)


def test_clamp_takes_the_upper_bound_where_bounds_cross() -> None:
    assert build.clamp(ir.IntConst(5), ir.IntConst(9), ir.IntConst(2)) == ir.IntConst(2)
    assert print_ir(build.clamp(R, ir.RealConst(0.0), ir.RealConst(1.0))) == "min(max(c, 0.0), 1.0)"


def test_a_new_node_has_the_span_and_an_old_one_keeps_its_own() -> None:
    source = Source("a.attn", "i + 0 + j")
    whole, part = Span(source, 0, 9), Span(source, 0, 1)
    i = ir.Index("i", span=part)
    assert build.integer("+", i, ir.IntConst(0), span=whole).span == part
    assert build.integer("+", i, Y, span=whole).span == whole
    assert build.negate(P, span=whole).span == whole
    assert build.conj(P, Q, span=whole).span == whole


@pytest.mark.parametrize("fn", ["sigmoid", "silu", "softplus"])
@pytest.mark.parametrize("x", [-800.0, -1.5, 0.0, 2.0, 800.0])
def test_folded_functions_neither_overflow_nor_lose_digits(fn: build.Function, x: float) -> None:
    exact = {
        "sigmoid": lambda: math.exp(-np.logaddexp(0, -x)),
        "silu": lambda: x * math.exp(-np.logaddexp(0, -x)),
        "softplus": lambda: float(np.logaddexp(0, x)),
    }[fn]()
    folded = build.call(fn, ir.RealConst(x))
    assert isinstance(folded, ir.RealConst)
    assert folded.value == pytest.approx(exact, rel=1e-13, abs=1e-300)


@cases(400)
@given(random_terms("score"), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_building_again_keeps_the_meaning(term: ir.Node, i: int, j: int, on: bool) -> None:
    scene = Scene(
        values={
            "b": 0, "h": 1, "i": i, "j": j, "B": 1, "H": 2, "N": 4, "M": 4, "D": 2, "DV": 2, "scale": 0.7,
            "w": 2, "c": -1.5, "on": on,
            "table": [[0, -1, 3], [2, 2, 1], [5, 0, -2], [1, 1, 1]],
            "step": [3, 1, 0, -2],
            "flags": [[True, False, True, True], [False, False, True, True]],
            "bias": [[[0.25 * (x + 2 * y - z) for z in range(4)] for y in range(4)] for x in range(2)],
            "gate": [[0.5, -1.0], [2.0, 0.25], [0.0, 1.0], [-3.0, 1.5]],
        },
        vectors={"q": lambda: [0.5, -1.0], "k": lambda: [1.25, 2.0]},
    )  # fmt: skip

    def again(node: ir.Node) -> ir.Node:
        return canonical(map_children(node, again))

    try:
        expected = meaning(term, scene)
    except Undefined:
        assume(False)
    got = meaning(again(term), scene)
    if isinstance(term, ir.Vec):
        width = max(len(expected), len(got))
        expected, got = (x * width if len(x) == 1 else x for x in (expected, got))
    np.testing.assert_allclose(got, expected, rtol=1e-12, equal_nan=True)
