"""A mask's array is changed in place between two calls: output and gradients are those of the array as it is.

Enters: a backend, as an argument of the command line or of `differences`. Leaves: for each call the largest difference
from the interpreter, and how much the change itself made of a difference.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import torch
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


def differences(backend: str) -> dict[str, dict[str, float]]:
    dtype = torch.float32 if backend == "triton" else torch.float64
    found: dict[str, dict[str, float]] = {}
    for name, text in SPECS.items():
        f, meaning = compile(text, backend=backend), compile(text, backend="reference")
        doc = DOCS.clone()
        before = results(f, doc, dtype)
        found[name] = {"before": apart(before, results(meaning, doc.clone(), torch.float64))}
        doc[0] = CHANGED[0]
        after = results(f, doc, dtype)
        found[name]["after"] = apart(after, results(meaning, doc.clone(), torch.float64))
        found[name]["change"] = apart(before, after)
        doc.copy_(DOCS)
        found[name]["back"] = apart(results(f, doc, dtype), before)
        found[name] |= _changed_before_backward(f, meaning, dtype)
    return found


def _changed_before_backward(f: Any, meaning: Any, dtype: torch.dtype) -> dict[str, float]:
    """Autograd itself refuses to go back through an array that is no longer what it was."""
    doc = DOCS.clone()
    q = torch.randn(1, 2, 44, 16, dtype=dtype, requires_grad=True)
    out = f(q, q, q, doc=doc)
    doc[0, 3] = 7
    try:
        out.sum().backward()
    except RuntimeError as error:
        return {"refused": float("modified by an inplace operation" in str(error))}
    return {"refused": 0.0}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(json.dumps(differences(sys.argv[1])))
