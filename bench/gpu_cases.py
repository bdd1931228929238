"""What `gpu.py` measures, in order of importance.

Enters: nothing. Leaves: cases; and each of them at a size that a CPU computes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from documents import draw_documents
from torch import Tensor
from torch.nn.functional import logsigmoid

CAUSAL = "attention causal():\n    mask j <= i\n"
FULL = "attention full():\n    mask true\n"
LAST = "attention last():\n    mask j <= i + M - N\n"
WINDOW = "attention window(window: int):\n    mask j <= i and i - j < window\n"
DOCUMENTS = "attention documents(doc: sorted int[B, N]):\n    mask doc[b, i] == doc[b, j] and j <= i\n"
SINKS = """
attention sinks(sinks: float[H], window: int):
    mask      j <= i and i - j < window
    normalize sink(sinks[h])
"""
ALIBI = """
attention alibi(slope: float[H]):
    mask  j <= i
    score dot(q, k) * scale - slope[h] * (i - j)
"""
SOFTCAP = """
attention softcap(cap: float = 50.0):
    mask  j <= i
    score cap * tanh(dot(q, k) * scale / cap)
"""
RETENTION = """
attention retention(gamma: float[H]):
    mask      j <= i
    score     dot(q, k) * scale * gamma[h] ** (i - j)
    normalize none
"""
GATES = """
attention gates(G: float[B, H, N]):
    mask      j <= i
    score     dot(q, k) * scale * exp(G[b, h, i] - G[b, h, j])
    normalize none
"""
CHANNELS = """
attention channels(G: float[B, H, N, D]):
    mask      j <= i
    score     sum_d(q * k * exp(G[b, h, i, :] - G[b, h, j, :])) * scale
    normalize none
"""
ELU = """
from std import elu1

attention linear():
    query     elu1(q)
    key       elu1(k)
    mask      j <= i
    score     dot(q, k)
    normalize s / sum(s)
"""

Draw = Callable[[Mapping[str, int], torch.Generator], dict[str, Tensor]]
# Operators of flash-linear-attention.
Operator = Literal["retention", "simple_gla", "gla", "linear_attn"]


def _documents(given: Mapping[str, int], generator: torch.Generator) -> dict[str, Tensor]:
    """Of 64 to 4096 tokens."""
    return {"doc": draw_documents(given["N"], generator)}


def _decays(given: Mapping[str, int], generator: torch.Generator) -> dict[str, Tensor]:
    """Those of RetNet: heads look back 32 tokens, 64, and so on, up to 4096."""
    heads = torch.arange(given["H"], dtype=torch.float64)
    return {"gamma": 1 - 2.0 ** -(5 + 7 * heads / max(1, given["H"] - 1))}


def _gates(*sizes: str) -> Draw:
    """The running sum of the logarithms of gates, which are drawn as at the start of training GLA."""

    def draw(given: Mapping[str, int], generator: torch.Generator) -> dict[str, Tensor]:
        drawn = torch.randn([given[size] for size in sizes], generator=generator, dtype=torch.float64)
        return {"G": (logsigmoid(drawn) / 16).cumsum(2)}

    return draw


@dataclass(frozen=True)
class Case:
    """`given` are sizes and numbers, and `draw` makes arrays.

    `new_mask` says that FlexAttention also makes its mask in every call, and `linear` what flash-linear-attention has.
    """

    name: str
    spec: str
    given: Mapping[str, int]
    draw: Draw | None = None
    has_backward: bool = True
    new_mask: bool = False
    linear: Operator | None = None

    @property
    def values(self) -> dict[str, Any]:
        """All that is given, and what is drawn."""
        if self.draw is None:
            return dict(self.given)
        return {**self.given, **self.draw(self.given, torch.Generator().manual_seed(0))}


def _sizes(b: int, h: int, hkv: int, n: int, d: int, **others: int) -> dict[str, int]:
    return {"B": b, "H": h, "HKV": hkv, "N": n, "D": d, **others}


CASES = (
    Case("causal D128 8k", CAUSAL, _sizes(2, 16, 16, 8192, 128)),
    Case("window 512 D128 8k", WINDOW, _sizes(2, 16, 16, 8192, 128, window=512), new_mask=True),
    Case("causal 8:1 D128 8k", CAUSAL, _sizes(1, 32, 4, 8192, 128)),
    Case("documents D128 16k", DOCUMENTS, _sizes(1, 16, 16, 16384, 128), _documents, new_mask=True),
    Case("retention D128 8k", RETENTION, _sizes(2, 16, 16, 8192, 128), _decays, linear="retention"),
    Case("channels D128 8k", CHANNELS, _sizes(2, 16, 16, 8192, 128), _gates(*"BHND"), linear="gla"),
    Case("decode 8:1 D128 32k", FULL, _sizes(1, 32, 4, 1, 128, M=32768), has_backward=False),
    Case("full D128 8k", FULL, _sizes(2, 16, 16, 8192, 128)),
    Case("causal D64 8k", CAUSAL, _sizes(2, 32, 32, 8192, 64)),
    Case("sinks 128 8:1 D64 8k", SINKS, _sizes(1, 64, 8, 8192, 64, window=128)),
    Case("alibi D128 8k", ALIBI, _sizes(2, 16, 16, 8192, 128)),
    Case("softcap D128 8k", SOFTCAP, _sizes(2, 16, 16, 8192, 128)),
    Case("last 16 of 32k 8:1 D128", LAST, _sizes(4, 32, 4, 16, 128, M=32768), has_backward=False),
    Case("window 512 D64 8k", WINDOW, _sizes(2, 32, 32, 8192, 64, window=512)),
    Case("gates D64 8k", GATES, _sizes(2, 32, 32, 8192, 64), _gates(*"BHN"), linear="simple_gla"),
    Case("elu + 1 D64 8k", ELU, _sizes(2, 32, 32, 8192, 64), linear="linear_attn"),
    Case("causal D128 2k", CAUSAL, _sizes(8, 16, 16, 2048, 128)),
    Case("causal D128 32k", CAUSAL, _sizes(1, 8, 8, 32768, 128)),
)


def make_small(case: Case) -> Case:
    """The same at sizes that a CPU computes at once."""
    small = {"B": 1, "H": 4, "HKV": 4 if case.given["H"] == case.given["HKV"] else 2, "D": 16, "M": 96}
    given = {name: small.get(name, size) for name, size in case.given.items()}
    given["N"] = min(given["N"], 72)
    given |= {"window": 24} if "window" in given else {}
    return replace(case, given=given)
