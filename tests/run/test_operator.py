"""The operator of a module as torch sees it: opcheck, compile, export, checkpointing, gradcheck, on the CPU."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from compilations import EXAMPLES, example
from torch import Tensor

from attnc.compiler import Compilation, load
from attnc.errors import AttncError
from attnc.kernel.nodes import Function
from attnc.lower.host.operator import lower_operators
from attnc.run.loader import load_module
from attnc.source import Source

CALLS: dict[str, dict[str, Any]] = {
    "causal": {},
    "sliding_window": {"window": 9},
    "gemma2_local": {"window": 11, "cap": 3.0},
    "streaming_llm": {"sinks": 2, "window": 7},
    "alibi": {"slope": torch.tensor([0.5, 0.25, 0.1, 0.0], dtype=torch.float64)},
    "t5_bias": {"bias": torch.linspace(-1, 1, 4 * 32, dtype=torch.float64).view(4, 32)},
}


def module_of(name: str) -> ModuleType:
    return load_module(name, example(name).module)


def inputs(n: int = 20, m: int = 20, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(n)
    shapes = [(2, 4, n, 8), (2, 2, m, 8), (2, 2, m, 6)]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def arguments(name: str) -> dict[str, Any]:
    return {
        key: value.clone().requires_grad_() if isinstance(value, Tensor) else value
        for key, value in CALLS[name].items()
    }


@pytest.mark.parametrize("name", ["sliding_window", "alibi", "t5_bias"])
def test_opcheck(name: str) -> None:
    module, seen = module_of(name), []
    operator, given = module._attention, arguments(name)

    def spy(*args: Any) -> Any:
        seen.append(args)
        return operator(*args)

    module._attention = spy
    try:
        getattr(module, name)(*inputs(), **given)
    finally:
        module._attention = operator
    torch.library.opcheck(operator, seen[0])


@pytest.mark.parametrize("name", CALLS)
def test_gradcheck(name: str) -> None:
    f, given = load(EXAMPLES / f"{name}.attn"), arguments(name)
    tensors = {key: value for key, value in given.items() if isinstance(value, Tensor)}

    def call(q: Tensor, k: Tensor, v: Tensor, *arrays: Tensor) -> Any:
        extra = given | dict(zip(tensors, arrays, strict=True))
        return f(q, k, v, **extra, return_lse=True)

    q, k, v = (x[:1, :, :7].detach().requires_grad_() for x in inputs(7, 7))
    assert torch.autograd.gradcheck(call, (q, k, v, *tensors.values()), fast_mode=True)


@pytest.mark.parametrize("name", ["sliding_window", "alibi"])
def test_one_graph_for_changing_lengths(name: str) -> None:
    f, given = load(EXAMPLES / f"{name}.attn"), arguments(name)
    graphs = 0

    def count(graph: Any, example: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(
        lambda q, k, v: f(q, k, v, **given) * 2, fullgraph=True, dynamic=True, backend=count
    )
    for n in (20, 33, 50):
        q, k, v = inputs(n, n)
        assert torch.equal(compiled(q, k, v), f(q, k, v, **given) * 2)
    assert graphs == 1


def test_gradients_through_a_compiled_graph() -> None:
    f = load(EXAMPLES / "sliding_window.attn")
    torch._dynamo.reset()
    compiled = torch.compile(lambda q, k, v: f(q, k, v, window=9).sin(), fullgraph=True, backend="aot_eager")
    plain, through = inputs(), inputs()
    f(*plain, window=9).sin().sum().backward()
    compiled(*through).sum().backward()
    for a, b in zip(plain, through, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-14)


def test_export_with_a_free_length() -> None:
    f = load(EXAMPLES / "sliding_window.attn")

    class Layer(torch.nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return f(q, k, v, window=9)

    length = torch.export.Dim("length", min=2, max=4096)
    axes = {2: length}
    given = tuple(x.detach() for x in inputs())
    program = torch.export.export(Layer(), given, dynamic_shapes=(axes, axes, axes))
    longer = tuple(x.detach() for x in inputs(41, 41))
    torch.testing.assert_close(program.module()(*longer), f(*longer, window=9))


def test_checkpointing() -> None:
    f = load(EXAMPLES / "alibi.attn")
    plain, again, given = inputs(), inputs(), arguments("alibi")
    f(*plain, **given).sum().backward()
    slope = given["slope"].grad.clone()
    given["slope"].grad = None
    torch.utils.checkpoint.checkpoint(lambda *x: f(*x, **given), *again, use_reentrant=False).sum().backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(plain, again, strict=True))
    assert torch.equal(slope, given["slope"].grad)


@pytest.mark.parametrize("name", CALLS)
def test_two_backward_runs_give_the_same_bits(name: str) -> None:
    f = load(EXAMPLES / f"{name}.attn")

    def gradients() -> list[Tensor]:
        leaves, given = inputs(150, 150, torch.float32), arguments(name)
        leaves += [value for value in given.values() if isinstance(value, Tensor)]
        return list(torch.autograd.grad(f(*leaves[:3], **given).square().sum(), leaves))

    assert all(torch.equal(a, b) for a, b in zip(gradients(), gradients(), strict=True))


def test_only_what_is_asked_for_is_differentiated() -> None:
    f = load(EXAMPLES / "t5_bias.attn")
    q, k, v = inputs()
    bias = CALLS["t5_bias"]["bias"]
    (dq,) = torch.autograd.grad(f(q, k.detach(), v.detach(), bias=bias).sum(), q)
    everything = torch.autograd.grad(f(q, k, v, **arguments("t5_bias")).sum(), q)
    assert torch.equal(dq, everything[0])
    out, lse = f(q, k, v, bias=bias, return_lse=True)
    (dv,) = torch.autograd.grad(lse.sum(), v, allow_unused=True)
    assert dv is None or not dv.any()
    with torch.no_grad():
        assert not f(q, k, v, bias=bias).requires_grad
    assert out.requires_grad


@pytest.mark.parametrize(
    ("count", "sort", "told"),
    [
        (56, "float", "its backward pass takes 67 arguments, and an operator of torch 64 at most"),
        (62, "int", "its forward pass takes 68 arguments, and an operator of torch 64 at most"),
    ],
)
def test_more_arrays_than_an_operator_takes(count: int, sort: str, told: str) -> None:
    """The plan says so, and `explain` tells it."""
    compilation = _with_arrays(count, sort)
    with pytest.raises(AttncError) as refused:
        _ = compilation.plan
    (diagnostic,) = refused.value.diagnostics
    assert diagnostic.code == "no-kernel"
    assert diagnostic.message == f"`many` has no kernel yet: {told}"
    words = " ".join(compilation.explain().split())
    assert f"plan no kernel: `many` has no kernel yet: {told} - keep arrays of the same sizes in one" in words


@pytest.mark.parametrize(("count", "sort"), [(53, "float"), (53, "int")])
def test_as_many_arrays_as_an_operator_takes(count: int, sort: str) -> None:
    """What the plan counts is what the operators of the module take."""
    compilation = _with_arrays(count, sort)
    taken = {
        fn.name: len(fn.params)
        for each in compilation.kernels.sweeps
        for fn in lower_operators(each)
        if isinstance(fn, Function) and fn.decorator == "_operator"
    }
    assert max(taken.values()) == 64
    with pytest.raises(AttncError):
        _ = _with_arrays(count + 1, sort).plan


def _with_arrays(count: int, sort: str) -> Compilation:
    params = ", ".join(f"t{n}: {sort}[H]" for n in range(count))
    lets = [f"    let part_{n} = {' + '.join(f't{m}[h]' for m in range(n, count, 8))}\n" for n in range(8)]
    total = " + ".join(f"part_{n}" for n in range(8))
    text = f"attention many({params}):\n{''.join(lets)}    score dot(q, k) * scale + {total}\n"
    return Compilation(Source("many.attn", text))
