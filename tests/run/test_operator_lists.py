"""Operators whose tiles are listed, or whose bounds are places in arrays, as torch sees them, on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from compilations import compiled
from torch import Tensor

from attnc.compiler import compile
from attnc.run.loader import load_module

SPECS = {
    "listed": (
        "attention listed(doc: int[B, N], slope: float[H]):\n"
        "    mask doc[b, i] == doc[b, j] or j <= i and i - j < 3\n"
        "    score dot(q, k) * scale - abs(slope[h]) * abs(i - j)\n"
    ),
    "by_sorted": (
        "attention by_sorted(doc: sorted int[B, N], slope: float[H]):\n"
        "    mask doc[b, i] == doc[b, j] and j <= i\n"
        "    score dot(q, k) * scale - abs(slope[h]) * abs(i - j)\n"
    ),
    "by_numbers": (
        "attention by_numbers(t: float[H, M], slope: float[H], doc: int[B, N]):\n"
        "    mask t[h, j] < 0.3 or doc[b, i] == j % 4\n"
        "    score dot(q, k) * scale + slope[h] * t[h, j]\n"
    ),
}
every_spec = pytest.mark.parametrize("name", SPECS)


def call_of(name: str, n: int, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], dict[str, Tensor]]:
    make = torch.Generator().manual_seed(n)
    shapes = [(2, 4, n, 8), (2, 2, n, 8), (2, 2, n, 6)]
    tensors = [torch.randn(shape, generator=make, dtype=dtype).requires_grad_() for shape in shapes]
    doc = torch.randint(0, 4, (2, n), generator=make)
    given = {
        "doc": doc.sort()[0] if name == "by_sorted" else doc,
        "slope": torch.tensor([0.5, 0.25, 0.1, 0.7], dtype=dtype, requires_grad=True),
    }
    if name == "by_numbers":
        given["t"] = torch.randn(4, n, generator=make, dtype=dtype).requires_grad_()
    return tensors, given


def leaves(tensors: list[Tensor], given: dict[str, Tensor]) -> list[Tensor]:
    return [x for x in (*tensors, *given.values()) if x.requires_grad]


def test_specs_go_the_ways_they_are_here_for() -> None:
    sweeps = {name: compiled(text).plan.last for name, text in SPECS.items()}
    assert {name: sorted(sweep.cover.listed) for name, sweep in sweeps.items()} == {
        "listed": ["i", "j"], "by_sorted": [], "by_numbers": ["i", "j"]
    }  # fmt: skip
    assert sweeps["by_sorted"].tokens.places


@every_spec
def test_opcheck(name: str) -> None:
    """Of the forward and of the backward operator."""
    module = load_module(name, compiled(SPECS[name]).module)
    tensors, given = call_of(name, 20)
    operators = {part: getattr(module, part) for part in ("_attention", "_attention_backward")}
    seen: dict[str, tuple[Any, ...]] = {}

    def spy(part: str) -> Any:
        def call(*args: Any) -> Any:
            seen[part] = tuple(a.detach() if isinstance(a, Tensor) else a for a in args)
            return operators[part](*args)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for part in operators:
            patch.setattr(module, part, spy(part))
        getattr(module, name)(*tensors, **given).square().sum().backward()
    assert seen.keys() == operators.keys()
    torch.library.opcheck(operators["_attention_backward"], seen["_attention_backward"])
    again = (*seen["_attention"],)
    torch.library.opcheck(
        operators["_attention"],
        tuple(a.requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a for a in again),
    )


@every_spec
def test_gradcheck(name: str) -> None:
    f = compile(SPECS[name])
    tensors, given = call_of(name, 7)
    floats = {key: value for key, value in given.items() if value.is_floating_point()}

    def call(q: Tensor, k: Tensor, v: Tensor, *arrays: Tensor) -> Any:
        return f(q, k, v, **(given | dict(zip(floats, arrays, strict=True))), return_lse=True)

    assert torch.autograd.gradcheck(call, (*tensors, *floats.values()), fast_mode=True)


@every_spec
def test_more_than_one_tile_is_differentiated(name: str) -> None:
    """Values and gradients over several tiles of queries and keys, against the interpreter."""
    f, meaning = compile(SPECS[name]), compile(SPECS[name], backend="reference")
    tensors, given = call_of(name, 300)
    found = [f(*tensors, **given), meaning(*tensors, **given)]
    gradients = [torch.autograd.grad(out.sin().sum(), leaves(tensors, given)) for out in found]
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@every_spec
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_one_graph(name: str, backend: str) -> None:
    f = compile(SPECS[name])
    torch._dynamo.reset()
    compiled = torch.compile(lambda *x, **a: f(*x, **a).sin(), fullgraph=True, dynamic=True, backend=backend)
    for n in (20, 33, 150):
        tensors, given = call_of(name, n)
        plain, through = f(*tensors, **given).sin(), compiled(*tensors, **given)
        assert torch.equal(plain, through)
        wanted = torch.autograd.grad(plain.sum(), leaves(tensors, given))
        got = torch.autograd.grad(through.sum(), leaves(tensors, given))
        assert all(torch.allclose(a, b, rtol=0, atol=1e-13) for a, b in zip(wanted, got, strict=True))


@every_spec
def test_an_array_that_changes_within_a_graph(name: str) -> None:
    """Torch may run the change on a copy of its own: the second call must see it."""
    f = compile(SPECS[name])
    torch._dynamo.reset()

    def twice(q: Tensor, k: Tensor, v: Tensor, doc: Tensor, **given: Tensor) -> tuple[Tensor, Tensor]:
        first = f(q, k, v, doc=doc, **given)
        doc.add_(doc == 0)
        return first, f(q, k, v, doc=doc, **given)

    tensors, given = call_of(name, 40)
    tensors, given = [x.detach() for x in tensors], {key: x.detach() for key, x in given.items()}
    doc = given.pop("doc")
    plain = twice(*tensors, doc=doc.clone(), **given)
    assert not torch.equal(*plain)
    compiled = torch.compile(twice, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        through = compiled(*tensors, doc=doc.clone(), **given)
        assert all(torch.equal(a, b) for a, b in zip(plain, through, strict=True))
