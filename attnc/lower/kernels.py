"""All functions of a plan, lowered.

Enters: a plan. Leaves: `Kernels`: of each sweep its kernels and its CPU path, as the schedule makes them; and what
torch does with single tokens and rows around them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from attnc.kernel.nodes import Function
from attnc.lower.misreads import lower_misreads
from attnc.lower.per_token import lower_output, lower_per_token
from attnc.lower.plan import Plan
from attnc.lower.schedule import SweepKernels


@dataclass(frozen=True, slots=True)
class Kernels:
    """The functions of every sweep of a plan, and what is around them.

    `reads` check that no index leaves its array. Before the sweeps comes `per_token`, and `output` after them.
    """

    plan: Plan
    sweeps: tuple[SweepKernels, ...]
    per_token: Function | None
    output: Function | None
    reads: tuple[Function, ...]

    @property
    def last(self) -> SweepKernels:
        """Those of the sweep that weighs values."""
        return self.sweeps[-1]

    @property
    def before(self) -> tuple[SweepKernels, ...]:
        return self.sweeps[:-1]

    @property
    def has_triton(self) -> bool:
        """Or is the CPU path all there is?"""
        return bool(self.last.triton)

    def without_triton(self) -> Kernels:
        """The CPU path, and what is around it, alone."""
        return replace(self, sweeps=tuple(each.without_triton() for each in self.sweeps))


def lower_plan(plan: Plan) -> Kernels:
    """Every function of the emitted module but its frame."""
    reads = lower_misreads(plan)
    check = reads[-1] if reads else None
    return Kernels(
        plan=plan,
        sweeps=(
            *(plan.schedule.lower(each, None) for each in plan.before),
            plan.schedule.lower(plan.last, check),
        ),
        per_token=lower_per_token(plan.last),
        output=lower_output(plan.last),
        reads=reads,
    )
