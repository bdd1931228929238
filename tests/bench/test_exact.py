"""A part of a call is the call at these rows, and mistakes in any result show."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from compilations import compiled, example
from torch import Tensor

from attnc.bench.call import make_call
from attnc.bench.exact import Part, choose_parts, find_errors, narrow
from attnc.compiler import Compilation
from attnc.run.interpreter import interpret

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {"B": 2, "H": 4, "HKV": 2, "D": 8, "N": 50}
GIVEN: dict[str, dict[str, Any]] = {
    "sliding_window": {"window": 9, "M": 70},
    "natten_2d": {"rows": 10, "cols": 5, "wy": 3, "wx": 3},
    "music_transformer": {"reach": 7},
    "gated_attention": {},
    "lssar": {},
    "packed_documents": {},
    "t5_bias": {},
    "swin": {"rows": 10, "cols": 5, "size": 3, "shift": torch.tensor([0, 1, 2, 0])},
    "tree_decoding": {"M": 90, "context": 40, "ancestor": torch.rand(2, 50, 50).round().bool()},
}


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_a_part_is_the_call_at_its_rows(name: str) -> None:
    compilation = example(name)
    given = SIZES | GIVEN[name]
    call = make_call(compilation.attention, compilation.facts, CPU, torch.float64, given)
    whole = compilation.function().reference(call.q, call.k, call.v, **call.arguments)
    part = Part(1, 3, 17, 40)
    tensors = call.q[part.place], call.k[1, 1], call.v[1, 1]
    narrowed = narrow(compilation.attention, call, part)
    got = interpret(narrowed, *(x[None, None] for x in tensors), call.arguments)
    assert isinstance(whole, Tensor) and isinstance(got, Tensor)
    torch.testing.assert_close(got[0, 0], whole[part.place])


def a_call() -> tuple[Compilation, Any]:
    text = "attention a(t: float[H]):\n    mask j <= i\n    score dot(q, k) * scale - t[h] * (i - j)\n"
    compilation = compiled(text)
    given = SIZES | {"N": 200, "M": 220}
    return compilation, make_call(compilation.attention, compilation.facts, CPU, torch.float64, given)


def test_emitted_code_holds_at_all_parts() -> None:
    compilation, call = a_call()
    parts = choose_parts(call)
    assert len(parts) == 4 and min(part.first for part in parts) == 0 and max(p.end for p in parts) == 200
    function = compilation.function()
    errors = find_errors(
        compilation.attention, lambda q, k, v: function(q, k, v, **call.arguments), call, parts, True
    )
    assert list(errors) == ["out", "dq", "dk", "dv"] and max(errors.values()) < 1e-12


@pytest.mark.parametrize(
    ("wrong", "shows"), [("out", "out"), ("q", "dq"), ("k", "dk"), ("v", "dv"), ("other head", "dk")]
)
def test_every_mistake_shows(wrong: str, shows: str) -> None:
    compilation, call = a_call()
    function = compilation.function()

    class Off(torch.autograd.Function):
        """The same numbers, with a gradient that is a little off."""

        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            g = g.clone()
            if wrong == "other head":
                g[1, 0, 3, 2] += 1e-3
            else:
                g *= 1.01
            return g

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        tensors = {"q": q, "k": k, "v": v}
        name = "k" if wrong == "other head" else wrong
        if name in tensors:
            tensors[name] = Off.apply(tensors[name])
        out = function(*tensors.values(), **call.arguments)
        return out * 1.01 if wrong == "out" else out

    parts = (
        [part for part in choose_parts(call) if part.b == 0] if wrong == "other head" else choose_parts(call)
    )
    errors = find_errors(compilation.attention, attend, call, parts, True)
    assert errors[shows] > 1e-3
    if wrong in ("q", "k", "v"):
        assert [name for name, error in errors.items() if error > 1e-3] == [shows]


def test_few_rows_are_one_part_of_each_head() -> None:
    compilation = compiled("attention a():\n    mask true\n")
    call = make_call(compilation.attention, compilation.facts, CPU, torch.float32, {"N": 1, "M": 30, "H": 6})
    assert choose_parts(call) == [Part(0, 0, 0, 1), Part(0, 2, 0, 1), Part(0, 3, 0, 1), Part(0, 5, 0, 1)]
