"""The sizes of a call.

Enters: the tensors of a call, or numbers by name. Leaves: the other of both.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def sizes_of(q: Tensor, k: Tensor, v: Tensor) -> dict[str, int]:
    """`B`, `H`, `HKV`, `N`, `M`, `D` and `DV` of a call."""
    names = {"B": q.shape[0], "H": q.shape[1], "HKV": k.shape[1], "N": q.shape[2], "M": k.shape[2]}
    return names | {"D": q.shape[3], "DV": v.shape[3]}


def shapes_of(sizes: Mapping[str, int]) -> tuple[tuple[int, ...], ...]:
    """The shapes of `q`, `k` and `v`."""
    axes = (("B", "H", "N", "D"), ("B", "HKV", "M", "D"), ("B", "HKV", "M", "DV"))
    return tuple(tuple(sizes[name] for name in names) for names in axes)
