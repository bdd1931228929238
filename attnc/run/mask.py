"""Which pairs one head of one batch entry sees, as the interpreter means it.

Enters: an attention and a value for every size and parameter that its mask speaks of. Leaves: a bool for each query and
key. Quadratic, as the interpreter is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attnc.ir.nodes import Attention
from attnc.ir.walk import Axis
from attnc.run.points import all_pairs
from attnc.run.terms import Terms, as_working


def find_mask(
    attention: Attention,
    values: Mapping[str, Any],
    head: int,
    batch: int,
    some: Mapping[Axis, Tensor] = MappingProxyType({}),
) -> Tensor:
    """`[N, M]`, true where the query sees the key; of `some` queries and keys alone where they are given."""
    sizes: dict[Axis, int] = {"b": batch + 1, "h": head + 1, "i": int(values["N"]), "j": int(values["M"])}
    place: dict[Axis, Tensor] = {"b": torch.tensor([batch]), "h": torch.tensor([head])}
    pairs = all_pairs(sizes, torch.device("cpu"), {**place, **some})
    with torch.no_grad():
        seen = Terms(exact_values(values)).condition(attention.mask, pairs)
    return seen.reshape([len(some[axis]) if axis in some else sizes[axis] for axis in ("i", "j")])


def exact_values(values: Mapping[str, Any]) -> dict[str, int | float | bool | Tensor]:
    """Arrays as the interpreter reads them, on the CPU; they may be sequences."""
    tensors = {
        name: torch.tensor(x) if isinstance(x, Sequence | np.ndarray) else x for name, x in values.items()
    }
    return {name: as_working(x.detach().cpu()) if isinstance(x, Tensor) else x for name, x in tensors.items()}
