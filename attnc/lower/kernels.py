"""All functions of a plan, lowered.

Enters: a plan, and options. Leaves: `Kernels`: of each sweep its kernels, its CPU path and what launches them, as the
schedule makes them; and what torch does with single tokens and rows around them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from attnc.errors import CompilerBug
from attnc.kernel.module import Part
from attnc.kernel.nodes import Function
from attnc.lower.misreads import lower_misreads
from attnc.lower.per_row import lower_output
from attnc.lower.plan import Plan
from attnc.lower.schedule import ReadChecks, SweepKernels
from attnc.lower.taken import NamesTaken, stop_if_taken
from attnc.options import DEFAULTS, Options


@dataclass(frozen=True, slots=True)
class Kernels:
    """The functions of a plan: those of every sweep, and those around them.

    `reads` check that no index leaves its array, and `launch` is what launchers call. After the sweeps comes `output`.
    """

    plan: Plan
    sweeps: tuple[SweepKernels, ...]
    launch: tuple[Part, ...]
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
        return bool(self.last.launch)

    @property
    def takes_backend(self) -> bool:
        """Or is the CPU all that it is for?"""
        return self.has_triton or self.last.is_for_any_device

    @property
    def triton(self) -> list[Function]:
        """The kernels of every sweep."""
        return _once(fn for each in self.sweeps for fn in each.triton)

    @property
    def plain(self) -> list[Function]:
        """What every sweep does in torch. Sweeps have their masks in common, and what reads them."""
        sweeps = [((*each.lists, *each.tile_lists), (*each.cpu, *each.adders)) for each in self.sweeps]
        *before, (lists, last) = sweeps
        return _once([*(fn for both in before for part in both for fn in part), *lists, *self.reads, *last])

    @property
    def around(self) -> list[Function]:
        """The functions of single tokens and rows, which torch calls before and after the kernels."""
        numbers = [each.numbers for each in self.before]
        of_tokens = [each.per_token for each in self.sweeps]
        state = self.last.state
        of_state = (state.enter, state.leave) if state else ()
        return [fn for fn in (*of_tokens, *numbers, *of_state, self.output) if fn]

    @property
    def functions(self) -> list[Function]:
        """All that names of the spec enter."""
        plain = [
            fn for each in self.sweeps for fn in (*each.cpu, *each.adders, *each.lists, *each.tile_lists)
        ]
        triton = [fn for each in self.sweeps for fn in (*each.triton, *each.launch)]
        pairs = [each.pairs for each in self.sweeps if each.pairs]
        return [*triton, *plain, *pairs, *self.reads, *self.around]

    def without_triton(self) -> Kernels:
        """The CPU path, and what is around it, alone."""
        return replace(self, sweeps=tuple(each.without_triton() for each in self.sweeps), launch=())


def _once(functions: Iterable[Function]) -> list[Function]:
    found: dict[str, Function] = {}
    for fn in functions:
        if found.setdefault(fn.name, fn) != fn:
            raise CompilerBug(f"two functions `{fn.name}`")
    return list(found.values())


def lower_plan(plan: Plan, options: Options = DEFAULTS) -> Kernels:
    """Every function that depends on the plan, but for those that torch and people call.

    Where they have a name of the spec for themselves, it is set apart, and they are written with another in its place.
    """
    try:
        return _lower(plan, options)
    except NamesTaken as found:
        return lower_plan(plan.setting_apart(found.names), options)


def _lower(plan: Plan, options: Options) -> Kernels:
    reads = lower_misreads(plan)
    check = reads[-1] if reads else None
    checks = ReadChecks(cpu=check, gpu=check if options.check_reads else None)
    before = (plan.schedule.lower(each, ReadChecks()) for each in plan.before)
    kernels = Kernels(
        plan=plan,
        sweeps=(*before, plan.schedule.lower(plan.last, checks)),
        launch=plan.schedule.common(plan.sweeps, options.tiles),
        output=lower_output(plan.last),
        reads=reads,
    )
    stop_if_taken(kernels.functions, *plan.sweeps)
    return kernels
