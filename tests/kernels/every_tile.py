"""A schedule for a test: every tile is visited, and masked. It knows no ranges, no lists, and no split of the keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from attnc.analyze.facts import Facts, Interval, Ranges, Reason
from attnc.ir.nodes import Attention, IntConst, Size, Truth
from attnc.lower.schedule import ReadChecks, Schedule, SweepKernels
from attnc.lower.sweep import Sweep
from attnc.lower.tiled.schedule import TILED, lower_tiled
from attnc.lower.tiled.sweep import TiledSweep

NOTHING_KNOWN = Reason("every tile is visited, and masked")


def make(attention: Attention, facts: Facts) -> tuple[Sweep, ...] | Reason | None:
    """Without a mask there is nothing to visit in vain."""
    return Reason("there is no mask") if attention.mask == Truth(True) else TILED.make(attention, facts)


def everything(target: Literal["i", "j"], known: Ranges) -> Ranges:
    end = Size("M" if target == "j" else "N")
    whole = Interval(IntConst(0), end)
    return Ranges(target, (whole,), (None,), False, False, (NOTHING_KNOWN,), requires=known.requires)


def lower(sweep: TiledSweep, checks: ReadChecks) -> SweepKernels:
    cover = replace(
        sweep.cover,
        keys=everything("j", sweep.cover.keys),
        queries=everything("i", sweep.cover.queries),
        listed=frozenset(),
        more_later=frozenset(),
    )
    everywhere = replace(
        sweep,
        cover=cover,
        variants=replace(sweep.variants, split=None, plain=None),
    )
    return lower_tiled(everywhere, checks)


EVERY_TILE = Schedule(
    "every_tile", "the tiled kernels, over every tile", make, TILED.sign, lower, TILED.common, TILED.constants
)
