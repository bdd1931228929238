"""Reasons speak of what is written in the spec, and never of arrays that the compiler makes."""

from __future__ import annotations

import re

import pytest

from attnc.compiler import Compilation
from attnc.source import Source

PARAMS = """
    rel: float[H, 2 * M - 1, D], x: float[B, H, N, D], y: float[B, H, M, D], bias: float[H, 64], gate: float[B, H, N],
"""
# Each score, and what has to be said of it.
SCORES = {
    "dot(q, rel[h, j - i + M - 1, :])": (
        "the gradient of `dot(q, rel[h, j - i + M - 1, :])` is summed from strips of query-key pairs, because its "
        "index mixes both positions",
        "the weights of a tile do not wait for the products of the next, because `dot(q, rel[h, j - i + M - 1, :])` is "
        "read for each pair",
    ),
    "dot(q, x[b, h, i, :])": (
        "what `dot(q, x[b, h, i, :])` adds is the same for every key of a row: softmax loses it, and its gradient is "
        "that of the log-sum-exp",
    ),
    "sum_d(q * x[b, h, i, :])": (
        "what `sum_d(q * x[b, h, i, :])` adds is the same for every key of a row: softmax loses it, and its gradient "
        "is that of the log-sum-exp",
    ),
    "gate[b, h, i]": (
        "what `gate[b, h, i]` adds is the same for every key of a row: softmax loses it, and its gradient is that of "
        "the log-sum-exp",
    ),
    "sum_d(y[b, h, j, :]) * bias[h, floor(log(abs(i - j) + 1.0))]": (
        "the gradient of `bias` is summed from strips of query-key pairs, because its index mixes both positions",
        "the weights of a tile do not wait for the products of the next, because "
        "`bias[h, floor(log(real(abs(i - j)) + 1.0))]` is read for each pair",
    ),
}


@pytest.mark.parametrize("score", SCORES)
def test_reasons_of(score: str) -> None:
    text = f"attention a({PARAMS}):\n    score dot(q, k) * scale + {score}\n"
    compilation = Compilation(Source("a.attn", text))
    said = [reason.text for reason in compilation.plan.because]
    assert set(SCORES[score]) <= set(said)
    made = {param.name for param in compilation.plan.last.attention.params} - {
        param.name for param in compilation.attention.params
    }
    assert made or score == "gate[b, h, i]"
    assert not made & set(re.findall(r"\w+", " ".join(said)))
