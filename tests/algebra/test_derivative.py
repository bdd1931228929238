"""Derivatives of scores: against SymPy, against finite differences, and as exact texts."""

from __future__ import annotations

import math

import pytest
import sympy
from hypothesis import assume, given
from hypothesis import strategies as st

from attnc.algebra.derivative import differentiate
from attnc.ir import build
from attnc.ir.nodes import (
    Compare,
    Dot,
    Index,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    RealParam,
    VecInput,
)
from attnc.ir.text import print_ir

X = Dot(VecInput("q"), VecInput("k"))
Y = RealLoad("bias", (Index("h"),))
C = RealParam("cap")
NAMES = {
    X: sympy.Symbol("x", real=True),
    Y: sympy.Symbol("y", real=True),
    C: sympy.Symbol("c", positive=True),
}
SMOOTH = ["exp", "log", "sqrt", "tanh", "sigmoid", "silu", "softplus", "sin", "cos"]
KINKED = ["relu", "abs"]


def value(term: Real, at: dict[Real, float]) -> float:
    """Plain floats: the meaning of a score."""
    match term:
        case RealConst(number):
            return number
        case RealOp(op, a, b):
            x, y = value(a, at), value(b, at)
            table = {
                "+": lambda: x + y, "-": lambda: x - y, "*": lambda: x * y, "/": lambda: x / y,
                "**": lambda: x**y, "min": lambda: min(x, y), "max": lambda: max(x, y),
            }  # fmt: skip
            return table[op]()
        case RealIf(Compare("<", a, b), then, other):
            return value(then if value(a, at) < value(b, at) else other, at)  # type: ignore[arg-type]
        case RealCall(fn, a):
            x = value(a, at)
            functions = {
                "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "tanh": math.tanh, "sin": math.sin,
                "cos": math.cos, "abs": abs, "relu": lambda x: max(x, 0.0),
                "sigmoid": lambda x: 1 / (1 + math.exp(-x)), "silu": lambda x: x / (1 + math.exp(-x)),
                "softplus": lambda x: math.log1p(math.exp(x)),
            }  # fmt: skip
            return functions[fn](x)
    return at[term]


def symbolic(term: Real) -> sympy.Expr:
    match term:
        case RealConst(number):
            return sympy.Float(number)
        case RealOp(op, a, b):
            x, y = symbolic(a), symbolic(b)
            return {"+": x + y, "-": x - y, "*": x * y, "/": x / y, "**": x**y}[op]
        case RealCall(fn, a):
            x = symbolic(a)
            sigmoid = 1 / (1 + sympy.exp(-x))
            own = {"sigmoid": sigmoid, "silu": x * sigmoid, "softplus": sympy.log(1 + sympy.exp(x))}
            return own[fn] if fn in own else getattr(sympy, fn)(x)
    return NAMES[term]  # type: ignore[index]


def scores(functions: list[str], operators: list[str]) -> st.SearchStrategy[Real]:
    leaves = st.sampled_from([X, Y, C, RealConst(0.5), RealConst(2.0), RealConst(-1.5)])

    def grow(inner: st.SearchStrategy[Real]) -> st.SearchStrategy[Real]:
        return st.one_of(
            st.builds(lambda op, a, b: build.real(op, a, b), st.sampled_from(operators), inner, inner),
            st.builds(lambda fn, a: build.call(fn, a), st.sampled_from(functions), inner),
            st.builds(lambda a, b, c, d: RealIf(Compare("<", a, b), c, d), inner, inner, inner, inner),
        )

    return st.recursive(leaves, grow, max_leaves=6)


POINTS = [
    {X: 0.7, Y: -0.4, C: 1.3},
    {X: -1.1, Y: 0.9, C: 0.6},
    {X: 2.3, Y: 1.7, C: 2.2},
]


@given(
    scores(SMOOTH + KINKED, ["+", "-", "*", "/", "min", "max"]),
    st.sampled_from(POINTS),
    st.sampled_from([X, Y]),
)
def test_finite_differences_agree(term: Real, at: dict[Real, float], leaf: Dot | RealLoad) -> None:
    step = 1e-5
    try:
        above, below = (value(term, at | {leaf: at[leaf] + move}) for move in (step, -step))
        inner = [value(term, at | {leaf: at[leaf] + move}) for move in (step / 2, -step / 2)]
        found = value(differentiate(term, leaf), at)
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        assume(False)
    coarse, fine = (above - below) / (2 * step), (inner[0] - inner[1]) / step
    assume(math.isfinite(coarse) and abs(coarse - fine) <= 1e-6 * max(1, abs(fine)))  # no kink in between
    assume(abs(fine) < 1e4)
    assert found == pytest.approx(fine, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("fn", SMOOTH)
@pytest.mark.parametrize("leaf", [X, Y])
def test_sympy_agrees_on_every_function(fn: str, leaf: Dot | RealLoad) -> None:
    inner = build.real("+", build.real("*", X, Y), RealOp("*", C, RealConst(3.0)))
    term = build.real("/", build.call(fn, inner), build.real("+", C, build.call("exp", Y)))  # type: ignore[arg-type]
    expected = sympy.diff(symbolic(term), NAMES[leaf])
    for at in POINTS:
        numbers = {NAMES[name]: number for name, number in at.items()}
        if value(inner, at) > 0 or fn not in ("log", "sqrt"):
            want = float(expected.evalf(30, subs=numbers))
            assert value(differentiate(term, leaf), at) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (X, "1.0"),
        (Y, "0.0"),
        (build.real("*", X, C), "cap"),
        (build.real("*", C, build.call("tanh", build.real("/", X, C))), None),
        (build.call("relu", X), None),
    ],
)
def test_nothing_superfluous(term: Real, text: str | None) -> None:
    derivative = differentiate(term, X)
    printed = print_ir(derivative)
    if text is not None:
        assert printed == text
    assert "0.0 *" not in printed and "1.0 *" not in printed


def test_conventions_at_ties() -> None:
    at = {X: 0.0, Y: 0.0, C: 1.0}
    assert value(differentiate(build.call("relu", X), X), at) == 0.0
    assert value(differentiate(build.call("abs", X), X), at) == 0.0
    assert value(differentiate(build.real("max", X, Y), X), at) == 0.5
    assert value(differentiate(build.real("min", X, Y), Y), at) == 0.5
    assert value(differentiate(build.real("max", X, RealConst(0.0)), X), at) == 0.5


def test_powers() -> None:
    at = {X: 1.7, Y: 0.4, C: 2.0}
    square = build.real("**", X, RealConst(2.0))
    assert value(differentiate(square, X), at) == pytest.approx(2 * 1.7)
    decay = build.real("**", Y, X)
    assert value(differentiate(decay, X), at) == pytest.approx(0.4**1.7 * math.log(0.4))
    assert value(differentiate(decay, Y), at) == pytest.approx(1.7 * 0.4**0.7)
