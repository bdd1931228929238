"""Sums of slices: what they mean at every pair, and what becomes of their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import attnc
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.source import Source

HEAD = "attention summed({params}):\n{mask}    score     {score}\n    normalize {normalize}\n"
ENDS = ("0", "i", "j", "j + 1", "i + 1", "min(i, j)", "max(i, j) + 1", "N", "i // 2", "clamp(j - 1, 0, N)")


def of(
    score: str, params: str = "g: float[B, H, N]", mask: str = "", normalize: str = "softmax"
) -> Compilation:
    mask = f"    mask      {mask}\n" if mask else ""
    text = HEAD.format(params=params, mask=mask, score=score, normalize=normalize)
    return Compilation(Source("summed.attn", text))


def inputs(n: int, *shape: int) -> list[Tensor]:
    torch.manual_seed(n)
    sizes = [(2, 3, n, 4)] * 3 + [(2, 3, n, *shape)]
    return [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]


def with_gradients(result: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    torch.manual_seed(1)
    return [result, *torch.autograd.grad(result, tensors, torch.randn_like(result), materialize_grads=True)]


def dense(q: Tensor, k: Tensor, v: Tensor, steps: Callable[[int, int], Tensor]) -> Tensor:
    """Softmax of dot products and the numbers of pairs, [B, H] each, one pair after the other."""
    n = q.shape[2]
    rows = [torch.stack([steps(i, j) for j in range(n)], -1) for i in range(n)]
    return (q @ k.mT / 2 + torch.stack(rows, -2)).softmax(-1) @ v


@given(first=st.sampled_from(ENDS), end=st.sampled_from(ENDS), n=st.integers(1, 7))
@settings(max_examples=12)
def test_a_slice_is_that_of_python(first: str, end: str, n: int) -> None:
    """On the interpreter and on the CPU path: the same numbers, and 0 where the end is in front of the beginning."""
    compilation = of(f"dot(q, k) * scale + total(g[b, h, {first} : {end}])")
    *tensors, g = inputs(n)

    def steps(i: int, j: int) -> Tensor:
        names: dict[str, Any] = {"i": i, "j": j, "N": n, "min": min, "max": max}
        names["clamp"] = lambda x, lo, hi: min(max(x, lo), hi)
        a, z = eval(first, names), eval(end, names)
        return g[:, :, a:z].sum(-1)

    expected = with_gradients(dense(*tensors, steps), [*tensors, g])
    function = attnc.compile(compilation.source.text)
    for call in (function.reference, function):
        found = with_gradients(call(*tensors, g=g), [*tensors, g])
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_rows_are_summed_feature_by_feature() -> None:
    *tensors, g = inputs(6, 4)
    text = of("dot(q + total(g[b, h, 0 : i, :]), k) * scale", "g: float[B, H, N, D]").source.text
    q, k, v = tensors
    before = torch.cat([torch.zeros_like(g[:, :, :1]), g.cumsum(2)[:, :, :-1]], 2)
    expected = with_gradients(((q + before) @ k.mT / 2).softmax(-1) @ v, [*tensors, g])
    function = attnc.compile(text)
    for call in (function.reference, function):
        found = with_gradients(call(*tensors, g=g), [*tensors, g])
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("mask", ["j <= i", "j <= i and i - j < 3"])
@pytest.mark.parametrize(
    ("params", "score"),
    [
        ("g: float[B, H, N]", "dot(q, k) * exp(total(g[b, h, j + 1 : i + 1]))"),
        ("g: float[B, H, N, D]", "sum_d(q * k * exp(total(g[b, h, j + 1 : i + 1, :])))"),
    ],
    ids=["numbers", "channels"],
)
def test_a_decay_by_its_steps_is_linear(mask: str, params: str, score: str) -> None:
    """As a running sum that is passed is; with a window neither is."""
    compilation = of(score, params, mask, "none")
    explained = " ".join(compilation.explain().split())
    if mask == "j <= i":
        assert "is a decay: a state fades by it from token" in explained
        running = score.replace("total(g[b, h, j + 1 : i + 1", "(g[b, h, i").replace(
            "]))", "] - g[b, h, j]))"
        )
        running = running.replace("i, :] - g[b, h, j]", "i, :] - g[b, h, j, :]")
        *tensors, g = inputs(70, *([4] if "D" in params else []))
        g = g.detach().sigmoid().log()
        one = attnc.compile(compilation.source.text)(*tensors, g=g)
        two = attnc.compile(of(running, params, mask, "none").source.text)(*tensors, g=g.cumsum(2))
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)
    else:
        assert "keys leave the window again" in explained


def test_pair_by_pair_it_is_said_that_sums_are_rounded() -> None:
    said = "sums of a slice are found in float64, and rounded once to the precision of scores"
    steps = "total(g[b, h, j + 1 : i + 1])"
    assert said in " ".join(of(f"dot(q, k) + {steps}", mask="j <= i").explain().split())
    assert said not in " ".join(
        of(f"dot(q, k) * exp({steps})", mask="j <= i", normalize="none").explain().split()
    )


def test_steps_do_not_lose_what_a_running_sum_in_float32_does() -> None:
    """Neighbors at the end of a long sequence: the exponent between them is that of one step."""
    n = 40_000
    g = torch.full((1, 1, n), -3.0) - torch.linspace(0, 1, n)
    q = torch.zeros(1, 1, n, 8)
    q[..., 0] = 1
    v = torch.zeros(1, 1, n, 1)
    v[:, :, -2] = 1
    by_steps = of("dot(q, k) * exp(total(g[b, h, j + 1 : i + 1]))", mask="j <= i", normalize="none")
    out = attnc.compile(by_steps.source.text)(q, q, v, g=g)
    torch.testing.assert_close(out[0, 0, -1, 0], g[0, 0, -1].exp(), rtol=1e-6, atol=0)


def test_what_is_outside_of_the_array_is_refused() -> None:
    *tensors, g = inputs(4)
    function = attnc.compile(of("dot(q, k) + total(g[b, h, 0 : i + 2])").source.text)
    for call in (function.reference, function):
        with pytest.raises((AttncError, ValueError)) as caught:
            call(*tensors, g=g)
        assert "`g` has size 4 along axis 2, and index 4 is read at b = 0, h = 0, i = 3" in str(caught.value)


def test_nothing_is_read_of_an_empty_slice() -> None:
    """An array without tokens has the sum 0 of none of them."""
    *tensors, _ = inputs(3)
    function = attnc.compile(
        of("dot(q, k) * scale + total(g[b, 0 : 0 * i])", "g: float[B, n], n: int").source.text
    )
    expected = torch.nn.functional.scaled_dot_product_attention(*tensors)
    for call in (function.reference, function):
        found = call(*tensors, g=torch.zeros(2, 1), n=1)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
