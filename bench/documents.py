"""What the bounds of packed documents cost on the CPU, next to the attention they bound.

Enters: options. Leaves: for each round, whose documents have lengths of their own, the milliseconds of a forward call,
of the places in the sorted ids, and of the bounds of every tile; the medians, the share, and the same as JSON.

    python bench/documents.py                 # 32768 tokens, 8 heads, documents of 64 to 4096 tokens
    python bench/documents.py --tokens 4096
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import attnc
from attnc.bench.machine import find_versions, name_device
from attnc.run.loader import load_module

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results" / "documents.json"


def draw_documents(tokens: int, generator: torch.Generator) -> Tensor:
    """Ids of documents of 64 to 4096 tokens, [1, tokens]."""
    lengths = torch.randint(64, 4097, (tokens // 64 + 1,), generator=generator)
    return torch.repeat_interleave(torch.arange(len(lengths)), lengths)[None, :tokens].contiguous()


def milliseconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def find_bounds(module: ModuleType, q: Tensor, doc: Tensor) -> None:
    """All that a forward pass does to learn which keys its tiles see."""
    *_, doc_start, doc_end = module._per_token(q, q, q, doc)
    tokens = q.shape[2]
    for q0 in range(0, tokens, module.TILE):
        module._keys_seen(q0, min(q0 + module.TILE, tokens), 1, tokens, doc_start, doc_end)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What the bounds of packed documents cost on the CPU.")
    parser.add_argument("--tokens", type=int, default=32768)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    f = attnc.load(ROOT / "examples" / "packed_documents.attn")
    module = load_module("packed_documents", f.source)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 8, options.tokens, 64, generator=generator) for _ in range(3))
    forward, bounds = list[float](), list[float]()
    with torch.no_grad():
        for number in range(options.rounds + 1):  # the first one warms up
            doc = draw_documents(options.tokens, generator)
            times = (
                milliseconds(lambda doc=doc: module.packed_documents(q, k, v, doc=doc)),
                milliseconds(lambda doc=doc: find_bounds(module, q, doc)),
            )
            if number:
                forward.append(times[0])
                bounds.append(times[1])
    share = statistics.median(b / f for b, f in zip(bounds, forward, strict=True))
    found = {
        "case": f"packed documents, B1 H8 N{options.tokens} D64, float32",
        "machine": name_device(torch.device("cpu")),
        "versions": find_versions(),
        "forward_ms": forward,
        "bounds_ms": bounds,
        "share": share,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n")
    medians = f"forward {statistics.median(forward):.1f} ms, bounds {statistics.median(bounds):.2f} ms"
    print(f"{found['case']}: {medians}: {100 * share:.2f} % of the forward call")
    return 0


if __name__ == "__main__":
    sys.exit(main())
