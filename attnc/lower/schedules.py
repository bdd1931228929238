"""The table of schedules: the first that is for an attention computes it.

Enters: an attention and its facts. Leaves: the schedule and its sweeps, and why those before it in the table are not
for it.
"""

from __future__ import annotations

from attnc.analyze.facts import Facts, Reason
from attnc.errors import CompilerBug
from attnc.ir.nodes import Attention
from attnc.lower.chunked.schedule import CHUNKED, PRODUCTS
from attnc.lower.schedule import Schedule
from attnc.lower.sweep import Sweep
from attnc.lower.tiled.schedule import TILED
from attnc.options import ScheduleName

SCHEDULES: tuple[Schedule, ...] = (PRODUCTS, CHUNKED, TILED)


def choose_schedule(
    attention: Attention, facts: Facts, wanted: ScheduleName
) -> tuple[Schedule, tuple[Sweep, ...], list[Reason]]:
    """The first that fits, unless one is `wanted`, its sweeps, and the reasons of those that did not."""
    refused: list[Reason] = []
    for schedule in SCHEDULES:
        if wanted not in ("auto", schedule.name):
            continue
        made = schedule.make(attention, facts)
        if isinstance(made, tuple):
            return schedule, made, refused
        if made is not None:
            refused.append(Reason(f"not {schedule.name}: {made.text}", made.span))
    raise CompilerBug("no schedule fits")
