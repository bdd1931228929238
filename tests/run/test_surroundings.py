"""What torch has set around a call: autocast, and a default device or dtype."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnc.compiler import compile

# One of each way that work leaves the operator, or goes into it.
SPECS = {
    "causal": "attention causal():\n    mask j <= i\n",
    "documents": "attention documents(doc: sorted int[B, N]):\n    mask doc[b, i] == doc[b, j] and j <= i\n",
    "listed": "attention listed(doc: int[B, N]):\n    mask doc[b, i] == doc[b, j]\n",
    "buckets": (
        "from std import t5_bucket\n"
        "attention buckets(bias: float[H, 32]):\n"
        "    score dot(q, k) + bias[h, t5_bucket(j - i, 32, 128, true)]\n"
    ),
    "turned": (
        "attention turned(gate: float[B, H, N, DV], theta: float = 100.0):\n"
        "    query rope(q, i, theta)\n"
        "    mask j <= i\n"
        "    output o * gate[b, h, i, :] + v_i\n"
    ),
    "summed": "attention summed():\n    mask j <= i\n    normalize relu(s) / (1 + sum(relu(s)))\n",
    "padded": "attention padded():\n    mask i - j < 3\n    normalize exp(s) / (1 + sum(exp(s)))\n",
}
B, H, N, D = 2, 2, 20, 8
every_spec = pytest.mark.parametrize("name", SPECS)


def call_of(name: str) -> tuple[list[Tensor], dict[str, Any]]:
    make = torch.Generator().manual_seed(3)
    tensors = [torch.randn(B, H, N, D, generator=make) for _ in range(3)]
    arrays = {
        "documents": {"doc": (torch.arange(N) // 7).expand(B, N)},
        "listed": {"doc": torch.randint(0, 3, (B, N), generator=make)},
        "buckets": {"bias": torch.randn(H, 32, generator=make)},
        "turned": {"gate": torch.randn(B, H, N, D, generator=make)},
    }
    return tensors, arrays.get(name, {})


def result_and_gradients(call: Any, tensors: list[Tensor], given: dict[str, Any]) -> list[Tensor]:
    leaves = [x.clone().requires_grad_() for x in tensors]
    out = call(*leaves, **given)
    return [out.detach(), *torch.autograd.grad(out.float().sin().sum(), leaves)]


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@every_spec
def test_a_default_device_is_that_of_nothing_in_a_call(name: str) -> None:
    f, (tensors, given) = compile(SPECS[name]), call_of(name)
    wanted = result_and_gradients(f, tensors, given)
    with default_device("meta"):
        leaves = [x.clone().requires_grad_() for x in tensors]
        out = f(*leaves, **given)
        found = [out.detach(), *torch.autograd.grad(out.sin().sum(), leaves)]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@every_spec
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_what_it_does_to_the_attention_of_torch(name: str, dtype: torch.dtype) -> None:
    """q, k and v are cast, mixed ones too, and the result has their dtype; float64 stays."""
    f, (tensors, given) = compile(SPECS[name]), call_of(name)
    mixed = [tensors[0], tensors[1].to(dtype), tensors[2]]
    cast = [x.to(dtype) for x in tensors]
    wanted = f(*cast, **given)
    with torch.autocast("cpu", dtype=dtype):
        torchs = scaled_dot_product_attention(*mixed)
        for found in (f(*tensors, **given), f(*mixed, **given), f.reference(*mixed, **given)):
            assert found.dtype == torchs.dtype == dtype
            torch.testing.assert_close(found, wanted, rtol=0.02, atol=0.02)
        assert torch.equal(f(*mixed, **given), wanted)
        wide = [x.double() for x in tensors]
        assert f(*wide, **given).dtype == scaled_dot_product_attention(*wide).dtype == torch.float64


def test_gradients_under_autocast_have_the_dtype_of_their_tensors() -> None:
    f, (tensors, given) = compile(SPECS["causal"]), call_of("causal")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        leaves = [x.clone().requires_grad_() for x in tensors]
        f(*leaves, **given).float().sum().backward()
    assert [x.grad.dtype for x in leaves if x.grad is not None] == [torch.float32] * 3


def test_autocast_in_a_graph() -> None:
    f, (tensors, given) = compile(SPECS["causal"]), call_of("causal")

    @torch.compile(fullgraph=True, backend="aot_eager")
    def call(*tensors: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return f(*tensors, **given)

    assert torch.equal(call(*tensors), f(*[x.bfloat16() for x in tensors], **given))
