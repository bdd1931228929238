"""Attention under the transforms of torch.func, against the same done sample by sample with the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from compilations import compiled
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from torch import Tensor
from torch.autograd import forward_ad

from attnc.compiler import compile
from attnc.run.function import AttentionFunction

B, H, HKV, N, D = 2, 4, 2, 5, 4

# Arrays with and without batch entries, entries with another use, places, lists, two passes, work on single tokens.
SPECS = {
    "causal": "attention causal():\n    mask j <= i\n",
    "documents": "attention documents(doc: sorted int[B, N]):\n    mask doc[b, i] == doc[b, j] and j <= i\n",
    "listed": "attention listed(doc: int[B, N]):\n    mask doc[b, i] == doc[b, j]\n",
    "biased": (
        "attention biased(bias: float[B, H, N, M], length: int[B]):\n"
        "    mask j < length[b] + 2\n"
        "    score dot(q, k) * scale + bias[b, h, i, j]\n"
    ),
    "sloped": "attention sloped(slope: float[H]):\n    mask j <= i\n    score dot(q, k) - slope[h] * (i - j)\n",
    "by_entry": "attention by_entry(bias: float[B, N]):\n    mask j <= i + b\n    score dot(q, k) + bias[b, i]\n",
    "of_half": "attention of_half(bias: float[B, H]):\n    mask j <= i\n    score dot(q, k) + bias[b // 2, h] * j\n",
    "two_passes": (
        "attention two_passes(bias: float[B, M]):\n"
        "    mask j <= i\n"
        "    normalize relu(s + bias[b, j]) / (1 + sum(relu(s + bias[b, j])))\n"
    ),
    "mapped": (
        "attention mapped(gate: float[B, H, N, DV], w: float[D]):\n"
        "    query q * w[:]\n"
        "    mask j <= i\n"
        "    output o * gate[b, h, i, :]\n"
    ),
}
SHAPES = {"bias": {"biased": (B, H, N, N), "by_entry": (B, N), "of_half": (B, H), "two_passes": (B, N)}}
every_spec = pytest.mark.parametrize("name", SPECS)
FUNCTIONS: dict[str, AttentionFunction] = {}


def function(name: str) -> AttentionFunction:
    if name not in FUNCTIONS:
        FUNCTIONS[name] = compile(SPECS[name])
    return FUNCTIONS[name]


def operands(name: str) -> list[str]:
    """All tensors of a call."""
    return ["q", "k", "v", *(p.name for p in compiled(SPECS[name]).attention.params)]


def operand(name: str, tensor: str, make: torch.Generator) -> Tensor:
    if tensor == "doc":
        doc = torch.randint(0, 3, (B, N), generator=make)
        return doc.sort()[0] if name == "documents" else doc
    if tensor == "length":
        return torch.randint(0, N, (B,), generator=make)
    heads = {"q": H, "k": HKV, "v": HKV}
    shape = {"slope": (H,), "gate": (B, H, N, D), "w": (D,)}.get(tensor)
    shape = shape or ((B, heads[tensor], N, D) if tensor in heads else SHAPES[tensor][name])
    return torch.randn(shape, generator=make, dtype=torch.float64)


Call = Callable[..., Tensor]
Samples = dict[str, int]  # the axis of the samples of each operand that has them


def draw_call(name: str, samples: Samples, size: int, seed: int) -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(seed)
    found = {}
    for tensor in operands(name):
        count = size if tensor in samples else 1
        drawn = [operand(name, tensor, make) for _ in range(count)]
        found[tensor] = torch.stack(drawn, samples[tensor]) if tensor in samples else drawn[0]
    return found


def each_sample(given: dict[str, Tensor], samples: Samples, size: int) -> list[dict[str, Tensor]]:
    return [
        {key: x.select(samples[key], n) if key in samples else x for key, x in given.items()}
        for n in range(size)
    ]


@st.composite
def batches(draw: st.DrawFn) -> tuple[str, Samples, int, int]:
    name = draw(st.sampled_from(sorted(SPECS)))
    chosen = draw(st.lists(st.sampled_from(operands(name)), min_size=1, unique=True))
    ranks = {key: operand(name, key, torch.Generator()).ndim for key in chosen}
    samples = {key: draw(st.integers(-1, ranks[key])) for key in chosen}
    return name, samples, draw(st.integers(1, 3)), draw(st.integers(0, 99))


@given(batches())
@cases(200)
def test_samples_are_what_each_of_them_is_alone(drawn: tuple[str, Samples, int, int]) -> None:
    name, samples, size, seed = drawn
    f, call = function(name), draw_call(name, samples, size, seed)
    axes = {key: samples.get(key) for key in call}
    keys = list(call)
    found = torch.func.vmap(lambda *x: f(**dict(zip(keys, x, strict=True))), tuple(axes.values()))(
        *call.values()
    )
    wanted = torch.stack([f.reference(**each) for each in each_sample(call, samples, size)])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@given(batches())
@cases(200)
def test_gradients_of_samples_are_those_of_each_alone(drawn: tuple[str, Samples, int, int]) -> None:
    """The gradient of every sample, also for what all of them share; and of a sum over the samples."""
    name, samples, size, seed = drawn
    f, call = function(name), draw_call(name, samples, size, seed)
    floats = tuple(n for n, x in enumerate(call.values()) if x.is_floating_point())
    axes, keys = tuple(samples.get(key) for key in call), list(call)

    def loss(*given: Tensor) -> Tensor:
        return f(**dict(zip(keys, given, strict=True))).sin().square().sum()

    of_each = torch.func.vmap(torch.func.grad(loss, argnums=floats), axes)(*call.values())
    of_all = torch.func.grad(lambda *x: torch.func.vmap(loss, axes)(*x).sum(), argnums=floats)(*call.values())
    wanted = []
    for each in each_sample(call, samples, size):
        leaves = [x.clone().requires_grad_(x.is_floating_point()) for x in each.values()]
        out = f.reference(**dict(zip(keys, leaves, strict=True))).sin().square().sum()
        wanted.append(torch.autograd.grad(out, [leaves[n] for n in floats], materialize_grads=True))
    for place, n in enumerate(floats):
        alone = torch.stack([gradients[place] for gradients in wanted])
        torch.testing.assert_close(of_each[place], alone, rtol=0, atol=1e-11)
        axis = axes[n]
        whole = alone.sum(0) if axis is None else alone.movedim(0, axis)
        torch.testing.assert_close(of_all[place], whole, rtol=0, atol=1e-11)


@every_spec
def test_no_samples_have_the_shapes_of_one(name: str) -> None:
    f, call = function(name), draw_call(name, {}, 1, 7)
    keys = [*call]

    def loss(*given: Tensor) -> Tensor:
        return f(**dict(zip(keys, given, strict=True))).sum()

    none = [x.expand(0, *x.shape) for x in call.values()]
    assert torch.func.vmap(lambda *x: f(**dict(zip(keys, x, strict=True))))(*none).shape == (0, B, H, N, D)
    assert torch.func.vmap(torch.func.grad(loss))(*none).shape == (0, B, H, N, D)


@every_spec
def test_jacobians(name: str) -> None:
    f, call = function(name), draw_call(name, {}, 1, 7)
    inputs = call["q"], call["v"]

    def rows_of(g: Call) -> Call:
        return lambda q, v: g(**(call | {"q": q, "v": v}))[:1, :2, :2]

    found = torch.func.jacrev(rows_of(f), argnums=(0, 1))(*inputs)
    wanted = torch.autograd.functional.jacobian(rows_of(f.reference), inputs)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11)


def test_which_samples_are_one_call() -> None:
    """Samples are more batch entries wherever nothing else speaks of entries: the kernels run once for all."""
    names = {name: _entries(compiled(SPECS[name]).module) for name in SPECS}
    assert names == {
        "causal": ["q", "k", "v"],
        "documents": ["q", "k", "v", "doc", "doc_start", "doc_end"],
        "listed": ["q", "k", "v", "doc"],
        "biased": ["q", "k", "v", "bias", "length"],
        "sloped": ["q", "k", "v"],
        "by_entry": [],
        "of_half": [],
        "two_passes": ["q", "k", "v", "bias"],
        "mapped": ["q", "k", "v", "gate"],
    }


def _entries(module: str) -> list[str]:
    """What the operator of the output says of itself."""
    said = module.rpartition("_derive(")[2].partition("\n\n")[0]
    return said.split('"')[1::2]


# ---- what there is no derivative for ---------------------------------------------------------------


def tangent_of_dual(call: Call, q: Tensor) -> Any:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(call(forward_ad.make_dual(q, torch.ones_like(q)))).tangent


FORWARD: dict[str, Callable[[Call, Tensor], Any]] = {
    "jvp": lambda call, q: torch.func.jvp(call, (q,), (torch.ones_like(q),)),
    "jacfwd": lambda call, q: torch.func.jacfwd(call)(q),
    "linearize": lambda call, q: torch.func.linearize(call, q),
    "hessian": lambda call, q: torch.func.hessian(lambda q: call(q).sum())(q),
    "vmap of jvp": lambda call, q: torch.func.vmap(lambda q: torch.func.jvp(call, (q,), (q,)))(q[None]),
    "jvp of vmap": lambda call, q: torch.func.jvp(torch.func.vmap(call), (q[None],), (q[None],)),
    "dual numbers": tangent_of_dual,
    "dual numbers of a leaf": lambda call, q: tangent_of_dual(call, q.clone().requires_grad_()),
    "dual numbers in a graph": lambda call, q: tangent_of_dual(torch.compile(call, backend="aot_eager"), q),
}


@pytest.mark.parametrize("way", FORWARD)
@pytest.mark.parametrize("name", ["biased", "two_passes", "mapped"])
def test_forward_mode_is_refused_in_words(way: str, name: str) -> None:
    """It was zero."""
    f, call = function(name), draw_call(name, {}, 1, 3)
    torch._dynamo.reset()
    for key in {"q", "bias"} & call.keys():
        with pytest.raises(NotImplementedError) as caught:
            FORWARD[way](lambda x, key=key: f(**(call | {key: x})), call[key])
        assert str(caught.value) == (
            f"a forward-mode derivative of `{_namespace(f)}` was asked for, and there is none; "
            "`torch.func.vjp`, `torch.func.jacrev` and `backward` have the gradient"
        )


def _namespace(f: AttentionFunction) -> str:
    from attnc.run.loader import load_module

    return load_module(f.__name__, f._compilation.on_cpu.text)._LIBRARY.ns


def test_a_second_derivative_is_refused_in_words() -> None:
    f, call = function("causal"), draw_call("causal", {}, 1, 3)
    inner = torch.func.grad(lambda q: f(**(call | {"q": q})).sum())
    with pytest.raises(
        RuntimeError, match=r"^a second derivative of `attnc_modules_causal_\w+` was asked for"
    ):
        torch.func.grad(lambda q: inner(q).sum())(call["q"])
