"""What splits, and what does not: random formulas against the interpreter at every pair, each way to an exponent."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from read_ir import parse_term
from sides import Sides

from attnc.algebra.known import Known
from attnc.algebra.separate import Separated, separate
from attnc.algebra.separated import Refused
from attnc.ir.nodes import Int, IntConst, Real, Size, Vec

ROOT = Path(__file__).parent.parent.parent
TOKENS, WIDTH = 6, 4
SORTS = {
    **dict.fromkeys(("G", "P", "t", "u", "gamma", "c", "bias", "x"), "float"),
    "table": "float",
    "on": "bool",
}


def term_of(text: str) -> Real:
    found = parse_term(text, SORTS)
    assert isinstance(found, Real)
    return found


def found_in(text: str) -> Separated:
    return separate(term_of(text), Known(width=width))


def width(vec: Vec) -> Int:
    return IntConst(WIDTH) if vec else Size("D")


@cache
def sides() -> Sides:
    """Gates that fall, numbers of either sign, and a few that are 0."""
    make = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=make, dtype=torch.float64)

    q, k = draw(2, 2, TOKENS, WIDTH), draw(2, 2, TOKENS, WIDTH)
    values = {
        "B": 2, "H": 2, "HKV": 2, "N": TOKENS, "M": TOKENS, "D": WIDTH, "scale": WIDTH**-0.5, "c": 0.7, "x": -1.3,
        "G": -draw(2, 2, TOKENS).abs().cumsum(2) / 4, "P": -draw(2, 2, TOKENS, WIDTH).abs().cumsum(2) / 4,
        "t": draw(2, TOKENS), "u": draw(2, TOKENS), "gamma": 0.7 + 0.3 * torch.rand(2, generator=make).double(),
        "bias": draw(2, TOKENS, TOKENS), "table": draw(2, 2 * TOKENS), "on": draw(2, TOKENS) > 0,
    }  # fmt: skip
    values["t"][0, 2] = 0.0
    vectors = {
        "q": lambda at: q[at.index["b"], at.index["h"], at.index["i"]],
        "k": lambda at: k[at.index["b"], at.index["h"], at.index["j"]],
    }
    return Sides(values, vectors)


def assert_same(text: str, found: Separated) -> None:
    """At every pair where the formula is a number, so are the terms, and it is the same."""
    expected = sides().at_pairs(term_of(text))
    parts = [sides().part(each) for each in found.terms]
    got = sum(parts, torch.zeros_like(expected))
    size = sum((part.abs() for part in parts), expected.abs())
    here = expected.isfinite()
    assert got[here].isfinite().all(), text
    assert ((got - expected).abs() <= 1e-9 * (1 + size))[here].all(), text


# ---- known factors -------------------------------------------------------------------------------------

CALL = ("0.5", "2.0", "c", "gamma[h]", "scale", "real(N)", "exp(c)", "-x")
QUERY = (
    "real(i)",
    "G[b, h, i]",
    "t[b, i]",
    "sum_d(q)",
    "sigmoid(t[b, i])",
    "(1.0 if i < 3 else x)",
    "sqrt(real(i))",
)
KEY = (
    "real(j)",
    "G[b, h, j]",
    "t[b, j]",
    "sum_d(k)",
    "tanh(u[b, j])",
    "(x if on[b, j] else 0.0)",
    "real(j + 1)",
)
DIVISORS = ("(2.0 + t[b, i] * t[b, i])", "exp(u[b, j])", "real(j + 1)", "c", "gamma[h]", "(1.0 + real(i))")
QUERY_VECTORS = (
    "q",
    "relu(q)",
    "exp(q)",
    "P[b, h, i, :]",
    "rope(l2(abs(q)), real(i), 100.0)",
    "q * splat(t[b, i])",
)
KEY_VECTORS = ("k", "relu(k)", "exp(-k)", "P[b, h, j, :]", "min(k, splat(1.0))", "k / splat(exp(u[b, j]))")
# Every way to an exponent.
DECAYS = (
    "exp(G[b, h, i] - G[b, h, j])",
    "gamma[h] ** real(i - j)",
    "exp(-c * real(i - j))",
    "exp(G[b, h, i]) / exp(G[b, h, j])",
    "1.0 / exp(G[b, h, j] - G[b, h, i])",
    "sqrt(exp(G[b, h, i]) * exp(-G[b, h, j]))",
    "(gamma[h] ** real(i)) ** c / (gamma[h] ** real(j)) ** c",
    "exp(G[b, h, i] - G[b, h, j]) ** 0.5",
    "exp(G[b, h, i] * c - c * G[b, h, j]) ** x",
    "(0.9 ** real(i)) ** 3.0 * 0.9 ** (real(j) / 2.0)",
    "exp(log(exp(G[b, h, i] - G[b, h, j])))",
    "(2.0 * c) ** (t[b, i] - u[b, j])",
    "exp(exp(t[b, i]) - relu(u[b, j]))",
    "exp(real(i) / 4.0 - 0.1 * real(j) ** 2.0)",
    "exp(real(i * i - j * j) / (40.0 * real(i + j + 1)) + real(i - j) / (40.0 * real(i + j + 1)))",
    "abs(exp(t[b, i] - u[b, j]) * t[b, i] * u[b, j])",
    "relu(exp(-u[b, j]) * t[b, i])",
    "max(exp(G[b, h, i]) * sigmoid(u[b, j]), 0.0)",
    "cos(c * real(i - j))",
    "sin(t[b, i] + u[b, j] - c)",
    "sum_d(q * k * exp(P[b, h, i, :] - P[b, h, j, :]))",
    "dot(q * exp(P[b, h, i, :]), k * exp(-P[b, h, j, :]))",
    "sum_d(q * k * cos(P[b, h, i, :] - P[b, h, j, :]))",
    "sum_d(q * k * splat(exp(G[b, h, i] - G[b, h, j])) * exp(P[b, h, i, :] - q - P[b, h, j, :]))",
)  # fmt: skip


@st.composite
def known(draw: st.DrawFn, depth: int) -> str:
    """A product or sum of what splits."""
    if depth == 0:
        return draw(st.one_of(*map(st.sampled_from, (CALL, QUERY, KEY, DECAYS)), dots()))
    a = known(depth - 1)
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2 | 3:
            return f"({draw(a)}) * ({draw(a)})"
        case 4 | 5:
            return f"({draw(a)}) {draw(st.sampled_from('+-'))} ({draw(a)})"
        case 6:
            return f"({draw(a)}) / ({draw(st.sampled_from(DIVISORS))})"
        case 7:
            return f"({draw(known(0))}) ** {draw(st.sampled_from(['2.0', '3.0']))}"
        case 8:
            cond = draw(st.sampled_from(["on[b, j]", "i < 3", "c < 1.0", "0.0 < t[b, i]"]))
            return f"({draw(known(0))} if {cond} else {draw(known(0))})"
        case _:
            return draw(known(0))


@st.composite
def dots(draw: st.DrawFn) -> str:
    a, b = draw(st.sampled_from(QUERY_VECTORS)), draw(st.sampled_from(KEY_VECTORS))
    return draw(st.sampled_from([f"dot({a}, {b})", f"sum_d(({a}) * ({b}))", f"dot({b}, ({a}) * splat(c))"]))


@cases(400, 25)
@given(known(2))
def test_products_of_known_factors_are_found(text: str) -> None:
    assert_same(text, found_in(text))


@pytest.mark.parametrize("text", [*CALL, *QUERY, *KEY, *DECAYS])
def test_each_factor_is_found(text: str) -> None:
    assert_same(f"({text}) * dot(q, k)", found_in(f"({text}) * dot(q, k)"))


# ---- one that does not split ---------------------------------------------------------------------------

POISON = (
    "gamma[h] ** real(i * j)",
    "0.99 ** real(i * j)",
    "0.99 ** real((i - j) * (i - j))",
    "exp(-c * real(i - j) ** 2.0)",
    "exp(G[b, h, i] * G[b, h, j])",
    "exp(t[b, i]) ** u[b, j]",
    "(gamma[h] ** real(i)) ** real(j)",
    "(0.9 ** real(i) * 0.8 ** real(j)) ** real(i + j)",
    "sqrt(exp(t[b, i] * u[b, j]))",
    "exp(t[b, i] * u[b, j]) ** 0.5",
    "exp(t[b, i] * u[b, j]) ** c",
    "1.0 / exp(t[b, i] * u[b, j])",
    "exp(exp(t[b, i] - u[b, j]))",
    "exp(log(exp(t[b, i])) * real(j))",
    "(1.5 + sin(t[b, i])) ** u[b, j]",
    "(2.0 + c) ** (t[b, i] * u[b, j])",
    "exp(dot(q, k))",
    "gamma[h] ** dot(q, k)",
    "exp(t[b, i] / real(j + 1))",
    "exp(real(i) / real(i + j + 1))",
    "cos(t[b, i] * u[b, j])",
    "sin(real(i * j))",
    "cos(dot(q, k))",
    "sum_d(q * k * exp(P[b, h, i, :] * P[b, h, j, :]))",
    "sum_d(exp(q * k))",
    "sum_d(q * k * exp(P[b, h, i, :] - P[b, h, j, :]) ** splat(G[b, h, j]))",
    "dot(q * cos(P[b, h, i, :] * P[b, h, j, :]), k)",
    "abs(t[b, i] - u[b, j])",
    "abs(dot(q, k))",
    "relu(real(i - j))",
    "max(t[b, i], u[b, j])",
    "min(G[b, h, i], G[b, h, j])",
    "tanh(dot(q, k))",
    "sigmoid(t[b, i] + u[b, j])",
    "log(real(1 + i + j))",
    "real((i - j) // 2)",
    "real(abs(i - j))",
    "table[h, i - j + 6]",
    "bias[h, i, j]",
    "1.0 / real(1 + i + j)",
    "1.0 / (20.0 + dot(q, k))",
    "(1.0 if j <= i else x)",
    "dot(relu(q), relu(k)) ** 0.5",
    "sum_d(relu(q - k))",
    "sum_d(q / (exp(q) + exp(k)))",
    "sqrt(t[b, i] * u[b, j])",
    "(dot(q, k) / t[b, i] if on[b, j] else 0.0)",
)


@pytest.mark.parametrize("text", POISON)
def test_what_does_not_split_is_refused(text: str) -> None:
    for formula in (text, f"dot(q, k) * ({text})", f"({text}) * (1.0 + dot(q, k)) + t[b, i]"):
        with pytest.raises(Refused):
            found_in(formula)


WRAPPED = (
    "exp(-({0}) / 8.0)", "cos({0})", "abs({0})", "relu({0})", "sqrt(abs({0}))", "log(1.0 + abs({0}))", "({0}) ** 2.0",
    "({0}) ** c", "gamma[h] ** ({0})", "max({0}, 0.0)", "({0} if i < 3 else 1.0)", "({0} if on[b, j] else c)",
    "1.0 / ({0})", "exp({0}) ** real(j)", "sqrt(exp({0}))",
)  # fmt: skip


@st.composite
def poisoned(draw: st.DrawFn) -> str:
    """Known factors, now and then with one that does not split, and functions of all that."""
    parts = [draw(known(draw(st.integers(0, 1)))) for _ in range(draw(st.integers(1, 3)))]
    if draw(st.integers(0, 2)) == 0:
        parts.insert(draw(st.integers(0, len(parts))), draw(st.sampled_from(POISON)))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(parts) - 1))
        parts[at] = draw(st.sampled_from(WRAPPED)).format(f"({parts[at]})")
    whole = f"({parts[0]})"
    for part in parts[1:]:
        whole = f"({whole} {draw(st.sampled_from('+-***/'))} ({part}))"
    return whole


def assert_sound(text: str) -> bool:
    """Whatever is taken is what is written."""
    try:
        found = found_in(text)
    except Refused:
        return False
    assert_same(text, found)
    return True


@cases(400, 25)
@given(poisoned())
def test_whatever_is_taken_is_what_is_written(text: str) -> None:
    assert_sound(text)


@pytest.mark.slow
@cases(2500)
@given(poisoned())
def test_whatever_is_taken_of_many_is_what_is_written(text: str) -> None:
    assert_sound(text)
