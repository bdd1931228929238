"""The table of schedules: the first that is for an attention, and pays, computes it.

Enters: an attention, its facts, and which schedules are wanted. Leaves: the schedule and its sweeps, and why those
before it in the table are not for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from attnc.analyze.facts import Facts, NotLinear, Reason
from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir.nodes import Attention
from attnc.lower.chunked.schedule import CHUNKED, PRODUCTS
from attnc.lower.schedule import Schedule
from attnc.lower.sweep import Sweep
from attnc.lower.tiled.schedule import TILED
from attnc.options import ScheduleName

SCHEDULES: dict[ScheduleName, tuple[Schedule, ...]] = {
    "auto": (PRODUCTS, CHUNKED, TILED),
    "linear": (PRODUCTS, CHUNKED),
    "tiled": (TILED,),
}


def choose_schedule(
    attention: Attention, facts: Facts, wanted: ScheduleName
) -> tuple[Schedule, tuple[Sweep, ...], list[Reason]]:
    """The first that fits, its sweeps, and the reasons of those that did not; raises `not-linear` where none does.

    What costs more than pairs in most calls has to be asked for.
    """
    refused, because = list[Reason](), list[Reason]()
    for schedule in SCHEDULES[wanted]:
        found = schedule.make(attention, facts)
        if isinstance(found, tuple):
            dear = schedule.find_dear(attention, facts) if wanted == "auto" else None
            if dear is None:
                return schedule, found, because
            found = dear
        if found is not None:
            refused.append(found)
            because.append(Reason(f"not {schedule.name}: {found.text}", found.span))
    raise _why_not(attention, facts, refused)


def _why_not(attention: Attention, facts: Facts, refused: Sequence[Reason]) -> AttncError:
    """What stands in the way of a state, where one is asked for."""
    reasons = facts.linear.because if isinstance(facts.linear, NotLinear) else refused
    first = reasons[0]
    return AttncError(
        Diagnostic(
            "not-linear",
            f"`{attention.name}` is not computed in time that grows with the tokens: {first.text}",
            Label(first.span) if first.span else None,
            helps=('`schedule="auto"` computes it pair by pair',),
        )
    )
