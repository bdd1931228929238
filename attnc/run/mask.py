"""Which pairs one head of one batch entry sees, as the interpreter means it.

Enters: an attention and a value for every size and parameter that its mask speaks of. Leaves: a bool for each query and
key. Quadratic, as the interpreter is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from attnc.ir.nodes import Attention
from attnc.ir.walk import Axis
from attnc.run.points import Points, all_pairs
from attnc.run.terms import WORKING, Terms

Value = int | float | bool | Tensor | Sequence[Any]


def find_mask(attention: Attention, values: Mapping[str, Value], head: int, batch: int) -> Tensor:
    """`[N, M]`, true where the query sees the key."""
    sizes: dict[Axis, int] = {"b": 1, "h": 1, "i": int(values["N"]), "j": int(values["M"])}  # type: ignore[arg-type]
    pairs = all_pairs(sizes, torch.device("cpu"))
    places: dict[Axis, Tensor] = {
        "b": torch.full_like(pairs.origin, batch),
        "h": torch.full_like(pairs.origin, head),
    }
    here = Points(sizes, {**pairs.index, **places}, pairs.origin)
    exact = {name: working(value) for name, value in values.items()}
    with torch.no_grad():
        return Terms(exact).condition(attention.mask, here).reshape(sizes["i"], sizes["j"])


def working(value: Value) -> int | float | bool | Tensor:
    """Arrays as the interpreter reads them: floats as doubles, ints as 64 bits."""
    if isinstance(value, Sequence):
        value = torch.tensor(value)
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    if value.dtype == torch.bool:
        return value
    return value.to(WORKING if value.is_floating_point() else torch.int64)
