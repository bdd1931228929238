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


# What a call with 128 tokens needs that does not follow from the sizes of its tensors.
CALLS: dict[str, dict[str, Any]] = {
    "bigbird": {"table": torch.zeros(8, 2, 3, dtype=torch.int64)},
    "natten_2d": {"rows": 8, "cols": 16},
    "swin": {"rows": 8, "cols": 16},
    "tree_decoding": {"context": 28, "ancestor": torch.zeros(2, 128, 100, dtype=torch.bool)},
}


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
