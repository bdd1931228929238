"""A schedule: one way to compute a sweep, with its kernels and its CPU path.

A value, of which `schedules.py` has the table. It says whether it fits a sweep, and makes `SweepKernels` of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from attnc.analyze.facts import Reason
from attnc.kernel.nodes import Function
from attnc.lower.sweep import Sweep


@dataclass(frozen=True, slots=True)
class SweepKernels:
    """The functions of one sweep: `triton` in the order in which a module defines them, and the CPU path.

    A kernel that the sweep does not need is not there. `numbers` makes of its sums what later sweeps read; the last one
    has none.
    """

    sweep: Sweep
    triton: tuple[Function, ...]
    cpu: tuple[Function, ...]
    adders: tuple[Function, ...]
    lists: tuple[Function, ...]
    numbers: Function | None

    def kernel(self, name: str) -> Function | None:
        return next((fn for fn in self.triton if fn.name == self.sweep.named(name)), None)

    def without_triton(self) -> SweepKernels:
        lists = tuple(fn for fn in self.lists if not fn.name.startswith("_lists_of"))
        return replace(self, triton=(), lists=lists)

    def lists_of(self, what: str) -> Function:
        """The function that lists the tiles of keys, or of queries."""
        return next(fn for fn in self.lists if fn.name == f"_lists_of_{what}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """`says` is what it does, in the words of `explain`.

    `why_not` is the reason why a sweep is not for it, or None. `lower` takes a sweep, and the check of what it reads
    that its CPU path begins with, where there is one.
    """

    name: str
    says: str
    why_not: Callable[[Sweep], Reason | None]
    lower: Callable[[Sweep, Function | None], SweepKernels]
