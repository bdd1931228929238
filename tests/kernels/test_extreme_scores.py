"""Scores near the end of float32, infinite ones, and rows that have nothing else.

A pair whose score is -inf is not seen. A finite score counts however large it is: a row of -3.4e38, which stands for
what is hidden in other libraries, is the mean of its values.
"""

from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_checks import compile_text, evaluated
from properties import cases
from torch import Tensor

from attnc.run.interpreter import interpret
from attnc.run.loader import load_module

LEAST = torch.finfo(torch.float32).min
NUMBERS = (0.0, 1.0, -3.0, -300.0, -1e30, LEAST / 2, -3e38, LEAST, 3e38, -math.inf)
PARAMS = {
    "bias": "float[B, H, N, M]", "pen": "float[B, M]", "row": "float[B, N]", "z": "float[H]", "w": "float",
}  # fmt: skip
SPECS = {
    "biases": "score dot(q, k) * scale + bias[b, h, i, j]",
    "causal biases": "mask j <= i\n    score dot(q, k) * scale + bias[b, h, i, j]",
    "key penalties": "score dot(q, k) * scale + pen[b, j]",
    "row penalties": "mask i - j < 6\n    score dot(q, k) * scale + row[b, i]",
    "a sink": "score dot(q, k) * scale + bias[b, h, i, j]\n    normalize sink(z[h])",
    "of minus the score": "score dot(q, k) * scale + bias[b, h, i, j]\n    normalize exp(-s) / sum(exp(-s))",
    "of what saturates": "score dot(q, k) * scale + pen[b, j]\n    normalize exp(tanh(s)) / sum(exp(tanh(s)))",
    "a sign by head": (
        "score dot(q, k) * scale + pen[b, j]\n"
        "    normalize exp(s * (1 - 2 * (h % 2))) / sum(exp(s * (1 - 2 * (h % 2))))"
    ),
    "minus, in a pass": "score dot(q, k) * scale + pen[b, j]\n    normalize sigmoid(s) * tanh(log(sum(exp(-s))))",
    "a choice": "score dot(q, k) * scale if (i + j) % 3 == 0 else w",
    "counted": "mask j <= i\n    score dot(q, k) * scale + bias[b, h, i, j]\n    normalize sigmoid(s) / (1 + count())",
    "no_score is 0": "score dot(q, k) * scale + bias[b, h, i, j]\n    normalize (2 + tanh(s)) / (1 + count())",
    "logarithms": "score dot(q, k) * scale + log(relu(bias[b, h, i, j]))",
}


def draw(spec: str, seed: int, numbers: tuple[float, ...]) -> tuple[list[Tensor], dict[str, Tensor | float]]:
    """q, k and v, and arrays whose rows hold ordinary numbers, some of these, or one of these alone."""
    g = torch.Generator().manual_seed(seed)
    sizes = {"B": 2, "H": 2, "N": 11, "M": 19}
    vectors = [torch.randn(2, h, n, 16, generator=g) for h, n in ((2, 11), (1, 19), (1, 19))]
    known: dict[str, Tensor | float] = {}
    for name, sort in PARAMS.items():
        if re.search(rf"\b{name}\[", spec):
            shape = [sizes[size] for size in sort[6:-1].split(", ")]
            values = torch.randn(shape, generator=g)
            if name == "z":  # a sink is held against a sum, which is no more exact than a float32
                numbers = (0.0, 1.0, -math.inf)
            pick = torch.tensor(numbers)[torch.randint(len(numbers), shape, generator=g)]
            alone = torch.tensor(numbers)[torch.randint(len(numbers), (*shape[:-1], 1), generator=g)]
            kind = torch.randint(3, (*shape[:-1], 1), generator=g)
            known[name] = torch.where(kind == 0, values, torch.where(kind == 1, pick, alone.expand(shape)))
        elif re.search(rf"\b{name}\b", spec):
            known[name] = numbers[seed % len(numbers)]
    return vectors, known


def check(text: str, seed: int, numbers: tuple[float, ...]) -> None:
    vectors, known = draw(text, seed, numbers)
    params = ", ".join(f"{name}: {PARAMS[name]}" for name in known)
    compilation = compile_text(f"attention zoo({params}):\n    {text}\n")
    leaves = [x.requires_grad_() for x in (*vectors, *known.values()) if isinstance(x, Tensor)]

    def results(out: Tensor) -> list[Tensor]:
        dout = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
        return [out.detach(), *torch.autograd.grad(out, leaves, dout)]

    expected = results(interpret(compilation.attention, *vectors, known))  # type: ignore[arg-type]
    assert expected[0].isfinite().all()
    paths = {
        "cpu": load_module("zoo", compilation.module).zoo,
        "triton": evaluated(compilation).zoo,
    }
    for path, function in paths.items():
        got = results(function(*vectors, **known, backend=path))
        for n, (a, b) in enumerate(zip(got, expected, strict=True)):
            assert torch.allclose(a, b, rtol=2e-4, atol=2e-5, equal_nan=True), f"{path}: result {n}"


@pytest.mark.parametrize("name", SPECS)
def test_extreme_scores(name: str) -> None:
    check(SPECS[name], 1, NUMBERS)


@cases(200, 15)
@given(
    st.sampled_from(sorted(SPECS.values())),
    st.integers(0, 10**6),
    st.sets(st.sampled_from(NUMBERS), min_size=1),
)
def test_random_extremes(text: str, seed: int, numbers: set[float]) -> None:
    check(text, seed, tuple(sorted(numbers)))
