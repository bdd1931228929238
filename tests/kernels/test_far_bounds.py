"""Numbers far beyond all positions: kernels read them in 32 bits, and see the same keys as the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_checks import compile_text, evaluated
from torch import Tensor

import attnc

FAR = (2**40, -(2**40), 2**31, -(2**31) - 1, 2**31 - 1, 2**32 + 5, 2**30 + 1, -(2**62), 3, 0, 17)
SHIFTS = (2**40, -(2**40) - 1, 2**31 - 2, -(2**31), 2**62, -(2**62) + 3)


def assert_same(text: str, heads: int, backends: Sequence[str], **arguments: Any) -> None:
    """Output and gradients by the kernels, by the CPU path where it is asked for, and by the interpreter."""
    compilation = compile_text(text)
    make = torch.Generator().manual_seed(0)
    leaves = [torch.randn(1, heads, 41, 16, generator=make).requires_grad_() for _ in range(3)]
    functions = [partial(evaluated(compilation).zoo, backend=backend) for backend in backends]
    found = []
    for f in (*functions, attnc.compile(text, backend="reference")):
        out = f(*leaves, **arguments)
        found.append((out, *torch.autograd.grad(out.square().sum(), leaves)))
    for mine in found[:-1]:
        for one, theirs in zip(mine, found[-1], strict=True):
            torch.testing.assert_close(one, theirs, rtol=1e-4, atol=1e-5)


REFUSED = """
import sys, torch, attnc

f = attnc.load(sys.argv[1], backend="triton")
q, k, v = (torch.randn(1, 2, 41, 16) for _ in range(3))
try:
    f(q, k, v, far=int(sys.argv[2]))
except attnc.AttncError as error:
    print(error)
"""


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize(
    "mask", ["start[b, i] <= j and j < end[b, i]", "start[b, j] <= i and i <= end[b, j]"]
)
def test_numbers_beyond_all_positions(mask: str, dtype: torch.dtype) -> None:
    start, end = (torch.tensor([[FAR[(5 * n + s) % len(FAR)] for n in range(41)]]) for s in (1, 2))
    text = f"attention zoo(start: int[B, N], end: int[B, N]):\n    mask {mask}\n"
    assert_same(text, 2, ["triton"], start=within(start, dtype), end=within(end, dtype))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize(
    "mask", ["(i + shift[h]) // size == (j + shift[h]) // size", "(i - j + shift[h]) % size < 3"]
)
def test_shifts_beyond_all_positions(mask: str, dtype: torch.dtype) -> None:
    """What is read as its remainder: 64 bits of it matter."""
    text = f"attention zoo(shift: int[H], size: int):\n    mask {mask}\n"
    assert_same(text, 6, ["triton"], shift=within(torch.tensor(SHIFTS), dtype), size=7)


def within(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers in a dtype, at its ends where they lie beyond them."""
    return numbers.clamp(torch.iinfo(dtype).min, torch.iinfo(dtype).max).to(dtype)


NEAR_AND_FAR = (5, 2**29, 2**31 - 1, 2**40, 2**61)


@pytest.mark.parametrize(
    "mask",
    [
        "j < i + far",
        "i - j < far and j <= i + 3",
        "i - far < j and j < i + 2",
        "not (j - 3 < i + far) or abs(i - j) < 3",
    ],
)
def test_numbers_that_are_compared(mask: str) -> None:
    """Windows without an end: they are cut off, and no sum with them overflows."""
    for far in (*NEAR_AND_FAR, *(-number for number in NEAR_AND_FAR)):
        assert_same(f"attention zoo(far: int):\n    mask {mask}\n", 1, ["triton", "cpu"], far=far)


@pytest.mark.parametrize(
    "mask", ["i * 2000000011 <= j * 2000000011", "j < i * 3000000000 and i * 3000000000 <= j + far"]
)
def test_products_of_positions(mask: str) -> None:
    """They have 64 bits."""
    for far in (1, 2**28):
        assert_same(f"attention zoo(far: int):\n    mask {mask}\n", 1, ["triton", "cpu"], far=far)


def test_more_than_32_bits_are_refused(tmp_path: Path) -> None:
    text = "attention zoo(far: int):\n    mask (i + j) // far == 0\n"
    for far in (1, 50, 2**28):
        assert_same(text, 1, ["triton", "cpu"], far=far)
    spec = tmp_path / "zoo.attn"
    spec.write_text(text)
    command = [sys.executable, "-c", REFUSED, str(spec), str(2**31 - 1)]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == (
        "error[wrong-value]: `M + N + far` needs 536870911 or less in a kernel, got 2147483729\n"
        "= note: kernels count positions and numbers in 32 bits\n"
    ), done.stderr
