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


def _run(program: str, spec: Path) -> None:
    command = [sys.executable, "-c", program, str(spec)]
    done = subprocess.run(
        command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True
    )
    assert done.stdout == "same\n", done.stderr
