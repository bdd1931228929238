"""A schedule: one way to compute a sweep, with its kernels, its CPU path, and what launches both.

A value, of which `schedules.py` has the table. It makes the sweeps of an attention, or says why it does not fit, and of
each sweep its `SweepKernels`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from attnc.analyze.facts import Facts, Reason
from attnc.ir.nodes import Attention
from attnc.kernel.module import Part
from attnc.kernel.nodes import Function
from attnc.lower.signature import Signature
from attnc.lower.sweep import Sweep
from attnc.tiles import ChosenTiles


@dataclass(frozen=True, slots=True)
class StateFunctions:
    """What takes up the state that an earlier call has left, and leaves one to a later call.

    `enter` adds to the results of rows what they see of the state, `leave` makes the new one. `names` are those of the
    tensors of a state. Where formulas know positions, `before` is the variable for how many tokens stand in front.
    """

    enter: Function
    leave: Function
    names: tuple[str, ...]
    before: str | None


@dataclass(frozen=True, slots=True)
class SweepKernels:
    """The functions of one sweep: `triton` in the order in which a module defines them, and the CPU path.

    Before a sweep comes `per_token`, which makes the tensors of its signature of q, k, v, what the spec takes and what
    earlier sweeps left, where they are others; where earlier sweeps have none, that of the last makes theirs too.
    `launch` has `_forward_triton` and `_backward_triton`, which take and leave what the `signature` says, as do
    `_forward_cpu` and `_backward_cpu` in `cpu`; an operator chooses between them. The kernels of `launch` are those of
    `triton`, or support code. Where there are none, and `is_for_any_device`, torch computes the latter on a GPU too. A
    kernel that the sweep does not need is not there. `numbers` makes of its sums what later sweeps read; the last one
    has none, and has `pairs`, which counts the pairs of a call, and `state` where tokens may stand in front of a call.
    """

    sweep: Sweep
    signature: Signature
    per_token: Function | None
    triton: tuple[Function, ...]
    launch: tuple[Function, ...]
    cpu: tuple[Function, ...]
    adders: tuple[Function, ...]
    lists: tuple[Function, ...]
    tile_lists: tuple[Function, ...]
    numbers: Function | None
    pairs: Function | None
    is_for_any_device: bool = False
    state: StateFunctions | None = None

    def without_triton(self) -> SweepKernels:
        signature = replace(self.signature, has_kernels=False)
        return replace(
            self, signature=signature, triton=(), launch=(), tile_lists=(), is_for_any_device=False
        )


@dataclass(frozen=True, slots=True)
class ReadChecks:
    """What a path begins with, where a call may read outside of an array; on a GPU, which is waited for, if asked."""

    cpu: Function | None = None
    gpu: Function | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule. `says` is what it does, in the words of `explain`.

    `make` makes the sweeps of an attention, the last of which weighs values, or says why the schedule is not for it;
    nothing, where nobody would expect that it is. `find_dear` says why pairs are cheaper in most calls, if they are.
    `sign` says what the functions of a sweep take and leave, and `lower` takes it and the checks of what it reads.
    `common` is what the launchers of all sweeps call, with tiles that were chosen for one GPU, if they were;
    `constants` are lines at the head of a module. `has_states`: a sweep may take up what the tokens in front of a call
    have left.
    """

    name: str
    says: str
    make: Callable[[Attention, Facts], tuple[Sweep, ...] | Reason | None]
    sign: Callable[[Any], Signature]
    lower: Callable[[Any, ReadChecks], SweepKernels]
    common: Callable[[Sequence[Any], ChosenTiles | None], tuple[Part, ...]]
    constants: tuple[str, ...] = ()
    find_dear: Callable[[Attention, Facts], Reason | None] = lambda attention, facts: None
    has_states: bool = False
