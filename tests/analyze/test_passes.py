"""Normalizations that need numbers of a row first: which passes are found, and that they mean the formula."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from torch import Tensor

import attnc
from attnc.analyze.facts import Weights
from attnc.analyze.weights import find_weights
from attnc.compiler import Compilation
from attnc.ir.text import print_ir
from attnc.source import Source

PARAMS = "z: float[H], t: float[B, H, N], c: float, u: float[M]"


def spec(normalize: str) -> str:
    mask = "(j <= i or u[j] > 99.0) and z[h] + t[b, h, i] + c < 99.0"
    return f"attention a({PARAMS}):\n    mask {mask}\n    normalize {normalize}\n"


def weights_of(normalize: str) -> Weights:
    return find_weights(Compilation(Source("a.attn", spec(normalize))).attention)


def said(weights: Weights) -> list[str]:
    """Each pass in a line; the last with what a key weighs, and what the row is multiplied with."""
    lines = []
    for each in weights.before:
        terms = " and ".join(map(print_ir, each.fold.sums))
        words = {
            "sums": terms,
            "largest": f"largest {terms}",
            "softmax": f"lse of {print_ir(each.fold.score)}",
        }
        what = words[each.fold.name]
        lines.append(f"{what}: " + ", ".join(f"{name} = {print_ir(term)}" for name, term in each.numbers))
    fold = weights.fold
    assert fold is not None
    last = f"softmax of {print_ir(fold.score)}" if fold.weight is None else print_ir(fold.weight)
    lines.append(" and ".join([last, *map(print_ir, fold.sums)]))
    return [*lines, f"times {print_ir(weights.gate)}"] if weights.gate else lines


ROW = "row_1[b, h, i]"
LSE = "row_1[b, h, i] - row_2[b, h, i]"
FOUND = {
    "exp(s / t[b, h, i]) / sum(exp(s / t[b, h, i]))": ["softmax of s / t[b, h, i]"],
    "exp((s - max(s)) / c) / sum(exp((s - max(s)) / c))": ["softmax of s / c"],
    "exp(-s * s) / (1 + sum(exp(-s * s)))": ["softmax of -s * s", "times sigmoid(lse)"],
    "exp(s) * sigmoid(u[j]) / sum(exp(s) * sigmoid(u[j]))": ["softmax of s + -softplus(-u[j])"],
    "exp(s) * relu(s + u[j]) / (1 + sum(exp(s) * relu(s + u[j])))": [
        "softmax of s + log(relu(s + u[j]))", "times sigmoid(lse)"
    ],
    "exp(s) * sigmoid(s) / sum(exp(s))": ["lse of s: row_1 = row_max, row_2 = row_log", f"exp(s - {LSE}) * sigmoid(s)"],
    "exp(s) * tanh(s) / sum(exp(s))": ["lse of s: row_1 = row_max, row_2 = row_log", f"exp(s - {LSE}) * tanh(s)"],
    "s - mean(s)": ["s and 1.0: row_1 = sum_1 / sum_2", f"s - {ROW}"],
    "s / (1 + sum(abs(s - mean(s))))": [
        "s and 1.0: row_1 = sum_1 / sum_2", f"s and abs(s - {ROW})", "times 1.0 / (1.0 + sum_1)"
    ],
    "exp(-(s - mean(s)) ** 2)": ["s and 1.0: row_1 = sum_1 / sum_2", f"exp(-(s - {ROW}) ** 2.0)"],
    "exp(-abs(s - mean(s))) / sum(exp(-abs(s - mean(s))))": [
        "s and 1.0: row_1 = sum_1 / sum_2", f"softmax of -abs(s - {ROW})"
    ],
    "exp(s / (1 + sum(s * s))) / sum(exp(s / (1 + sum(s * s))))": [
        "s * s: row_1 = 1.0 + sum_1", f"softmax of s / {ROW}"
    ],
    "s - min(s)": ["largest -s: row_1 = s", f"s - {ROW}"],
    "s / (1 + max(abs(s)))": ["largest abs(s): row_1 = abs(s)", "s", f"times 1.0 / (1.0 + {ROW})"],
    "exp(s - max(s)) / sum(exp(s))": ["largest s: row_1 = s", "softmax of s", f"times exp(-{ROW})"],
    "tanh(s - max(abs(s - mean(s))))": [
        "s and 1.0: row_1 = sum_1 / sum_2",
        f"largest abs(s - {ROW}): row_2 = abs(s - {ROW})",
        "tanh(s - row_2[b, h, i])",
    ],
    "s - log(sum(exp(s)))": ["lse of s: row_1 = row_max, row_2 = row_log", f"s - {LSE}"],
    "tanh(s) * log(sum(exp(s - mean(s))))": [
        "s and 1.0: row_1 = sum_1 / sum_2",
        f"lse of s: row_2 = row_max, row_3 = row_log + -{ROW}",
        "tanh(s)",
        "times row_2[b, h, i] + row_3[b, h, i]",
    ],
    "sigmoid(log(sum(exp(s + u[j]))) - u[j] - s)": [
        "lse of s + u[j]: row_1 = row_max, row_2 = row_log", "sigmoid(row_1[b, h, i] - (s + u[j]) + row_2[b, h, i])"
    ],
    "tanh(u[j] - log(sum(exp(s + u[j]))) + 2 * s)": [
        "lse of s + u[j]: row_1 = row_max, row_2 = row_log",
        f"tanh(u[j] + 2.0 * s - {LSE})",
    ],
    "tanh(u[j] - log(sum(exp(s))) + t[b, h, i] * s)": [
        "lse of s: row_1 = row_max, row_2 = row_log",
        f"tanh(t[b, h, i] * s - {ROW} + u[j] - row_2[b, h, i])",
    ],
    "tanh((s + c - log(sum(exp(s))) + c) / 8)": [
        "lse of s: row_1 = row_max, row_2 = row_log", f"tanh((s - {ROW} + c - row_2[b, h, i] + c) / 8.0)"
    ],
    "tanh(s - log(sum(exp(s + s))))": ["lse of s + s: row_1 = row_max, row_2 = row_log", f"tanh(s - {LSE})"],
    "exp(s - max(s)) * tanh(s) / sum(exp(s - max(s)))": [
        "lse of s: row_2 = row_max, row_3 = row_log", "exp(s - row_2[b, h, i] - row_3[b, h, i]) * tanh(s)"
    ],
    "exp(s + t[b, h, i]) * tanh(s) / sum(exp(s + t[b, h, i]))": [
        "lse of s: row_1 = row_max, row_2 = row_log", f"exp(s - {LSE}) * tanh(s)"
    ],
    "s - log(sum(exp(s + c)))": ["lse of s: row_1 = row_max, row_2 = row_log + c", f"s - {LSE}"],
    "s * exp(s) / sum(exp(s))": ["lse of s: row_1 = row_max, row_2 = row_log", f"s * exp(s - {LSE})"],
    "exp(s) / mean(exp(s))": ["lse of s: row_1 = row_max, row_2 = row_log", f"exp(s - {LSE}) and 1.0", "times sum_1"],
    "tanh(s) * exp(sigmoid(s)) / sum(exp(sigmoid(s)))": [
        "tanh(s) * exp(sigmoid(s)) and exp(sigmoid(s))", "times 1.0 / sum_1"
    ],
    "sigmoid(s + tanh(mean(s))) * exp(sigmoid(s)) / sum(exp(sigmoid(s)))": [
        "s and 1.0: row_1 = tanh(sum_1 / sum_2)",
        "lse of sigmoid(s): row_2 = row_max, row_3 = row_log",
        "sigmoid(s + row_1[b, h, i]) * exp(sigmoid(s) - row_2[b, h, i] - row_3[b, h, i])",
    ],
    "exp(2 * s) * tanh(s) / sum(exp(2 * s))": [
        "lse of 2.0 * s: row_1 = row_max, row_2 = row_log", f"exp(2.0 * s - {LSE}) * tanh(s)"
    ],
    "exp(s) / sum(exp(s)) / sum(exp(s))": [
        "lse of s: row_1 = row_max, row_2 = row_log", f"exp(s - {LSE})",
        "times 1.0 / exp(row_1[b, h, i] + row_2[b, h, i])",
    ],
    "tanh(s + sum(s) + z[h])": ["s: row_1 = sum_1", f"tanh(s + {ROW} + z[h])"],
    "tanh(s + sum(s) * z[h])": ["s: row_1 = sum_1 * z[h]", f"tanh(s + {ROW})"],
    "sigmoid(s / count())": ["1.0: row_1 = sum_1", f"sigmoid(s / {ROW})"],
    "sigmoid(s + sum(sigmoid(s - mean(s))))": [
        "s and 1.0: row_1 = sum_1 / sum_2",
        f"sigmoid(s - {ROW}): row_2 = sum_1",
        "sigmoid(s + row_2[b, h, i])",
    ],
    "sigmoid(s + u[j])": ["sigmoid(s + u[j])"],
    "relu(s) / (1 + sum(relu(s) * t[b, h, i] ** 2))": [
        "relu(s) and relu(s) * t[b, h, i] ** 2.0", "times 1.0 / (1.0 + sum_1)"
    ],
}  # fmt: skip


@pytest.mark.parametrize("normalize", FOUND)
def test_what_is_found(normalize: str) -> None:
    weights = weights_of(normalize)
    assert weights.fold and weights.because
    assert said(weights) == FOUND[normalize]


def test_a_number_of_a_row_takes_no_name_of_a_parameter() -> None:
    text = "attention a(row_1: float[H]):\n    score row_1[h] * dot(q, k)\n    normalize s - mean(s)\n"
    (first,) = find_weights(Compilation(Source("a.attn", text)).attention).before
    assert [name for name, _ in first.numbers] == ["row_2"]


def call(normalize: str, size: float, backend: str) -> list[Tensor]:
    """Output and the gradients of every tensor."""
    make = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make, dtype=torch.float64).requires_grad_()

    tensors = draw(2, 4, 9, 4), draw(2, 2, 9, 4), draw(2, 2, 9, 5), draw(4), draw(2, 4, 9), draw(9)
    q, k, v, z, t, u = tensors
    f = attnc.compile(spec(normalize), backend=backend)
    out = f(q, k, v, z=z, t=t, c=0.7, u=u, scale=size)
    weights = torch.randn(out.shape, generator=make, dtype=torch.float64)
    total = (out * weights).sum()
    return [out, *torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True)]


def assert_means(normalize: str, size: float) -> None:
    for found, wanted in zip(call(normalize, size, "cpu"), call(normalize, size, "reference"), strict=True):
        most = float(wanted.detach().abs().max())
        assert found.isfinite().all()
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9 * (most + 1))


# With scores near 1 and near 200; one formula overflows by itself there.
SIZED = [(normalize, size) for normalize in FOUND for size in (0.5, 100.0)]
SIZED.remove(("exp(s) / sum(exp(s)) / sum(exp(s))", 100.0))


@pytest.mark.parametrize(("normalize", "size"), SIZED)
def test_they_mean_the_formula(normalize: str, size: float) -> None:
    assert_means(normalize, size)


@st.composite
def chains(draw: st.DrawFn) -> str:
    """A function of one score and of numbers of its row, over sums of such functions."""
    inner = st.sampled_from(
        ["s", "s * s", "tanh(s)", "relu(s + z[h])", "abs(s)", "sigmoid(s) * t[b, h, i]", "u[j]"]
    )
    kind = st.sampled_from(["sum", "mean"])
    number = st.one_of(
        st.builds(lambda k, g: f"{k}({g})", kind, inner),
        st.builds(lambda k, g, h: f"{k}(tanh({g} - mean({h})))", kind, inner, inner),
        st.sampled_from(
            [
                "log(sum(exp(s)))",
                "log(sum(exp(s * 2 + c)))",
                "max(s)",
                "min(s * 2 + u[j])",
                "count()",
                "c",
                "t[b, h, i]",
            ]
        ),
    )
    one = st.builds(
        lambda f, x, op, n: f"{f}({x} {op} tanh({n}))",
        st.sampled_from(["sigmoid", "softplus", "tanh", "cos"]),
        st.sampled_from(["s", "2 * s", "s + u[j]"]),
        st.sampled_from(["+", "-", "*"]),
        number,
    )
    weight = " * ".join(draw(st.lists(one, min_size=1, max_size=2)))
    if draw(st.booleans()):
        exponent = draw(one)
        return f"{weight} * exp({exponent}) / sum(exp({exponent}))"
    below = draw(st.sampled_from(["", " / (2 + sum(abs({})))", " / sqrt(1 + mean(({}) ** 2))"]))
    return f"{weight}{below.format(draw(one))}"


@cases(40, 12)
@given(chains())
def test_random_ones_mean_the_formula(normalize: str) -> None:
    assert weights_of(normalize).fold
    assert_means(normalize, 0.8)


@pytest.mark.slow
@cases(int(os.environ.get("CHAINS", "200")))
@given(chains())
def test_many_random_ones_mean_the_formula(normalize: str) -> None:
    assert_means(normalize, 0.8)


def test_the_log_sum_exp_is_that_of_the_scores_or_refused() -> None:
    q = torch.randn(1, 1, 4, 8)
    f = attnc.compile("attention a(c: float):\n    normalize exp(s / c) / sum(exp(s / c))\n")
    with pytest.raises(ValueError, match="`return_lse` needs a normalization by sum"):
        f(q, q, q, c=2.0, return_lse=True)
