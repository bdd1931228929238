"""Numbers far beyond all positions: kernels read them in 32 bits, and see the same keys as the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FAR = """
import sys, torch, attnc

fs = [attnc.load(sys.argv[1], backend=backend) for backend in ("triton", "reference")]
torch.manual_seed(0)
far = [2**40, -(2**40), 2**31, -(2**31) - 1, 2**31 - 1, 2**32 + 5, 2**30 + 1, -(2**62), 3, 0, 17]
start, end = (torch.tensor([[far[(5 * n + s) % len(far)] for n in range(41)]]) for s in (1, 2))
for dtype in (torch.int64, torch.int32):
    q, k, v = (torch.randn(1, 2, 41, 16, requires_grad=True) for _ in range(3))
    least, most = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    bounds = {"start": start.clamp(least, most).to(dtype), "end": end.clamp(least, most).to(dtype)}
    found = []
    for f in fs:
        out = f(q, k, v, **bounds)
        found.append((out, *torch.autograd.grad(out.square().sum(), (q, k, v))))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
print("same")
"""


FAR_SHIFTS = """
import sys, torch, attnc

fs = [attnc.load(sys.argv[1], backend=backend) for backend in ("triton", "reference")]
torch.manual_seed(0)
far = [2**40, -(2**40) - 1, 2**31 - 2, -(2**31), 2**62, -(2**62) + 3]
for dtype in (torch.int64, torch.int32):
    least, most = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    q, k, v = (torch.randn(1, 6, 41, 16, requires_grad=True) for _ in range(3))
    shift = torch.tensor(far).clamp(least, most).to(dtype)
    found = []
    for f in fs:
        out = f(q, k, v, shift=shift, size=7)
        found.append((out, *torch.autograd.grad(out.square().sum(), (q, k, v))))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
print("same")
"""

FAR_NUMBERS = """
import sys, torch, attnc

fs = [attnc.load(sys.argv[1], backend=backend) for backend in ("triton", "cpu", "reference")]
torch.manual_seed(0)
for far in map(int, sys.argv[2:]):
    q, k, v = (torch.randn(1, 1, 41, 16, requires_grad=True) for _ in range(3))
    found = []
    for f in fs:
        out = f(q, k, v, far=far)
        found.append((out, *torch.autograd.grad(out.square().sum(), (q, k, v))))
    for mine in found[:2]:
        for one, theirs in zip(mine, found[2], strict=True):
            torch.testing.assert_close(one, theirs, rtol=1e-4, atol=1e-5)
print("same")
"""

REFUSED = """
import sys, torch, attnc

f = attnc.load(sys.argv[1], backend="triton")
q, k, v = (torch.randn(1, 2, 41, 16) for _ in range(3))
try:
    f(q, k, v, far=int(sys.argv[2]))
except attnc.AttncError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "mask", ["start[b, i] <= j and j < end[b, i]", "start[b, j] <= i and i <= end[b, j]"]
)
def test_numbers_beyond_all_positions(mask: str, tmp_path: Path) -> None:
    spec = tmp_path / "zoo.attn"
    spec.write_text(f"attention zoo(start: int[B, N], end: int[B, N]):\n    mask {mask}\n")
    _run(FAR, spec)


@pytest.mark.parametrize(
    "mask", ["(i + shift[h]) // size == (j + shift[h]) // size", "(i - j + shift[h]) % size < 3"]
)
def test_shifts_beyond_all_positions(mask: str, tmp_path: Path) -> None:
    """What is read as its remainder: 64 bits of it matter."""
    spec = tmp_path / "zoo.attn"
    spec.write_text(f"attention zoo(shift: int[H], size: int):\n    mask {mask}\n")
    _run(FAR_SHIFTS, spec)


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
def test_numbers_that_are_compared(mask: str, tmp_path: Path) -> None:
    """Windows without an end: they are cut off, and no sum with them overflows."""
    spec = tmp_path / "zoo.attn"
    spec.write_text(f"attention zoo(far: int):\n    mask {mask}\n")
    _run(FAR_NUMBERS, spec, *NEAR_AND_FAR, *(-number for number in NEAR_AND_FAR))


@pytest.mark.parametrize(
    "mask", ["i * 2000000011 <= j * 2000000011", "j < i * 3000000000 and i * 3000000000 <= j + far"]
)
def test_products_of_positions(mask: str, tmp_path: Path) -> None:
    """They have 64 bits."""
    spec = tmp_path / "zoo.attn"
    spec.write_text(f"attention zoo(far: int):\n    mask {mask}\n")
    _run(FAR_NUMBERS, spec, 1, 2**28)


def test_more_than_32_bits_are_refused(tmp_path: Path) -> None:
    spec = tmp_path / "zoo.attn"
    spec.write_text("attention zoo(far: int):\n    mask (i + j) // far == 0\n")
    _run(FAR_NUMBERS, spec, 1, 50, 2**28)
    said = (
        "error[wrong-value]: `M + N + far` needs 536870911 or less in a kernel, got 2147483729\n"
        "= note: kernels count positions and numbers in 32 bits\n"
    )
    assert _printed(REFUSED, spec, 2**31 - 1) == said


def _run(program: str, spec: Path, *numbers: int) -> None:
    assert _printed(program, spec, *numbers) == "same\n"


def _printed(program: str, spec: Path, *numbers: int) -> str:
    command = [sys.executable, "-c", program, str(spec), *map(str, numbers)]
    done = subprocess.run(
        command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert done.stdout, done.stderr
    return done.stdout
