"""The emitted modules of the examples that have kernels."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import attnc
from attnc.errors import AttncError
from attnc.run.loader import load_module

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def call_of(name: str, n: int = 128) -> dict[str, Any]:
    """What a call with n tokens needs that does not follow from the sizes of its tensors."""
    match name:
        case "bigbird":
            return {"table": torch.zeros(8, (n + 63) // 64, 3, dtype=torch.int64)}
        case "mvpa":
            return {"channels": 16, "by_channel": torch.zeros(8, 16)}
        case "natten_2d" | "swin":
            return {"rows": 1, "cols": n}
        case "tree_decoding":
            return {"context": 0, "ancestor": torch.zeros(2, n, n, dtype=torch.bool)}
    return {}


@cache
def emit(name: str) -> ModuleType:
    """The module of one example."""
    return load_module(name, attnc.load(EXAMPLES / f"{name}.attn").source)


def _has_kernels(path: Path) -> bool:
    try:
        return bool(attnc.load(path).source)
    except AttncError as error:
        if {d.code for d in error.diagnostics} == {"no-kernel"}:
            return False
        raise


NAMES = [path.stem for path in sorted(EXAMPLES.glob("*.attn")) if _has_kernels(path)]
