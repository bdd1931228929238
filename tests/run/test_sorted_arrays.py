"""A call with a `sorted` array that decreases is refused, however it comes to be made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from torch import Tensor

from attnc.compiler import compile
from attnc.errors import AttncError
from attnc.run.function import AttentionFunction
from attnc.run.loader import load_module

B, N = 2, 6
SPECS = {
    "packed": "attention packed(doc: sorted int[B, N]):\n    mask doc[b, i] == doc[b, j] and j <= i\n",
    # It decides over no range, and is a promise all the same.
    "scored": "attention scored(doc: sorted int[B, N]):\n    mask j <= i\n    score dot(q, k) + doc[b, j]\n",
    # Of two passes, the first has to ask.
    "two_passes": (
        "attention two_passes(doc: sorted int[B, N]):\n"
        "    mask doc[b, i] == doc[b, j]\n"
        "    normalize relu(s) / (1 + sum(relu(s)))\n"
    ),
}
q = torch.linspace(-1, 1, B * 2 * N * 4).sin().view(B, 2, N, 4)


class Plain(Tensor):
    """A subclass that changes nothing."""


class Layer(torch.nn.Module):
    def __init__(self, f: AttentionFunction) -> None:
        super().__init__()
        self.f = f

    def forward(self, q: Tensor, doc: Tensor) -> Tensor:
        return self.f(q, q, q, doc=doc)


Call = Callable[[Tensor, Tensor], Tensor]


def plain(f: AttentionFunction) -> Call:
    return Layer(f)


def exported(strict: bool) -> Callable[[AttentionFunction], Call]:
    given = q, torch.zeros(B, N, dtype=torch.int64)
    return lambda f: torch.export.export(Layer(f), given, strict=strict).module()


def compiled(f: AttentionFunction) -> Call:
    torch._dynamo.reset()
    return torch.compile(Layer(f), fullgraph=True, backend="aot_eager")


def alone(f: AttentionFunction) -> Call:
    call: Any = getattr(load_module(f.__name__, f._compilation.on_cpu.text), f.__name__)
    return lambda q, doc: call(q, q, q, doc=doc)


# How a call is made of a function, and how its array is given.
MAKE: dict[str, Callable[[AttentionFunction], Call]] = {
    "plainly": plain,
    "from the module": alone,
    "under vmap": lambda f: lambda q, doc: torch.func.vmap(Layer(f))(q[None], doc[None])[0],
    "under vjp": lambda f: lambda q, doc: torch.func.vjp(lambda q: f(q, q, q, doc=doc), q)[0],
    "checkpointed": lambda f: (
        lambda q, doc: torch.utils.checkpoint.checkpoint(Layer(f), q, doc, use_reentrant=False)
    ),
    "compiled": compiled,
    "exported": exported(strict=False),
    "exported strictly": exported(strict=True),
}
GIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "a tensor": lambda doc: doc,
    "a parameter": lambda doc: torch.nn.Parameter(doc, requires_grad=False),
    "a subclass": lambda doc: doc.as_subclass(Plain),
    "a view": lambda doc: torch.stack([doc, doc], -1)[..., 0],
    "in 32 bits": lambda doc: doc.int(),
}
MADE: dict[tuple[str, str], tuple[AttentionFunction, Call]] = {}


def made(name: str, way: str) -> tuple[AttentionFunction, Call]:
    if (name, way) not in MADE:
        f = compile(SPECS[name])
        MADE[name, way] = f, MAKE[way](f)
    return MADE[name, way]


@pytest.mark.parametrize("way", MAKE)
@pytest.mark.parametrize("name", SPECS)
def test_an_array_that_decreases_is_refused(name: str, way: str) -> None:
    f, call = made(name, way)
    given_as = ["a tensor"] if way.startswith(("exported", "compiled")) else list(GIVE)

    @given(
        st.lists(st.integers(-2, 2), min_size=B * N, max_size=B * N), st.booleans(), st.sampled_from(given_as)
    )
    @cases(100, 12)
    def check(entries: list[int], is_sorted: bool, kind: str) -> None:
        doc = torch.tensor(entries).view(B, N)
        doc = doc.sort()[0] if is_sorted else doc
        falls = (doc[:, 1:] < doc[:, :-1]).nonzero().tolist()
        if not falls:
            wanted = f.reference(q, q, q, doc=doc)
            torch.testing.assert_close(call(q, GIVE[kind](doc)), wanted, rtol=0, atol=1e-5)
            return
        row, column = falls[0]
        before, after = doc[row, column : column + 2].tolist()
        with pytest.raises((AttncError, ValueError)) as caught:
            call(q, GIVE[kind](doc))
        said = f"`doc` is declared `sorted`, and decreases at [{row}, {column + 1}], from {before} to {after}"
        assert said in str(caught.value)

    check()


def test_a_call_that_reads_no_data_is_not_refused() -> None:
    f = compile(SPECS["packed"])
    falling = torch.tensor([[3, 2, 1, 0, 0, 0]] * B)
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert f(*[mode.from_tensor(q)] * 3, doc=mode.from_tensor(falling)).shape == q.shape
    assert f(*[q.to("meta")] * 3, doc=falling.to("meta")).shape == q.shape
