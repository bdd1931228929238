"""How tiles are found, as one answer for all ways of finding them.

Enters: a compilation. Leaves: for one head of one call, the class that each tile is taken for: `NONE` is not visited,
`EDGE` is visited and masked, `FULL` is visited and not masked. Whoever judges sees nothing else, so a new way of
finding tiles is a new class here with `how` and `classes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from range_checks import each_period, ends, requirements_hold
from truth import EDGE, FULL, NONE, Matrix, Role, in_role

from attnc.analyze.facts import Ranges
from attnc.compiler import Compilation
from attnc.lower.lists import lower_lists
from attnc.run.loader import load_module

CLOSED, LISTED = "closed form", "listed"


class Finder(Protocol):
    """`classes` has a row for each tile of the role's own positions: queries where keys are looked for."""

    @property
    def how(self) -> str: ...

    def classes(self, values: Mapping[str, Any], rows: int, columns: int) -> Matrix: ...


def finder_of(compilation: Compilation, role: Role) -> Finder:
    """As the plan has it: what is not listed is swept by intervals."""
    if is_listed(compilation, role):
        (function,) = (
            each for each in lower_lists(compilation.kernels.plan.last) if each.name == "_tile_kinds"
        )
        module = load_module(compilation.attention.name, compilation.module)
        takes = tuple(param.name for param in function.params)
        return Listed(module._tile_kinds, takes, role, compilation.kernels.plan.last.attention.variable)
    return Intervals(compilation.facts.keys if role == "keys" else compilation.facts.queries)


def is_listed(compilation: Compilation, role: Role) -> bool:
    return ("j" if role == "keys" else "i") in compilation.kernels.plan.last.cover.listed


@dataclass(frozen=True)
class Intervals:
    """By the ends of intervals, swept in their order as a kernel sweeps them."""

    ranges: Ranges

    @property
    def how(self) -> str:
        return CLOSED

    def classes(self, values: Mapping[str, Any], rows: int, columns: int) -> Matrix:
        assert requirements_hold(self.ranges, values), "a call that would be refused"
        axis, size, target = ("i", "N", "M") if self.ranges.target == "j" else ("j", "M", "N")
        tops = range(0, values[size], rows)
        tiles = np.full((len(tops), -(-values[target] // columns)), NONE)
        for row, first in zip(tiles, tops, strict=True):
            last = min(first + rows, values[size]) - 1
            self._sweep(
                row, {**values, f"{axis}.first": first, f"{axis}.last": last}, values[target], columns
            )
        return tiles

    def _sweep(self, row: Matrix, here: Mapping[str, Any], size: int, columns: int) -> None:
        left = reached = 0
        for place, shown in each_period(self.ranges, here, columns):
            left = reached
            for outer, inner in shown:
                lo, hi = ends(outer, place, size)
                stop = max(-(-hi // columns) if max(lo, 0) < hi else 0, reached)
                row[max(max(lo, 0) // columns, reached) : stop] = EDGE
                if inner is not None:
                    low, high = ends(inner, place, size)
                    first = min(max(-(-max(low, 0) // columns), left), stop)
                    whole = len(row) if high == size else high // columns
                    left = max(min(whole, stop), first)
                    row[first:left] = FULL
                reached = stop


@dataclass(frozen=True)
class Listed:
    """By the function of the emitted module that looks at every tile before the kernels run."""

    kinds: Callable[..., torch.Tensor]
    takes: tuple[str, ...]
    role: Role
    variable: Callable[[str], str]

    @property
    def how(self) -> str:
        return LISTED

    def classes(self, values: Mapping[str, Any], rows: int, columns: int) -> Matrix:
        blocks = (rows, columns) if self.role == "keys" else (columns, rows)
        known: dict[str, Any] = {self.variable(name): _tensor(value) for name, value in values.items()}
        # The function's own, as launchers have it: where it reads parameters of these names, they have others.
        known |= dict(zip(("rows", "columns"), blocks, strict=True)) | {"device": torch.device("cpu")}
        found = self.kinds(*(known[name] for name in self.takes)).numpy()
        b, h = (values[head] if size > 1 else 0 for head, size in zip("bh", found.shape, strict=False))
        return in_role(np.choose(found[b, h], (NONE, EDGE, FULL)), self.role)


def _tensor(value: Any) -> Any:
    return torch.tensor(value) if isinstance(value, list) else value
