"""What is said of the sign of a real is so, for every value of what it speaks of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from properties import cases
from read_ir import parse_term
from scalar_meaning import Scene, meaning

from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.signs import grows, is_at_least_0, is_at_most_0, is_multiple, is_positive, is_small, is_within_1
from attnc.ir.univariate import is_polynomial_at_least_0, is_polynomial_positive

NUMBERS = st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0])


def reals(depth: int) -> SearchStrategy[ir.Real]:
    leaves = st.one_of(NUMBERS.map(ir.RealConst), st.just(ir.Score()), st.just(ir.RealParam("x")))
    if depth == 0:
        return leaves
    a = reals(depth - 1)
    return st.one_of(
        leaves,
        st.builds(ir.RealOp, st.sampled_from(["+", "-", "*", "/", "min", "max"]), a, a),
        st.builds(
            lambda a, n: ir.RealOp("**", a, ir.RealConst(n)), a, st.sampled_from([2.0, 3.0, 4.0, -1.0, 0.5])
        ),
        st.builds(lambda a: build.real("*", a, a), a),
        st.builds(
            build.call,
            st.sampled_from(
                ["exp", "sigmoid", "softplus", "sqrt", "abs", "relu", "tanh", "sin", "cos", "silu"]
            ),
            a,
        ),
    )


@settings(max_examples=3000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(reals(3), NUMBERS, NUMBERS)
def test_signs(term: ir.Real, score: float, x: float) -> None:
    """Over the reals: where a value is no number, or lost to rounding, nothing is said."""
    value = float(meaning(term, Scene({"x": x}, score=score)))
    assume(math.isfinite(value))
    assert value <= 1e-9 or not is_at_most_0(term)
    assert value >= -1e-9 or not is_at_least_0(term)
    assert value >= 0 or not is_positive(term)
    assert abs(value) <= 1 + 1e-9 or not is_within_1(term)
    assert value <= 8 + 1e-9 or not is_small(term)


FUNCTIONS = ("exp", "sigmoid", "softplus", "sqrt", "abs", "relu", "tanh", "sin", "cos", "silu", "l2")


def vectors(depth: int) -> SearchStrategy[ir.Vec]:
    leaves = st.one_of(
        st.sampled_from([ir.VecInput("q"), ir.VecInput("k")]), NUMBERS.map(ir.RealConst).map(ir.Splat)
    )
    if depth == 0:
        return leaves
    a = vectors(depth - 1)
    return st.one_of(
        leaves,
        st.builds(ir.VecOp, st.sampled_from(["+", "-", "*", "/", "min", "max"]), a, a),
        st.builds(
            lambda a, n: ir.VecOp("**", a, ir.Splat(ir.RealConst(n))),
            a,
            st.sampled_from([2.0, 3.0, -1.0, 0.5]),
        ),
        st.builds(ir.VecCall, st.sampled_from(FUNCTIONS), a),
        st.builds(lambda a, b: ir.VecIf(ir.BoolParam("on"), a, b), a, a),
    )


@settings(max_examples=2000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(vectors(2), vectors(2), st.lists(NUMBERS, min_size=6, max_size=6), st.booleans())
def test_signs_of_vectors(a: ir.Vec, b: ir.Vec, numbers: list[float], on: bool) -> None:
    """Of each number of them, of their dot products and of the sums of their features."""
    scene = Scene({"on": on}, {"q": lambda: numbers[:3], "k": lambda: numbers[3:]})
    for term in (a, ir.Dot(a, b), ir.SumD(b)):
        values = [float(x) for x in np.atleast_1d(meaning(term, scene))]
        if all(map(math.isfinite, values)):
            assert min(values) >= -1e-9 or not is_at_least_0(term)
            assert min(values) >= 0 or not is_positive(term)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dot(relu(q), relu(k))", "at least 0"),
        ("dot(relu(q) + exp(min(q, splat(0.0))), exp(k))", "positive"),
        ("sum_d(l2(abs(q)) * sigmoid(k))", "at least 0"),
        ("dot(softplus(q) / exp(k), k * k + splat(0.5))", "positive"),
        ("dot(relu(q), k)", None),
        ("dot(q - k, relu(k))", None),
        ("dot(relu(q), relu(k)) * scale", None),
    ],
)
def test_dots_of_features(text: str, expected: str | None) -> None:
    term = parse_term(text)
    assert ("positive" if is_positive(term) else "at least 0" if is_at_least_0(term) else None) == expected


@cases(2000, 100)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=6))
def test_polynomials(coefficients: list[int]) -> None:
    """Against their values at many places, the extremes among them: sound, and complete but for rounding."""
    term = polynomial(coefficients)
    values, sizes = zip(*(value_and_size(coefficients, n, 40) for n in range(-400, 401)), strict=True)
    if is_polynomial_at_least_0(term):
        assert min(values) >= 0
    else:
        far = [value_and_size(coefficients, sign * 10**9, 1) for sign in (-1, 1)]
        assert any(value <= size / 10 for value, size in (*zip(values, sizes, strict=True), *far))
    if is_polynomial_positive(term):
        assert min(values) > 0


def value_and_size(coefficients: list[int], n: int, m: int) -> tuple[int, int]:
    """At n / m, times a power of m: exact."""
    last = len(coefficients) - 1
    parts = [c * n**power * m ** (last - power) for power, c in enumerate(coefficients)]
    return sum(parts), sum(map(abs, parts))


def polynomial(coefficients: list[int]) -> ir.Real:
    """By Horner's rule, as one writes it."""
    term: ir.Real = ir.RealConst(float(coefficients[-1]))
    for c in coefficients[-2::-1]:
        term = ir.RealOp("+", ir.RealOp("*", term, ir.Score()), ir.RealConst(float(c)))
    return term


@pytest.mark.parametrize(
    "text",
    [
        "1.0 + s + s * s / 2.0",
        "1.0 + s + s ** 2.0 / 2.0 + s ** 3.0 / 6.0 + s ** 4.0 / 24.0",
        "sum(1.0 + s + s * s * 0.5)",
        "1.0 - -exp(s)",
        "x ** 2.0 - x + 1.0",
    ],
)
def test_is_positive(text: str) -> None:
    assert is_positive(parse_term(text, {"x": "float"}))


@pytest.mark.parametrize(
    "text", ["1.0 + s", "s * s", "s * s - 2.0 * s + 1.0", "(1.0 + s) * (1.0 - s) + s * s", "1.0 + s + x * x"]
)
def test_is_not_known_to_be_positive(text: str) -> None:
    """It may be 0; or it is not, and what is computed may be."""
    assert not is_positive(parse_term(text, {"x": "float"}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exp(-s * s)", False),
        ("exp(-(s * s))", False),
        ("exp(-s ** 2.0)", False),
        ("exp(2.0 * s - s * s)", False),
        ("exp(tanh(s))", False),
        ("exp(min(s, 0.0))", False),
        ("exp(s)", True),
        ("exp(s * s)", True),
        ("exp(-s)", True),
        ("exp(9.0 - s * s)", True),
    ],
)
def test_grows(text: str, expected: bool) -> None:
    assert grows(parse_term(text)) is expected


@pytest.mark.parametrize(
    "text",
    ["sum_d((q - k) ** splat(2.0))", "dot(q, q)", "sum_d(abs(q) * exp(k))", "sum_d(max(q, splat(0.0)))"],
)
def test_sums_over_features(text: str) -> None:
    assert is_at_least_0(parse_term(text))


def test_long_terms_take_no_time() -> None:
    """A question asks others of each part: 2 ** 100 of them, if it asked them twice."""
    term: ir.Real = ir.Score()
    for n in range(100):
        term = ir.RealOp("+", term, ir.RealOp("*", ir.RealParam(f"x{n}"), ir.Score()))
    assert not (is_at_least_0(term) or is_at_most_0(term) or is_positive(term))


@pytest.mark.parametrize(
    ("term", "of", "expected"),
    [
        ("s - x / 2.0", "2.0 * s - x", True),
        ("s * 0.5 - x * 0.25", "2.0 * s - x", True),
        ("s - x - x", "s - 2.0 * x", True),
        ("x - s", "s - x", False),
        ("s - x", "2.0 * s - x", False),
        ("s", "s - x", False),
        ("0.0 * s", "s", False),
    ],
)
def test_multiples(term: str, of: str, expected: bool) -> None:
    sorts = {"x": "float"}
    assert is_multiple(parse_term(term, sorts), parse_term(of, sorts)) is expected
