"""What the figures of a kernel say about it.

Enters: figures, the target and the dtype. Leaves: verdicts. A limit that does not hold is a failure: the kernel is
slow whatever its spec, or does not run at all. Where a good kernel may differ, since its spec asks for it or since
nobody has found a better order yet, a verdict is a note.

The numbers of the notes are what hand-tuned kernels of plain causal attention reached in bfloat16 on sm_90, with Triton
3.6 and 3.9: forward with tiles of 128 x 128; dK/dV with 64 x 128 at D = 64 and 32 x 128 at D = 128; dQ with 128 x 64.
They count SASS. For the backward pass they are a tenth above the best. Registers have no limit of their own: too many
show as spills.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from attnc.inspect.figures import Figures, Part
from attnc.inspect.targets import Target, Unit

# `builds` is what `choose.py` says of a kernel that has no figures.
Limit = Literal[
    "builds", "spills", "serialized", "shared", "tensor", "loops", "local", "unit", "copies",
    "instructions", "loads", "special", "overlap",
]  # fmt: skip
_Finding = tuple[Limit, str, str]

# By kind of kernel. Instructions for a pair of a full tile: at D = 64, and at D = 128.
OVERLAP = {"forward": 0.9, "backward_keys": 0.65, "backward_queries": 0.8}
PER_PAIR = {"forward": (8.9, 8.9), "backward_keys": (11.1, 18.5), "backward_queries": (9.1, 10.1)}
PER_PAIR_AT_EDGE = 11.0  # forward
ROWS_OF_WGMMA = 64
SMALL = 0.25  # for a pair: what a row or a tile needs for itself is less


@dataclass(frozen=True)
class Verdict:
    """One finding about one kernel, and why it matters."""

    kernel: str
    limit: Limit
    what: str
    why: str
    is_failure: bool


def judge(figures: Figures, target: Target, dtype: str, head_dim: int) -> tuple[Verdict, ...]:
    """All findings, failures first."""
    has_good_kernels = target.unit == "wgmma" and dtype != "float32" and figures.language == "SASS"
    failures = _failures(figures, target, dtype)
    notes = _notes(figures, head_dim) if has_good_kernels else ()
    return (
        *(Verdict(figures.kernel, *finding, is_failure=True) for finding in failures),
        *(Verdict(figures.kernel, *finding, is_failure=False) for finding in notes),
    )


def _failures(figures: Figures, target: Target, dtype: str) -> Iterator[_Finding]:
    if figures.spilled:
        what = f"spills {figures.spilled} bytes a thread"
        yield "spills", what, "what has no register goes to memory and back"
    if figures.serialized:
        why = "the assembler makes each matrix product wait for the last"
        yield "serialized", "its wgmma are serialized", why
    if figures.shared > target.shared_memory:
        what = f"needs {-(-figures.shared // 1024)} KiB of shared memory"
        yield "shared", what, f"a block has {target.shared_memory // 1024} KiB, so it does not start"
    if figures.tensor > target.tensor_memory:
        what = f"needs {figures.tensor} columns of tensor memory"
        yield "tensor", what, f"a block has {target.tensor_memory}, so it does not start"
    if figures.tile is None:
        return
    if not figures.loops:
        yield "loops", "has no loop over tiles", "there is none that can be read"
    for loop in figures.loops:
        yield from _failures_of_loop(loop, _unit_of(figures, target), figures.stages, target, dtype)


def _unit_of(figures: Figures, target: Target) -> Unit:
    """What multiplies matrices. Few queries fill no wgmma, and wait for memory in any case."""
    is_few = figures.kernel.startswith("forward_split") and figures.tile and figures.tile[0] < ROWS_OF_WGMMA
    return "mma" if is_few else target.unit


def _failures_of_loop(loop: Part, unit: Unit, stages: int, target: Target, dtype: str) -> Iterator[_Finding]:
    where = f"the {loop.name} loop"
    if loop.local:
        yield "local", f"{where} goes to local memory {loop.local} times", "numbers have left their registers"
    if dtype == "float32":  # its products are exact, and no matrix unit computes those
        return
    match unit:
        case "tcgen05":
            if not loop.tcgen05:
                yield "unit", f"{where} has no tcgen05", "matrix products run on the slow unit, or on none"
            if loop.mma:
                yield (
                    "unit",
                    f"{where} has {loop.mma} mma",
                    "tiles too small for tcgen05 fall to the slow unit",
                )
        case "wgmma":
            if not loop.wgmma:
                yield "unit", f"{where} has no wgmma", "matrix products run on the slow unit, or on none"
            if loop.mma:
                yield "unit", f"{where} has {loop.mma} mma", "tiles too small for wgmma fall to the slow unit"
        case "mma":
            if not loop.mma:
                yield "unit", f"{where} has no mma", "matrix products run without the matrix unit"
    if target.backend == "cuda" and stages > 1 and not (loop.cp_async or loop.tma):
        yield "copies", f"{where} copies nothing asynchronously", "each tile waits for the next to arrive"


def _notes(figures: Figures, head_dim: int) -> Iterator[_Finding]:
    if figures.tile is None:
        return
    kind, share = figures.kernel.rstrip("_0123456789"), figures.threads / prod(figures.tile)
    for loop in figures.loops:
        yield from _notes_of_loop(loop, share, _most_per_pair(kind, loop, head_dim))
    for loop in figures.loops[-1:]:  # most tiles are seen in full
        if kind in OVERLAP and loop.overlap is not None and loop.overlap < OVERLAP[kind]:
            what = f"the {loop.name} loop has {loop.overlap:.0%} of its exp2 beside a matrix product"
            yield "overlap", what, f"good kernels: {OVERLAP[kind]:.0%} or more"


def _notes_of_loop(loop: Part, share: float, most: float | None) -> Iterator[_Finding]:
    """`share` is the threads of a block for each pair of a tile."""
    where = f"the {loop.name} loop"
    if most and loop.per_pair and loop.per_pair > most:
        what = f"{where} issues {loop.per_pair:.1f} instructions for a pair"
        yield "instructions", what, f"good kernels: {most} or fewer"
    if loop.loads * share > SMALL:
        what = f"{where} loads from global memory {loop.loads * share:.1f} times for a pair"
        yield "loads", what, "nothing is copied ahead of such a load"
    beyond = (loop.exp2 + loop.special) * share - 1
    if beyond > SMALL:
        what = f"{where} has {beyond:.1f} special functions for a pair beyond its exp2"
        yield "special", what, "each takes as long as eight multiplications"


def _most_per_pair(kind: str, loop: Part, head_dim: int) -> float | None:
    """What a good kernel issues, where one was seen."""
    if kind == "forward" and loop.name == "edge":
        return PER_PAIR_AT_EDGE
    if kind not in PER_PAIR or loop.name != "full" or head_dim not in (64, 128):
        return None
    return PER_PAIR[kind][head_dim == 128]
