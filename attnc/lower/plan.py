"""What will be written, and why.

Enters: an attention and its facts. Leaves: a `Plan`: a sweep for every pass over the keys, and the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnc.analyze.facts import Facts, Reason
from attnc.analyze.misreads import Misread, find_misreads
from attnc.analyze.spelling import find_spelling
from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir.nodes import Attention, Size
from attnc.ir.text import print_ir
from attnc.lower.hoist import find_key_heads
from attnc.lower.make_sweep import Asked, make_sweep, simplified
from attnc.lower.schedule import Schedule
from attnc.lower.schedules import choose_schedule
from attnc.lower.sweep import RowArray, Sweep

ROWS = (Size("B"), Size("H"), Size("N"))


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


def make_plan(attention: Attention, facts: Facts) -> Plan:
    """The plan for a kernel; raises `no-kernel` where there is none yet."""
    fold = facts.weights.fold
    if fold is None:
        raise _why_no_kernel(attention, facts)
    key_heads = find_key_heads(simplified(attention, facts.implied))
    before: list[Sweep] = []
    row_arrays: tuple[RowArray, ...] = ()
    constant: frozenset[str] = frozenset()
    for number, each in enumerate(facts.weights.before, 1):
        sweep = make_sweep(
            Asked(attention, facts, each.fold, row_arrays, key_heads, frozenset(), number, each.numbers)
        )
        before.append(sweep)
        row_arrays += tuple(RowArray(name, "float", sizes=ROWS) for name, _ in each.numbers)
        constant |= sweep.constant_numbers
    last = make_sweep(Asked(attention, facts, fold, row_arrays, key_heads, constant))
    sweeps = (*before, last)
    schedule, refused = choose_schedule(sweeps)
    misreads = find_misreads(attention)
    return Plan(
        schedule=schedule,
        spec=attention,
        sweeps=sweeps,
        misreads=misreads.checked,
        because=(*refused, *last.because, *misreads.because),
    )


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
