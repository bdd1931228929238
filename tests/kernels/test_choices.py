"""What is not chosen has no say in a gradient, though it be infinite: choices, rows without a key, numbers of a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kernel_checks import compile_text, evaluated
from torch import Tensor

from attnc.run.loader import load_module

TYPES = {"f": "bool[N]", "w": "float[B, N]", "r": "float[H, N, D]"}

# Numbers that are infinite, or have such a slope, where `w` is as where it is not used; and what it is there.
STEEP = [("1 / {}", 0.0), ("log({})", 0.0), ("sqrt({})", 0.0), ("{} ** -0.5", 0.0), ("exp({})", 1e5)]
# Clauses that choose by `f`, with such a number.
CHOICES = [
    "query     q if f[i] else q * {i}",
    "query     {i} * r[h, i, :] if not f[i] else q",
    "query     q * (1 if f[i] else {i})",
    "key       k if f[j] else k * {j}",
    "key       k * (sum_d(k * {j}) if not f[j] else 1)",
    "value     v if f[j] else tanh(v * {j})",
    "output    o if f[i] else o * {i}",
    "output    o + v_i * ({i} if not f[i] else 2)",
    "score     dot(q, k) * scale * (1 if f[j] else {j})",
    "score     dot(q, k) * scale + (sum_d(q * {i}) if not f[i] else 0)",
    "score     dot(q, k) * scale + (dot(k * {j}, k) if not f[j] else 0)",
    "score     dot(q, k) * scale if f[i] else dot(q * {i}, k) * scale",
    "normalize tanh(s) * (sum_d(r[h, j, :] * {j}) if not f[j] else 1)",
    "normalize relu(s) * (1 if f[i] else {i}) / count()",
    "normalize sigmoid(s) * (1 if f[j] else {j})",
]
# The same where nothing is chosen: a row that sees no key, a number of the row that no key of it uses.
UNUSED = [
    "mask j < i\n    output o / sqrt(sum_d(o * o))",
    "mask j < i\n    output o * {i}",
    "mask j < i\n    normalize relu(s) * {i}",
    "mask j <= i\n    normalize s * (1 if f[j] else 1 / sum(0 if f[j] else relu(s) + 1))",
    "mask j <= i\n    normalize s * (1 if f[j] else log(sum(0 if f[j] else relu(s) + 1)) / w[b, i])",
]


def gradients(
    attend: Callable[..., Any], dtype: torch.dtype, unused: float, tokens: tuple[int, ...]
) -> list[Tensor]:
    """The result and every gradient, where `w` is `unused` at some tokens; `f` marks the first two and the fifth."""
    draw = torch.Generator().manual_seed(0)
    q, k, v, r = (
        torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in ((2, 2, 6, 16), (2, 1, 6, 16), (2, 1, 6, 16), (2, 6, 16))
    )
    f = torch.tensor([True, True, False, False, True, False])
    w = torch.rand(2, 6, generator=draw, dtype=torch.float64) + 0.5
    w[:, tokens] = unused
    w = w.to(dtype).requires_grad_()
    given = {"f": f, "w": w, "r": r}
    out = attend(q, k, v, given)
    leaves = [q, k, v, w, r]
    slopes = torch.randn(out.shape, generator=draw, dtype=torch.float64).to(out.dtype)
    found = torch.autograd.grad(out, leaves, slopes, allow_unused=True)
    return [
        out.detach(),
        *(torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)),
    ]


def check(clauses: str, unused: float, *tokens: int) -> None:
    names = [name for name in TYPES if f"{name}[" in clauses]
    params = ", ".join(f"{name}: {TYPES[name]}" for name in names)
    compilation = compile_text(f"attention zoo({params}):\n    {clauses}\n")
    module, kernels = load_module("zoo", compilation.module), evaluated(compilation)
    function = compilation.function()

    def called(attend: Callable[..., Any], **also: Any) -> Callable[..., Any]:
        return lambda q, k, v, given: attend(q, k, v, **{name: given[name] for name in names}, **also)

    expected = gradients(called(function.reference), torch.float64, unused, tokens)
    assert all(x.isfinite().all() for x in expected)
    on_cpu = gradients(called(module.zoo, backend="cpu"), torch.float64, unused, tokens)
    by_kernels = gradients(called(kernels.zoo, backend="triton"), torch.float32, unused, tokens)
    for mine, narrow, theirs in zip(on_cpu, by_kernels, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(narrow.double(), theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("clauses", CHOICES)
@pytest.mark.parametrize(("number", "unused"), STEEP)
def test_a_side_that_is_not_taken(clauses: str, number: str, unused: float) -> None:
    i, j = (f"({number.format(f'w[b, {axis}]')})" for axis in "ij")
    check(clauses.format(i=i, j=j), unused, 0, 1, 4)


@pytest.mark.parametrize("clauses", UNUSED)
def test_a_row_without_a_use(clauses: str) -> None:
    check(clauses.format(i="(1 / w[b, i])"), 0.0, 0)
