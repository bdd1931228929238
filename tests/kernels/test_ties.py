"""Keys with the same, largest number: a maximum is the number of the first that a row sees, and so is its gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_checks import compile_text
from torch import Tensor

from attnc.compiler import Compilation
from attnc.run.interpreter import interpret
from attnc.verify.cases import Case
from attnc.verify.measure import emitted

# A mask whose tiles are full before they are edges, one whose tiles are edges first, and keys that begin late.
MASKS = ("i <= j", "j <= i", "abs(i - j) < 40", "i + j > 3 and ispow2(i + j)")
CASES = {
    "cpu": Case("cpu", "float64", N=150, M=150, D=4, DV=4, H=2, HKV=1),
    "kernels": Case("numpy", "float32", N=70, M=70, D=4, DV=4, H=2, HKV=1, tile=(16, 16)),
    "shares": Case("numpy", "float32", N=9, M=70, D=4, DV=4, H=2, HKV=1, tile=(16, 16), splits=3),
    # More shares than are merged at once, each with a tile or two.
    "many shares": Case("numpy", "float32", N=4, M=600, D=4, DV=4, H=2, HKV=1, tile=(16, 16), splits=20),
}


def gradients(attend: Any, case: Case, shift: int) -> tuple[Tensor, ...]:
    """Of whole numbers, which no order of a sum changes; keys are one of three."""
    draw = torch.Generator().manual_seed(shift)
    dtype = getattr(torch, case.dtype)
    kinds = torch.randint(-2, 3, (3, case.D), generator=draw)
    of_keys = kinds[(torch.arange(case.M) // 2 + shift) % 3].expand(1, case.HKV, -1, -1)
    of_queries = torch.randint(-2, 3, (1, case.H, case.N, case.D), generator=draw)
    of_values = torch.randint(-2, 3, (1, case.HKV, case.M, case.DV), generator=draw)
    dout = torch.randint(-2, 3, (1, case.H, case.N, case.DV), generator=draw).to(dtype)
    q, k, v = (x.to(dtype).requires_grad_() for x in (of_queries, of_keys, of_values))
    out = attend(q, k, v)
    return tuple(torch.autograd.grad(out, (q, k, v), dout))


def check(compilation: Compilation, case: Case, shift: int) -> None:
    found = gradients(lambda q, k, v: emitted(compilation, case)(q, k, v, 1.0)[0], case, shift)
    expected = gradients(
        lambda q, k, v: interpret(compilation.attention, q, k, v, {}, 1.0, False), case, shift
    )
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("case", CASES)
def test_the_first_of_equal_keys(case: str, mask: str) -> None:
    compilation = compile_text(f"attention zoo():\n    mask {mask}\n    normalize relu(s - max(s) + 1)\n")
    for shift in range(3):
        check(compilation, CASES[case], shift)
