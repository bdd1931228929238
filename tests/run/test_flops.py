"""What torch's counter of operations says of attention: products of the tiles that are visited."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from attnc.compiler import compile
from attnc.run.function import AttentionFunction
from attnc.run.mask import find_mask

SPECS = {
    "all": "attention all_of_it():\n    mask true\n",
    "causal": "attention causal():\n    mask j <= i\n",
    "window": "attention windowed(w: int):\n    mask j <= i and i - j < w\n",
    "documents": "attention packed(doc: sorted int[B, N]):\n    mask doc[b, i] == doc[b, j]\n",
    "listed": "attention listed(doc: int[B, N]):\n    mask doc[b, i] == doc[b, j]\n",
    "far": "attention far(c: float):\n    mask j <= i and (i - j) * scale < c\n",
}
B, H, N, D, DV = 2, 2, 400, 8, 4
TILE = 128


def call_of(name: str) -> tuple[list[Tensor], dict[str, Any]]:
    given: dict[str, dict[str, Any]] = {
        "window": {"w": 60},
        "documents": {"doc": (torch.arange(N) // 130).expand(B, N)},
        "listed": {"doc": (torch.arange(N) // TILE % 3).expand(B, N)},
        "far": {"c": 20.0},
    }
    return [torch.randn(B, H, N, D), torch.randn(B, H, N, D), torch.randn(B, H, N, DV)], given.get(name, {})


def visited(f: AttentionFunction, given: dict[str, Any], step: int) -> int:
    """Pairs in strips of TILE queries and `step` keys that hold a visible pair, by the interpreter."""
    values = given | {"scale": D**-0.5, "B": B, "H": H, "HKV": H, "N": N, "M": N, "D": D, "DV": DV}
    mask = find_mask(f._compilation.attention, values, 0, 0)
    pairs = 0
    for strip in mask.split(TILE):
        keys = strip.any(0)
        pairs += len(strip) * sum(len(part) for part in keys.split(step) if part.any())
    return B * H * pairs


def count(call: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", SPECS)
def test_products_of_visited_tiles_are_counted(name: str) -> None:
    f, (tensors, given) = compile(SPECS[name]), call_of(name)
    found = count(lambda: f(*tensors, **given))
    pairs, rest = divmod(found, 2 * (D + DV))
    assert rest == 0
    # Intervals begin with a whole cache line, and lists are made of tiles.
    assert visited(f, given, 1) <= pairs <= visited(f, given, TILE)
    assert (pairs == B * H * N * N) == (name == "all")
    leaves = [x.clone().requires_grad_() for x in tensors]
    back = count(lambda: f(*leaves, **given).sum().backward())
    assert back == found + 2 * pairs * (3 * D + 2 * DV)


def test_of_plain_attention_they_are_those_of_torch() -> None:
    f, (tensors, _) = compile(SPECS["all"]), call_of("all")
    shapes = [x.shape for x in tensors]
    leaves = [x.clone().requires_grad_() for x in tensors]
    forward, backward = sdpa_flop_count(*shapes), sdpa_backward_flop_count((*shapes[0][:3], DV), *shapes)
    assert count(lambda: f(*tensors)) == forward
    assert count(lambda: f(*leaves).sum().backward()) == forward + backward


def test_passes_that_weigh_no_values() -> None:
    text = "attention a():\n    mask j <= i\n    normalize relu(s - 1 / sum(sigmoid(s)))\n"
    f, (tensors, _) = compile(text), call_of("causal")
    found = count(lambda: f(*tensors))
    pairs = visited(f, {}, 1)
    assert found == 2 * pairs * (D + (D + DV))


def test_a_query_in_two_products_is_counted_twice() -> None:
    text = "attention two():\n    mask j <= i\n    score dot(q, k) + dot(q, k * k)\n"
    f, (tensors, _) = compile(text), call_of("causal")
    found = count(lambda: f(*tensors))
    pairs = visited(f, {}, 1)
    assert found == 2 * pairs * (2 * D + DV)
    leaves = [x.clone().requires_grad_() for x in tensors]
    assert count(lambda: f(*leaves).sum().backward()) == found + 2 * pairs * (6 * D + 2 * DV)


def test_without_data_a_mask_hides_nothing() -> None:
    f, (tensors, given) = compile(SPECS["documents"]), call_of("documents")
    whole = 2 * B * H * N * N * (D + DV)
    meta = [x.to("meta") for x in tensors]
    assert count(lambda: f(*meta, doc=given["doc"].to("meta"))) == whole
    with torch._subclasses.FakeTensorMode() as mode:
        fake = [mode.from_tensor(x) for x in tensors]
        assert count(lambda: f(*fake, doc=mode.from_tensor(given["doc"]))) == whole


def test_exported_programs_count_too() -> None:
    f, (tensors, given) = compile(SPECS["window"]), call_of("window")

    class Layer(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return f(*tensors, **given)

    program = torch.export.export(Layer(), tuple(tensors)).module()
    assert count(lambda: program(*tensors)) == count(lambda: f(*tensors, **given)) > 0


def test_a_counter_of_before_the_first_call() -> None:
    counter = FlopCounterMode(display=False)
    f, (tensors, given) = compile("attention late():\n    mask j <= i + 1\n"), call_of("causal")
    with counter:
        f(*tensors, **given)
    assert counter.get_total_flops() > 0


def test_a_call_loads_no_counter() -> None:
    code = (
        "import sys, torch, attnc; q = torch.randn(1, 2, 8, 8)\n"
        "attnc.compile('attention c():\\n    mask j <= i\\n')(q, q, q)\n"
        "assert not {'torch.utils.flop_counter', 'triton', 'torch._dynamo'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
