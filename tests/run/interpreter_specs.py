"""Attentions for the tests of this room, in the text of the IR: the defaults of the language, and what differs."""

from __future__ import annotations

import torch
from read_ir import parse_ir
from verify_ir import verify

from attnc.ir.nodes import Attention

SOFTMAX = "exp(s) / sum(exp(s))"


def spec(*params: str, grid: tuple[str, ...] = (), name: str = "sample", **clauses: str) -> Attention:
    words = {
        "query": "q",
        "key": "k",
        "value": "v",
        "mask": "true",
        "score": "dot(q, k) * scale",
        "normalize": SOFTMAX,
        "output": "o",
    } | clauses
    lines = [f"attention {name}", *(f"param {param}" for param in params), *(f"grid {axis}" for axis in grid)]
    attention = parse_ir("\n".join([*lines, *(f"{word} {term}" for word, term in words.items())]))
    verify(attention)
    return attention


def tensors(
    B: int = 2, H: int = 4, HKV: int = 2, N: int = 5, M: int = 7, D: int = 6, DV: int = 4,
    dtype: torch.dtype = torch.float64, seed: int = 0, grad: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    make = torch.Generator().manual_seed(seed)
    shapes = (B, H, N, D), (B, HKV, M, D), (B, HKV, M, DV)
    q, k, v = (
        torch.randn(shape, generator=make, dtype=torch.float64).to(dtype).requires_grad_(grad)
        for shape in shapes
    )
    return q, k, v
