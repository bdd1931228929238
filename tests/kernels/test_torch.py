"""Emitted modules within torch: compiled, exported, differentiated twice over, under autocast, on views."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

import pytest
import torch
from kernel_checks import compile_text
from torch import Tensor

from attnc.run.loader import load_module

SPECS = {
    "causal": "attention zoo():\n    mask j <= i\n",
    "window": "attention zoo(w: int = 9, cap: float = 5.0):\n    mask j <= i and i - j < w\n"
    "    score cap * tanh(dot(q, k) * scale / cap)\n",
    "arrays": "attention zoo(bias: float[H, N, M], slope: float[H], kind: int[B, M]):\n    mask kind[b, j] < 4\n"
    "    score dot(q, k) * scale + bias[h, i, j] - abs(slope[h]) * abs(i - j)\n",
    "table": "attention zoo(t: float[H, 13]):\n    mask j <= i\n"
    "    score dot(q, k) * scale + t[h, min(i - j, 12)]\n",
    "per_token": "attention zoo(gate: float[B, H, N, DV], w: float[H, D]):\n"
    "    query l2(q) * w[h, :]\n    mask j <= i\n"
    "    score dot(q, k) * 3\n    output o * sigmoid(gate[b, h, i, :])\n",
    "passes": "attention zoo(z: float[H], u: float[B, M]):\n    let c = s - mean(s)\n    mask j <= i\n"
    "    normalize tanh(c * u[b, j]) / (1 + max(abs(c)) + exp(z[h]) * log(sum(exp(c))) ** 2)\n",
}
B, H, HKV, D, DV = 2, 4, 2, 8, 6


def module_of(name: str) -> ModuleType:
    return load_module("zoo", compile_text(SPECS[name]).module)


def arguments_of(
    name: str, n: int = 19, dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor], dict[str, Any]]:
    make = torch.Generator().manual_seed(n)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make, dtype=torch.float64).to(dtype).requires_grad_()

    tensors = [normal(B, H, n, D), normal(B, HKV, n, D), normal(B, HKV, n, DV)]
    others: dict[str, dict[str, Any]] = {
        "causal": {},
        "window": {"w": 7},
        "arrays": {
            "bias": normal(H, n, n),
            "slope": normal(H),
            "kind": torch.randint(0, 6, (B, n), generator=make),
        },
        "table": {"t": normal(H, 13)},
        "passes": {"z": normal(H), "u": normal(B, n)},
        "per_token": {"gate": normal(B, H, n, DV), "w": normal(H, D)},
    }
    return tensors, others[name]


def leaves(tensors: list[Tensor], others: dict[str, Any]) -> list[Tensor]:
    return [x for x in [*tensors, *others.values()] if isinstance(x, Tensor) and x.requires_grad]


def value_and_gradients(f: Any, tensors: list[Tensor], others: dict[str, Any]) -> list[Tensor]:
    out = f(*tensors, **others)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = (out * weights.to(out.dtype)).sum()
    return [out.detach(), *torch.autograd.grad(loss, leaves(tensors, others))]


@pytest.mark.parametrize("name", SPECS)
def test_opcheck(name: str) -> None:
    module = module_of(name)
    tensors, others = arguments_of(name)
    calls: list[tuple[Any, ...]] = []
    forward, backward = module._attention, module._attention_backward

    class Recorder:
        def __init__(self, op: Any) -> None:
            self.op = op

        def __call__(self, *args: Any) -> Any:
            calls.append((self.op, args))
            return self.op(*args)

    module._attention, module._attention_backward = Recorder(forward), Recorder(backward)
    try:
        value_and_gradients(module.zoo, tensors, others)
    finally:
        module._attention, module._attention_backward = forward, backward
    assert [op for op, _ in calls] == [forward, backward]
    for op, args in calls:
        fresh = tuple(
            x.detach().requires_grad_(x.is_floating_point() and op is forward) if isinstance(x, Tensor) else x
            for x in args
        )
        torch.library.opcheck(op, fresh)


@pytest.mark.parametrize("name", SPECS)
def test_gradcheck(name: str) -> None:
    tensors, others = arguments_of(name, n=5)
    names = [n for n, x in others.items() if isinstance(x, Tensor) and x.requires_grad]
    fixed = {n: x for n, x in others.items() if n not in names}

    def call(q: Tensor, k: Tensor, v: Tensor, *arrays: Tensor) -> Any:
        also = {} if name == "passes" else {"return_lse": True}
        return module_of(name).zoo(q, k, v, **fixed, **dict(zip(names, arrays, strict=True)), **also)

    given = (*tensors, *(others[n] for n in names))
    assert torch.autograd.gradcheck(call, given, fast_mode=True)


def compiled(name: str, backend: str) -> None:
    torch._dynamo.reset()
    function = torch.compile(module_of(name).zoo, fullgraph=True, dynamic=True, backend=backend)
    for n in (19, 33, 150):
        tensors, others = arguments_of(name, n)
        got = value_and_gradients(function, tensors, others)
        for a, b in zip(got, value_and_gradients(module_of(name).zoo, tensors, others), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SPECS)
def test_compile_of_any_length(name: str) -> None:
    compiled(name, "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_compile_with_inductor(name: str) -> None:
    compiled(name, "inductor")


class Layer(torch.nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.attend = module_of(name).zoo

    def forward(self, q: Tensor, k: Tensor, v: Tensor, others: dict[str, Any]) -> Tensor:
        result: Tensor = self.attend(q, k, v, **others)
        return result * 2


@pytest.mark.parametrize("name", SPECS)
def test_export(name: str) -> None:
    tensors, others = arguments_of(name, 19)
    tensors = [x.detach() for x in tensors]
    others = {n: x.detach() if isinstance(x, Tensor) else x for n, x in others.items()}
    exported = torch.export.export(Layer(name), (*tensors, others))
    torch.testing.assert_close(exported.module()(*tensors, others), Layer(name)(*tensors, others))


def test_export_of_any_length() -> None:
    length = torch.export.Dim("length", min=2, max=4096)
    tensors, _ = arguments_of("window", 19)
    shapes = ({2: length}, {2: length}, {2: length}, {"w": None})
    exported = torch.export.export(
        Layer("window"), (*(x.detach() for x in tensors), {"w": 7}), dynamic_shapes=shapes
    )
    longer, _ = arguments_of("window", 140)
    torch.testing.assert_close(exported.module()(*longer, {"w": 7}), Layer("window")(*longer, {"w": 7}))


@pytest.mark.parametrize("name", SPECS)
def test_two_runs_are_alike_to_the_bit(name: str) -> None:
    tensors, others = arguments_of(name, 150, torch.float32)
    first, second = (value_and_gradients(module_of(name).zoo, tensors, others) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", SPECS)
def test_twice_in_one_graph(name: str) -> None:
    tensors, others = arguments_of(name)
    f = module_of(name).zoo
    once = value_and_gradients(f, tensors, others)
    twice = value_and_gradients(lambda *a, **p: f(*a, **p) + f(*a, **p), tensors, others)
    for a, b in zip(once, twice, strict=True):
        torch.testing.assert_close(2 * a, b)


def test_a_graph_that_is_kept_gives_the_same_gradients_again() -> None:
    tensors, others = arguments_of("arrays")
    loss = module_of("arrays").zoo(*tensors, **others).sum()
    first = torch.autograd.grad(loss, leaves(tensors, others), retain_graph=True)
    second = torch.autograd.grad(loss, leaves(tensors, others))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", SPECS)
def test_without_gradients(name: str) -> None:
    tensors, others = arguments_of(name)
    f = module_of(name).zoo
    expected = f(*tensors, **others).detach()
    with torch.no_grad():
        out = f(*tensors, **others)
        assert not out.requires_grad and torch.equal(out, expected)
    with torch.inference_mode():
        assert torch.equal(f(*tensors, **others), expected)


@pytest.mark.parametrize("name", SPECS)
def test_each_gradient_alone(name: str) -> None:
    """What asks for no gradient gets none, and does not change those of the others."""
    tensors, others = arguments_of(name)
    f = module_of(name).zoo
    every = value_and_gradients(f, tensors, others)[1:]
    for n in range(len(every)):
        ts, os = copy.deepcopy(tensors), copy.deepcopy(others)
        mine = leaves(ts, os)
        for at, x in enumerate(mine):
            x.requires_grad_(at == n)
        alone = value_and_gradients(f, ts, os)[1:]
        assert len(alone) == 1 and torch.equal(alone[0], every[n])


def test_second_derivatives_are_refused() -> None:
    """There is no kernel for them, and zero would be a wrong answer."""
    tensors, _ = arguments_of("causal")
    out = module_of("causal").zoo(*tensors)
    (g,) = torch.autograd.grad(out.square().sum(), tensors[:1], create_graph=True)
    with pytest.raises(RuntimeError, match=r"a second derivative of `.*` was asked for, and there is none"):
        torch.autograd.grad(g.sum(), tensors[:1])


@pytest.mark.parametrize("name", SPECS)
def test_autocast_is_a_cast_of_q_k_and_v(name: str) -> None:
    """As it is of torch's own attention. Nothing else of a call has another dtype for it."""
    tensors, others = arguments_of(name, dtype=torch.float32)
    f = module_of(name).zoo

    def cast(*tensors: Tensor, **others: Any) -> Tensor:
        out: Tensor = f(*(x.bfloat16() for x in tensors), **others)
        return out

    expected = value_and_gradients(cast, tensors, others)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = value_and_gradients(f, tensors, others)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def test_inputs_are_left_as_they_were() -> None:
    tensors, others = arguments_of("arrays", dtype=torch.float32)
    before = [x.clone() for x in [*tensors, *others.values()]]
    value_and_gradients(module_of("arrays").zoo, tensors, others)
    assert all(torch.equal(a, b) for a, b in zip(before, [*tensors, *others.values()], strict=True))


def test_a_gradient_that_is_expanded_or_strided() -> None:
    tensors, _ = arguments_of("causal")
    out = module_of("causal").zoo(*tensors)
    whole = torch.autograd.grad(out, tensors, torch.ones_like(out), retain_graph=True)
    for dout in (torch.ones(()).double().expand(out.shape), torch.ones_like(out.mT).mT):
        got = torch.autograd.grad(out, tensors, dout, retain_graph=True)
        assert all(torch.allclose(a, b) for a, b in zip(got, whole, strict=True))
