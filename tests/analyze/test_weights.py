"""What is found of normalizations, against the formulas themselves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import attnc
from attnc.analyze.weights import find_weights
from attnc.compiler import Compilation
from attnc.ir.text import print_ir
from attnc.source import Source

PARAMS = "z: float[H], t: float[B, H, N], c: float, u: float[M]"


def spec(normalize: str) -> str:
    mask = "j <= i or u[j] < 99.0 and z[h] + t[b, h, i] + c < 99.0"
    return f"attention a({PARAMS}):\n    mask {mask}\n    normalize {normalize}\n"


def gate_of(normalize: str) -> str | None:
    """The number behind the softmax, as text; `other` where it is no softmax."""
    attention = Compilation(Source("a.attn", spec(normalize))).attention
    weights = find_weights(attention)
    assert weights.because
    if weights.kind == "other":
        assert weights.gate is None
        return "other"
    return print_ir(weights.gate) if weights.gate else None


GATES = {
    "softmax": None,
    "exp(s - max(s)) / sum(exp(s - max(s)))": None,
    "exp(s - c) / sum(exp(s - c))": None,
    "exp(s + mean(s * s)) / sum(exp(s + mean(s * s)))": None,
    "2 * exp(s) / sum(exp(s))": "2.0",
    "exp(s) * c / sum(exp(s))": "c",
    "exp(s) / (2 * sum(exp(s)))": "0.5",
    "exp(s) / sum(exp(s)) / t[b, h, i]": "1.0 / t[b, h, i]",
    "softmax1": "sigmoid(lse)",
    "sink(z[h])": "sigmoid(lse - z[h])",
    "exp(s) / (sum(exp(s)) + exp(t[b, h, i]))": "sigmoid(lse - t[b, h, i])",
    "exp(s) / (exp(z[h]) + exp(c) + sum(exp(s)))": "1.0 / (1.0 + exp(z[h] - lse) + exp(c - lse))",
    "exp(s - c) / (1 + sum(exp(s - c)))": "sigmoid(lse + (0.0 - c))",
    "exp(s + c) / sum(exp(s))": "exp(c)",
    "exp(s) / sum(exp(s - c))": "exp(0.0 - (0.0 - c))",
}
OTHER = [
    "sigmoid", "none", "l1", "softplus_l1", "exp(s)", "exp(s) / sum(exp(2 * s))", "exp(2 * s) / sum(exp(s))",
    "exp(s) / sum(exp(s) * u[j])", "exp(s) * u[j] / sum(exp(s))", "exp(s) / mean(exp(s))", "exp(s) / (sum(exp(s)) - 1)",
    "exp(s) / (c + sum(exp(s)))", "exp(s) / sum(exp(s)) / sum(exp(s))",
    "exp(s) / (sum(exp(s)) + sum(exp(s)))", "exp(s) + exp(s) / sum(exp(s))", "exp(s) * exp(s) / sum(exp(s))",
    "exp(s - max(s)) / (1 + sum(exp(s - max(s))))", "exp(s - max(s)) / sum(exp(s))", "exp(s) / sum(exp(s)) / count()",
    "exp(s - u[j]) / sum(exp(s - u[j]))", "exp(s) / (exp(s) + sum(exp(s)))", "s * exp(s) / sum(exp(s))",
    "exp(s) / sum(exp(s)) / s", "sum(exp(s)) / exp(s)", "exp(s) / (exp(max(s)) + sum(exp(s)))", "1 / sum(exp(s))",
]  # fmt: skip


@pytest.mark.parametrize("normalize", GATES)
def test_gates(normalize: str) -> None:
    assert gate_of(normalize) == GATES[normalize]


@pytest.mark.parametrize("normalize", OTHER)
def test_what_is_not_softmax(normalize: str) -> None:
    assert gate_of(normalize) == "other"


# ---- against the interpreter -------------------------------------------------------------------------


def call(normalize: str, size: float, backend: str) -> list[Tensor]:
    """Output, log-sum-exp and the gradients of every tensor."""
    make = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make, dtype=torch.float64).requires_grad_()

    q, k, v, z, t = draw(2, 3, 9, 4), draw(2, 3, 11, 4), draw(2, 3, 11, 5), draw(3), draw(2, 3, 9)
    f = attnc.compile(spec(normalize), backend=backend)
    out, lse = f(
        q, k, v, z=z, t=t, c=0.7, u=torch.zeros(11, dtype=torch.float64), scale=size, return_lse=True
    )
    weights = torch.randn(out.shape, generator=make, dtype=torch.float64)
    gradients = torch.autograd.grad(
        (out * weights).sum() + lse.sin().sum(), (q, k, v, z, t), allow_unused=True
    )
    return [out, lse, *(torch.zeros(1).double() if g is None else g for g in gradients)]


@pytest.mark.parametrize("size", [0.5, 100.0])
@pytest.mark.parametrize("normalize", GATES)
def test_they_mean_the_formula(normalize: str, size: float) -> None:
    for found, expected in zip(call(normalize, size, "cpu"), call(normalize, size, "reference"), strict=True):
        assert found.isfinite().all()
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


ROW_NUMBERS = ("z[h]", "t[b, h, i]", "c", "(0.3)")


@st.composite
def softmaxes(draw: st.DrawFn) -> str:
    """`a * exp(s + x) / (exp(y) + .. + sum(exp(s + w))) / d`, with parts left out."""
    number = st.sampled_from(ROW_NUMBERS)
    inside, outside = (
        draw(st.sampled_from(["", f"+ {draw(number)}", f"- {draw(number)}"])) for _ in range(2)
    )
    more = draw(st.lists(st.one_of(number.map(lambda z: f"exp({z})"), st.just("1.5")), max_size=2))
    below = draw(st.permutations([*more, f"sum(exp(s {inside}))"]))
    above = draw(st.permutations([f"exp(s {outside})", *draw(st.lists(st.just("(2 + sin(c))"), max_size=1))]))
    divided = draw(st.sampled_from(["", " / (2 + sin(t[b, h, i]))"]))
    return f"{' * '.join(above)} / ({' + '.join(below)}){divided}"


@settings(max_examples=40, deadline=None, derandomize=True)
@given(softmaxes())
def test_random_ones_mean_the_formula(normalize: str) -> None:
    assert gate_of(normalize) != "other"
    for found, expected in zip(call(normalize, 0.8, "cpu"), call(normalize, 0.8, "reference"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
