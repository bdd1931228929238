"""Lists of tiles and places in arrays are never those of an array as it was.

A mask's array is changed in place between two calls: output and gradients are those of the array as it is.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from kernel_checks import compile_text, evaluated
from torch import Tensor

from attnc.compiler import compile

SPECS = {
    "documents": "attention listed(doc: int[B, N]):\n    mask doc[b, i] == doc[b, j] and j <= i\n",
    "marked": "attention listed(doc: int[B, N]):\n    mask doc[b, j] == 2 or i == j\n",
    "dilated": "attention listed(doc: int[B, N]):\n    mask (i + j) % max(doc[b, j], 1) == 0\n",
    "sorted": "attention listed(doc: sorted int[B, N]):\n    mask doc[b, i] == doc[b, j] and j <= i\n",
    "distance": "attention listed(doc: int[B, N]):\n    mask abs(i - j) <= 9 + 9 * doc[0, 30]\n",
    "bounds": "attention listed(doc: int[B, N]):\n    mask j <= 9 * doc[b, i]\n",
}
DOCS = torch.tensor([0, 1, 2, 3]).repeat_interleave(11)[None]
CHANGED = torch.tensor([0, 1, 1, 4]).repeat_interleave(11)[None]


def results(f: Any, doc: Tensor, dtype: torch.dtype) -> list[Tensor]:
    make = torch.Generator().manual_seed(0)
    tensors = [torch.randn(1, 2, 44, 16, generator=make).to(dtype).requires_grad_() for _ in range(3)]
    out = f(*tensors, doc=doc)
    weights = torch.randn(out.shape, generator=make).to(dtype)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), tensors)]


def apart(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(float((a.double() - b.double()).abs().max()) for a, b in zip(found, expected, strict=True))


def emitted(name: str, backend: str) -> Any:
    if backend == "triton":
        return partial(evaluated(compile_text(SPECS[name])).listed, backend="triton")
    return compile(SPECS[name], backend=backend)


@pytest.mark.parametrize(
    ("backend", "dtype", "most"), [("cpu", torch.float64, 1e-12), ("triton", torch.float32, 1e-4)]
)
@pytest.mark.parametrize("name", SPECS)
def test_an_array_that_changes(name: str, backend: str, dtype: torch.dtype, most: float) -> None:
    f, meaning = emitted(name, backend), compile(SPECS[name], backend="reference")
    doc = DOCS.clone()
    before = results(f, doc, dtype)
    assert apart(before, results(meaning, doc.clone(), torch.float64)) < most
    doc[0] = CHANGED[0]
    after = results(f, doc, dtype)
    assert apart(after, results(meaning, doc.clone(), torch.float64)) < most
    assert apart(before, after) > 0.1, "nothing was changed"
    doc.copy_(DOCS)
    assert apart(results(f, doc, dtype), before) == 0.0


@pytest.mark.parametrize("backend", ["cpu", "triton"])
@pytest.mark.parametrize("name", SPECS)
def test_an_array_that_changes_before_the_backward_pass(name: str, backend: str) -> None:
    """Autograd itself refuses to go back through an array that is no longer what it was."""
    doc = DOCS.clone()
    q = torch.randn(1, 2, 44, 16, requires_grad=True)
    out = emitted(name, backend)(q, q, q, doc=doc)
    doc[0, 3] = 7
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()
