"""What `gpu.py` measures, in order of importance.

Enters: nothing. Leaves: cases; and each of them at a size that a CPU computes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from documents import draw_documents

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


@dataclass(frozen=True)
class Case:
    """`given` are sizes and numbers; `new_mask` says that FlexAttention also makes its mask in every call."""

    name: str
    spec: str
    given: Mapping[str, int]
    has_backward: bool = True
    new_mask: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """All that is given, documents among it: of 64 to 4096 tokens."""
        if self.spec != DOCUMENTS:
            return dict(self.given)
        return {**self.given, "doc": draw_documents(self.given["N"], torch.Generator().manual_seed(0))}


def _sizes(b: int, h: int, hkv: int, n: int, d: int, **others: int) -> dict[str, int]:
    return {"B": b, "H": h, "HKV": hkv, "N": n, "D": d, **others}


CASES = (
    Case("causal D128 8k", CAUSAL, _sizes(2, 16, 16, 8192, 128)),
    Case("window 512 D128 8k", WINDOW, _sizes(2, 16, 16, 8192, 128, window=512), new_mask=True),
    Case("causal 8:1 D128 8k", CAUSAL, _sizes(1, 32, 4, 8192, 128)),
    Case("documents D128 16k", DOCUMENTS, _sizes(1, 16, 16, 16384, 128), new_mask=True),
    Case("decode 8:1 D128 32k", FULL, _sizes(1, 32, 4, 1, 128, M=32768), has_backward=False),
    Case("full D128 8k", FULL, _sizes(2, 16, 16, 8192, 128)),
    Case("causal D64 8k", CAUSAL, _sizes(2, 32, 32, 8192, 64)),
    Case("sinks 128 8:1 D64 8k", SINKS, _sizes(1, 64, 8, 8192, 64, window=128)),
    Case("alibi D128 8k", ALIBI, _sizes(2, 16, 16, 8192, 128)),
    Case("softcap D128 8k", SOFTCAP, _sizes(2, 16, 16, 8192, 128)),
    Case("last 16 of 32k 8:1 D128", LAST, _sizes(4, 32, 4, 16, 128, M=32768), has_backward=False),
    Case("window 512 D64 8k", WINDOW, _sizes(2, 32, 32, 8192, 64, window=512)),
    Case("causal D128 2k", CAUSAL, _sizes(8, 16, 16, 2048, 128)),
    Case("causal D128 32k", CAUSAL, _sizes(1, 8, 8, 32768, 128)),
)


def make_small(case: Case) -> Case:
    """The same at sizes that a CPU computes at once."""
    small = {"B": 1, "H": 4, "HKV": 4 if case.given["H"] == case.given["HKV"] else 2, "D": 16, "M": 96}
    given = {name: small.get(name, size) for name, size in case.given.items()}
    given["N"] = min(given["N"], 72)
    given |= {"window": 24} if "window" in given else {}
    return Case(case.name, case.spec, given, case.has_backward, case.new_mask)
