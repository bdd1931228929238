"""Calls under torch.compile: numbers that change from call to call do not make a graph each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from attnc.compiler import compile

# A number in the score, one of tokens, one behind the kernel, two passes, ints and floats in turn.
SPECS = {
    "capped": (
        "attention capped(window: int, cap: float, low: float = 0.5):\n"
        "    mask j <= i and i - j < window\n"
        "    score cap * tanh(dot(q, k) * scale / cap) + low\n"
    ),
    "turned": (
        "attention turned(cap: float):\n"
        "    query rope(q, i, cap)\n"
        "    key rope(k, j, cap)\n"
        "    mask j <= i\n"
        "    output o * cap\n"
    ),
    "summed": (
        "attention summed(cap: float):\n"
        "    mask j <= i\n"
        "    score dot(q, k) * scale + cap\n"
        "    normalize relu(s) / (1 + sum(relu(s)))\n"
    ),
}
MORE: dict[str, dict[str, Any]] = {"capped": {"window": 3}, "turned": {}, "summed": {}}


def counted(call: Callable[..., Tensor], **options: Any) -> tuple[Callable[..., Tensor], list[int]]:
    """The call compiled, and a list that gets an entry for each graph."""
    graphs: list[int] = []

    def backend(graph: Any, example: Any) -> Any:
        from torch._dynamo.backends.debugging import aot_eager

        graphs.append(len(graph.graph.nodes))
        return aot_eager(graph, example)

    torch._dynamo.reset()
    return torch.compile(call, fullgraph=True, backend=backend, **options), graphs


def gradient(call: Callable[..., Tensor], q: Tensor, **given: Any) -> tuple[Tensor, Tensor]:
    leaf = q.clone().requires_grad_()
    out = call(leaf, **given)
    return out, torch.autograd.grad(out.sin().sum(), leaf)[0]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("changes", ["cap", "scale"])
def test_a_float_that_changes_makes_one_graph_more(name: str, changes: str) -> None:
    """Values and gradients are those of the call without a compiler, to the bit."""
    f, q = compile(SPECS[name]), torch.linspace(-2, 2, 80).sin().view(1, 2, 10, 4)
    given = MORE[name] | {"cap": 2.0, "scale": 0.5}
    through, graphs = counted(lambda q, **more: f(q, q, q, **more))
    for value in (0.5, 0.75, 1.25, 3.0, 0.1, 7.0):
        found = gradient(through, q, **(given | {changes: value}))
        wanted = gradient(lambda q, **more: f(q, q, q, **more), q, **(given | {changes: value}))
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert len(graphs) == 2


def test_a_float_that_stays_is_no_tensor_of_the_graph() -> None:
    """One on the CPU would keep CUDA graphs away."""
    f, q = compile(SPECS["capped"]), torch.randn(1, 2, 10, 4)
    seen: list[Any] = []

    def backend(graph: Any, example: Any) -> Any:
        seen.extend(node.args for node in graph.graph.nodes if "attention" in str(node.target))
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(lambda q: f(q, q, q, window=3, cap=2.0), fullgraph=True, backend=backend)
    assert torch.equal(compiled(q), f(q, q, q, window=3, cap=2.0))
    assert [args[-2:] for args in seen] == [([0.5, 2.0, 0.5], None)]
