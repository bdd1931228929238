"""Torch differentiates through the interpreter: checked against finite differences and against formulas by hand."""

from __future__ import annotations

import pytest
import torch
from interpreter_specs import SOFTMAX, spec, tensors
from torch import Tensor
from torch.autograd import gradcheck

from attnc.ir.nodes import Attention
from attnc.run.interpreter import interpret


def real_parameters(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(3)
    return {
        name: (torch.rand(shape, generator=make, dtype=torch.float64) + 0.25).requires_grad_()
        for name, shape in shapes.items()
    }


def check(attention: Attention, parameters: dict[str, Tensor], **sizes: int) -> None:
    q, k, v = tensors(**{"B": 1, "N": 4, "M": 4, "D": 4, "DV": 3} | sizes, grad=True)
    names = list(parameters)

    def output_and_lse(q: Tensor, k: Tensor, v: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        output, lse = interpret(attention, q, k, v, dict(zip(names, values, strict=True)), return_lse=True)
        return output, lse.nan_to_num(neginf=0.0)

    assert gradcheck(output_and_lse, (q, k, v, *parameters.values()), fast_mode=False)


SPECS = {
    "causal, grouped heads": (spec(mask="j <= i"), {}),
    "soft capping": (spec(score="3.0 * tanh(dot(q, k) * scale / 3.0)"), {}),
    "sink": (spec("z: float[H]", normalize="exp(s) / (exp(z[h]) + sum(exp(s)))"), {"z": (4,)}),
    "relative bias": (
        spec("t: float[H, 5]", mask="j <= i", score="dot(q, k) * scale + t[h, min(i - j, 4)]"),
        {"t": (4, 5)},
    ),
    "decay": (spec("g: float[H]", mask="j <= i", score="dot(q, k) * g[h] ** real(i - j)", normalize="s"), {"g": (4,)}),
    "gates": (
        spec(
            "u: float[N, D]", "w: float[M, D]", "x: float[B, H, M, DV]", "y: float[H]",
            query="q * u[i, :]", key="l2(k + w[j, :])", value="x[b, h, j, :] * v",
            output="splat(1.0 - y[h]) * o + splat(y[h]) * v_i",
        ),
        {"u": (4, 4), "w": (4, 4), "x": (1, 4, 4, 3), "y": (4,)},
    ),
    "rope": (
        spec("t: float[2]", query="rope(q, real(i) * t[0], 5.0 + t[1])", key="rope(k, real(j), 5.0)"),
        {"t": (2,)},
    ),
    "distances": (spec("p: float[2]", score="0.0 - sum_d((q - k) ** splat(2.0)) ** p[0] * p[1]"), {"p": (2,)}),
    "all pairs of vectors": (
        spec("u: float[N, D]", score="sum_d(q * k * u[j, :]) + dot(q - k, u[i, :])"),
        {"u": (4, 4)},
    ),
    "empty rows": (spec("t: float[N]", mask="j < i", score="dot(q, k) + t[i]"), {"t": (4,)}),
    "branches": (spec("t: float[2]", mask="j <= i", score="dot(q, k) * t[0] if i - j < 2 else t[1]"), {"t": (2,)}),
    "mean, min, max, count": (
        spec("t: float[1]", mask="j <= i", normalize="(s - mean(s) * t[0]) / (max(s) - min(s) + 1.0) + count()"),
        {"t": (1,)},
    ),
    "softplus l1": (spec(normalize="softplus(s) / sum(softplus(s))"), {}),
    "signed l1": (spec(mask="j <= i", normalize="s / sum(abs(s))"), {}),
    "softmax written with a maximum": (spec(normalize="exp(s - max(s)) / sum(exp(s - max(s)))"), {}),
    "log of a sum": (spec(normalize="exp(s - log(sum(exp(s)) + 1.0)) ** 2.0"), {}),
    "root of a sum": (spec(normalize="exp(s) / sqrt(sum(exp(s + s)))"), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_finite_differences(name: str) -> None:
    attention, shapes = SPECS[name]
    check(attention, real_parameters(**shapes))


def test_finite_differences_with_keys_of_another_length() -> None:
    check(spec(mask="j <= i + 2"), {}, N=3, M=5)


def test_a_large_score_has_the_gradient_of_softmax() -> None:
    q, k, v = tensors(grad=True)
    got = interpret(spec(), q, k, v, {}, scale=500.0)
    kk, vv = (x.repeat_interleave(2, 1) for x in (k, v))
    expected = (q @ kk.mT * 500.0).softmax(-1) @ vv
    weight = torch.randn_like(got)
    for x, y in zip(
        torch.autograd.grad((got * weight).sum(), (q, k, v)),
        torch.autograd.grad((expected * weight).sum(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-9)


def test_gradients_come_back_in_the_dtype_of_the_input() -> None:
    q, k, v = tensors(dtype=torch.float16, grad=True)
    bias = torch.zeros(4, dtype=torch.float32, requires_grad=True)
    attention = spec("bias: float[H]", score="dot(q, k) * scale + bias[h]")
    interpret(attention, q, k, v, {"bias": bias}).sum().backward()  # type: ignore[union-attr]
    assert [x.grad.dtype for x in (q, k, v, bias)] == [torch.float16] * 3 + [torch.float32]  # type: ignore[union-attr]
    # A softmax does not see what all scores of a row have in common.
    torch.testing.assert_close(bias.grad, torch.zeros(4), atol=1e-6, rtol=0)


def test_the_gradient_of_a_tie_is_that_of_torch() -> None:
    q, k, v = tensors(grad=True)
    z = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    for score, slope in {
        "relu(z[0])": 0.0,
        "abs(z[0])": 0.0,
        "max(z[0], 0.0)": 0.5,
        "min(z[0], 0.0)": 0.5,
    }.items():
        output = interpret(
            spec("z: float[1]", score=score, normalize="s"), q, k, torch.ones_like(v), {"z": z}
        )
        (grad,) = torch.autograd.grad(output.sum() / output.numel() / 7, z)  # type: ignore[union-attr]
        torch.testing.assert_close(grad.item(), slope)


def test_a_mask_has_no_gradient() -> None:
    q, k, v = tensors()
    x = torch.rand(7, dtype=torch.float64, requires_grad=True)
    output = interpret(spec("x: float[M]", mask="0.5 < x[j]"), q, k, v, {"x": x})
    assert not output.requires_grad  # type: ignore[union-attr]


def test_softmax_of_a_row_with_one_key_has_no_gradient_for_its_score() -> None:
    q, k, v = tensors(N=4, M=4, grad=True)
    output = interpret(spec(mask="i == j", normalize=SOFTMAX), q, k, v, {})
    grads = torch.autograd.grad(output.sum(), (q, k, v))  # type: ignore[union-attr]
    assert (grads[0] == 0).all()
    assert (grads[1] == 0).all()
    assert (grads[2] == 2).all()  # two query heads share a key head
