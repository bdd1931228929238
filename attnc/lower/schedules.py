"""The table of schedules: the first that fits every sweep of an attention computes it.

Enters: sweeps. Leaves: the schedule, and why those before it in the table did not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from attnc.analyze.facts import Reason
from attnc.errors import CompilerBug
from attnc.lower.schedule import Schedule
from attnc.lower.sweep import Sweep
from attnc.lower.tiled.schedule import TILED

SCHEDULES: tuple[Schedule, ...] = (TILED,)


def choose_schedule(sweeps: Sequence[Sweep]) -> tuple[Schedule, list[Reason]]:
    """The first that fits, and the reasons of those that did not."""
    refused: list[Reason] = []
    for schedule in SCHEDULES:
        why_not = next(filter(None, map(schedule.why_not, sweeps)), None)
        if why_not is None:
            return schedule, refused
        refused.append(Reason(f"not {schedule.name}: {why_not.text}", why_not.span))
    raise CompilerBug("no schedule fits")
