"""A schedule: one way to compute a sweep, with its kernels, its CPU path, and what launches both.

A value, of which `schedules.py` has the table. It says whether it fits a sweep, and makes `SweepKernels` of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from attnc.analyze.facts import Reason
from attnc.kernel.module import Part
from attnc.kernel.nodes import Function
from attnc.lower.signature import Signature
from attnc.lower.sweep import Sweep
from attnc.tiles import ChosenTiles


@dataclass(frozen=True, slots=True)
class SweepKernels:
    """The functions of one sweep: `triton` in the order in which a module defines them, and the CPU path.

    `launch` has `_forward_triton` and `_backward_triton`, which take and leave what the `signature` says, as do
    `_forward_cpu` and `_backward_cpu` in `cpu`; an operator chooses between them. A kernel that the sweep does not need
    is not there. `numbers` makes of its sums what later sweeps read; the last one has none, and has `pairs`, which
    counts the pairs of a call.
    """

    sweep: Sweep
    signature: Signature
    triton: tuple[Function, ...]
    launch: tuple[Function, ...]
    cpu: tuple[Function, ...]
    adders: tuple[Function, ...]
    lists: tuple[Function, ...]
    tile_lists: tuple[Function, ...]
    numbers: Function | None
    pairs: Function | None

    def without_triton(self) -> SweepKernels:
        return replace(self, triton=(), launch=(), tile_lists=())


@dataclass(frozen=True, slots=True)
class ReadChecks:
    """What a path begins with, where a call may read outside of an array; on a GPU, which is waited for, if asked."""

    cpu: Function | None = None
    gpu: Function | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """`says` is what it does, in the words of `explain`.

    `why_not` is the reason why a sweep is not for it, or None. `lower` takes a sweep and the checks of what it reads.
    `common` is what the launchers of all sweeps call, with tiles that were chosen for one GPU, if they were.
    """

    name: str
    says: str
    why_not: Callable[[Sweep], Reason | None]
    lower: Callable[[Sweep, ReadChecks], SweepKernels]
    common: Callable[[Sequence[Sweep], ChosenTiles | None], tuple[Part, ...]]
