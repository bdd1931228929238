"""The plan of an attention: its schedule, its sweeps, and the reasons.

Enters: an attention and its facts. Leaves: a `Plan`: a sweep for every pass over the keys, and the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from attnc.analyze.facts import Facts, Reason
from attnc.analyze.misreads import Misread, find_misreads
from attnc.analyze.spelling import find_spelling
from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir.nodes import Attention
from attnc.ir.text import print_ir
from attnc.lower.names import reserved_names
from attnc.lower.schedule import Schedule
from attnc.lower.schedules import choose_schedule
from attnc.lower.signature import Signature
from attnc.lower.sweep import Sweep
from attnc.options import ScheduleName

MOST_ARGUMENTS = 64  # of an operator, to torch


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule of an attention, `spec`, and its sweeps, of which the last one weighs values.

    `misreads` says where a call may read outside of an array.
    """

    schedule: Schedule
    spec: Attention
    sweeps: tuple[Sweep, ...]
    misreads: tuple[Misread, ...]
    because: tuple[Reason, ...]

    @property
    def last(self) -> Sweep:
        """The sweep that weighs values."""
        return self.sweeps[-1]

    @property
    def before(self) -> tuple[Sweep, ...]:
        """Those that leave numbers of rows."""
        return self.sweeps[:-1]

    @property
    def why_no_state(self) -> Reason | None:
        """Why no tokens can stand in front of those of a call; None where they can."""
        return self.last.why_no_state

    def setting_apart(self, names: tuple[str, ...]) -> Plan:
        """The same, where these names of the spec are others in emitted code."""
        sweeps = tuple(each.setting_apart(names) for each in self.sweeps)
        return replace(self, spec=self.spec.setting_apart(names), sweeps=sweeps)


def make_plan(attention: Attention, facts: Facts, wanted: ScheduleName = "auto") -> Plan:
    """The plan for a kernel; raises `no-kernel` where there is none yet."""
    attention = replace(attention, apart=reserved_names(attention))
    if facts.weights.fold is None:
        raise _why_no_kernel(attention, facts)
    schedule, sweeps, refused = choose_schedule(attention, facts, wanted)
    for each in sweeps:
        passes = ("forward", "backward") if each.has_gradient else ("forward",)
        _refuse_too_many(attention, schedule.sign(each), passes)
    misreads = find_misreads(attention)
    return Plan(
        schedule=schedule,
        spec=attention,
        sweeps=sweeps,
        misreads=misreads.checked,
        because=(*refused, *sweeps[-1].because, *_on_states(schedule, sweeps[-1]), *misreads.because),
    )


def _on_states(schedule: Schedule, sweep: Sweep) -> tuple[Reason, ...]:
    """Whether a call can be cut, where the schedule has states."""
    if not schedule.has_states:
        return ()
    reason = sweep.why_no_state
    if reason is None:
        return (Reason("a call may leave its state to a later one: `return_state`, `initial_state`"),)
    return (Reason(f"it takes no state: {reason.text}", reason.span),)


def _why_no_kernel(attention: Attention, facts: Facts) -> AttncError:
    label = Label(attention.normalize.span) if attention.normalize.span else None
    spelling = find_spelling(attention)
    known = (f"write `normalize {print_ir(spelling)}`: it cannot overflow",) if spelling else ()
    return AttncError(
        Diagnostic(
            "no-kernel",
            f"`{attention.name}` has no kernel yet: {facts.weights.because[-1].text}",
            label,
            helps=(*known, '`backend="reference"` runs it on the interpreter'),
        )
    )


def _refuse_too_many(attention: Attention, signature: Signature, passes: Iterable[str]) -> None:
    """Raise `no-kernel` where an operator of torch would take more arguments than it can."""
    counts = {which: len(signature.of_operators[which]) for which in passes}
    too_many = [(which, count) for which, count in counts.items() if count > MOST_ARGUMENTS]
    if not too_many:
        return
    which, count = too_many[0]
    what = f"its {which} pass takes {count} arguments, and an operator of torch {MOST_ARGUMENTS} at most"
    raise AttncError(
        Diagnostic(
            "no-kernel",
            f"`{attention.name}` has no kernel yet: {what}",
            helps=(
                "keep arrays of the same sizes in one, with one axis more: `bias[2, h]` for `bias_2[h]`",
                '`backend="reference"` runs it on the interpreter',
            ),
        )
    )
