"""Which exponents fade from the last key that a query sees, and what is left of them there."""

from __future__ import annotations

import pytest
from compilations import compiled

from attnc.algebra.polynomials import Polynomial
from attnc.analyze.decays import left_at_last_key
from attnc.analyze.facts import Linear

PARAMS = "g: float[H], w: int, G: float[B, H, N], K: float[B, H, M], a: float[B, N], c: float[B, M]"


def found(mask: str, factor: str) -> list[Polynomial | None]:
    text = f"attention a({PARAMS}):\n    mask {mask}\n    score dot(q, k) * {factor}\n    normalize none\n"
    linear = compiled(text).facts.linear
    assert isinstance(linear, Linear) and linear.mask.causal is not None
    return [left_at_last_key(pair, linear.mask.causal) for term in linear.weight for pair in term.exponents]


@pytest.mark.parametrize(
    ("mask", "factor"),
    [
        ("j <= i", "g[h] ** (i - j)"),
        ("j <= i", "exp(G[b, h, i] - G[b, h, j])"),
        ("j <= i + M - N", "g[h] ** (i + M - N - j)"),
        ("j < i + M - N + 1", "exp(-g[h] * (i - N - j + M))"),
        ("j <= i + M - N", "exp(K[b, h, i + M - N] - K[b, h, j])"),
        ("j <= i + M - N", "exp(K[b, h, M - N + i] - K[b, h, j] + g[h] * (i - j + M - N))"),
        ("j <= i - w", "exp(K[b, h, i - w] - K[b, h, j])"),
    ],
)
def test_nothing_is_left_of_a_decay(mask: str, factor: str) -> None:
    assert found(mask, factor) == [Polynomial()]


@pytest.mark.parametrize(
    ("mask", "factor"),
    [
        ("j <= i + M - N", "g[h] ** (i - j)"),
        ("j < i", "g[h] ** (i - j)"),
        ("j <= i + 3", "exp(g[h] * (i - j))"),
        ("j <= i", "g[h] ** (i - j + 1)"),
    ],
)
def test_a_number_of_the_call_is_left(mask: str, factor: str) -> None:
    (left,) = found(mask, factor)
    assert left is not None and left != Polynomial()


@pytest.mark.parametrize(
    ("mask", "factor"),
    [
        ("j <= i", "exp(c[b, j])"),
        ("j <= i", "exp(a[b, i] - c[b, j])"),
        ("j < i", "exp(G[b, h, i] - G[b, h, j])"),
        ("j <= i", "exp(g[h] * (2 * i - j))"),
        ("j <= i", "exp(sum_d(q) - g[h] * j)"),
    ],
)
def test_what_knows_the_query_is_no_decay(mask: str, factor: str) -> None:
    assert found(mask, factor) == [None]
