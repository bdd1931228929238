"""The gradients of keys where programs share the heads of a group: the same as by one program, and bits that stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_checks import Measure, assert_holds, case_for, compile_text

from attnc.evaluate import load_evaluated
from attnc.inspect import plan_launches
from attnc.inspect.build import specialize
from attnc.inspect.targets import SM_90
from attnc.run.loader import load_module
from attnc.verify.cases import Case

SPECS = {
    "causal": "attention zoo():\n    mask j <= i\n",
    "empty_rows": "attention zoo():\n    mask j < 30 * i - 40\n",
    "listed": "attention zoo():\n    mask j <= i and ispow2(i - j)\n",
    "two_dots": """
attention zoo(r: float[B, H, N, 8], x: float[B, M, 8]):
    mask  j <= i
    score (dot(q, k) + dot(r[b, h, i, :], x[b, j, :])) * scale
""",
    "by_head": """
attention zoo(slope: float[H], column: float[B, H, M]):
    mask  j <= i
    score dot(q, k) * slope[h] + column[b, h, j]
""",
    "sums": """
attention zoo(u: float[H]):
    mask      j <= i
    normalize relu(s) ** 2 / (u[h] ** 2 + sum(relu(s)))
""",
    "passes": "attention zoo():\n    mask j <= i\n    normalize exp(-(s - mean(s)) ** 2)\n",
}
CALLS = [
    Case("numpy", "float16", N=37, M=29, H=6, HKV=2, B=2, layout="sliced", variant=1, splits=2),
    Case("numpy", "float32", N=19, M=40, D=24, DV=40, H=5, HKV=1, layout="transposed", variant=2, splits=3),
    Case("numpy", "float32", N=20, M=33, DV=8, H=3, HKV=1, layout="strided", scale=-0.3, splits=9),
]


@pytest.mark.parametrize("name", SPECS)
def test_values_and_gradients(measure: Measure, name: str) -> None:
    compilation = compile_text(SPECS[name])
    for case in CALLS:
        assert_holds(measure(compilation, case_for(compilation, case, tile=(16, 16))))


# ---- the choice of a call --------------------------------------------------------------------------


def test_two_programs_for_each_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        is_cuda, device = True, 0
        multi_processor_count = 132

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card)
    module = load_module("zoo", compile_text(SPECS["causal"]).module)
    for programs, shares in ((1, 264), (32, 8), (64, 4), (132, 2), (133, 1), (4096, 1), (0, 264)):
        assert module._shares(Card, programs) == shares, programs


def test_lengths_do_not_compile_anew() -> None:
    compilation, keys = compile_text(SPECS["causal"]), set[str]()
    for n, m in ((1, 4096), (100, 2), (8191, 8191), (16, 64), (333, 17)):
        for launch in plan_launches(compilation, SM_90, 64, "bfloat16", {"N": n, "M": m}):
            if launch.name == "backward_keys":
                keys.add(specialize(launch, SM_90)[0])
    assert len(keys) == 1


def test_the_same_bits_twice_by_a_choice_of_its_own() -> None:
    """Where there is no GPU a call counts eight processors, so that heads are shared there too."""
    module = load_evaluated("twice", compile_text(SPECS["causal"]).module)
    vars(module)["_choose"] = lambda backend, q: backend
    inputs = [torch.randn(1, h, 50, 16, requires_grad=True) for h in (6, 2, 2)]
    launched: list[tuple[int, ...]] = []
    own = module._backward_keys

    class Noted:
        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            launched.append(grid)
            return own[grid]

    vars(module)["_backward_keys"] = Noted()

    def gradients() -> tuple[torch.Tensor, ...]:
        out = module.zoo(*inputs, backend="triton")
        return torch.autograd.grad(out, inputs, torch.linspace(-1, 1, out.numel()).view(out.shape))

    assert all(map(torch.equal, gradients(), gradients()))
    looks = 2
    assert launched == [(2, 2 * 3, 1)] * 2 * looks
