"""All functions of a plan, lowered.

Enters: a plan. Leaves: `Kernels`: of each sweep the Triton kernels with their helpers, the CPU path, and the functions
that add up the gradients of captured arrays; and what torch does with single tokens and rows around them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from attnc.algebra.fold import Largest, Softmax
from attnc.kernel.nodes import Function
from attnc.lower.at_key import lower_at_key
from attnc.lower.collect import lower_adder
from attnc.lower.cpu import lower_cpu
from attnc.lower.lists import lower_lists
from attnc.lower.misreads import lower_misreads
from attnc.lower.per_token import lower_numbers, lower_output, lower_per_token
from attnc.lower.plan import Plan
from attnc.lower.split.combine import lower_combine
from attnc.lower.split.forward import lower_split
from attnc.lower.sweep import Sweep
from attnc.lower.tiled.backward_keys import lower_backward_keys
from attnc.lower.tiled.backward_pairs import lower_backward_pairs
from attnc.lower.tiled.backward_queries import lower_backward_queries
from attnc.lower.tiled.delta import lower_delta
from attnc.lower.tiled.forward import lower_forward


@dataclass(frozen=True, slots=True)
class SweepKernels:
    """The functions of one sweep: `triton` in the order in which a module defines them, and the CPU path.

    A kernel that the sweep does not need is not there. `numbers` makes of its sums what later sweeps read; the last one
    has none.
    """

    sweep: Sweep
    triton: tuple[Function, ...]
    cpu: tuple[Function, ...]
    adders: tuple[Function, ...]
    lists: tuple[Function, ...]
    numbers: Function | None

    def kernel(self, name: str) -> Function | None:
        return next((fn for fn in self.triton if fn.name == self.sweep.named(name)), None)

    def without_triton(self) -> SweepKernels:
        lists = tuple(fn for fn in self.lists if not fn.name.startswith("_lists_of"))
        return replace(self, triton=(), lists=lists)

    def lists_of(self, what: str) -> Function:
        """The function that lists the tiles of keys, or of queries."""
        return next(fn for fn in self.lists if fn.name == f"_lists_of_{what}")


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
            *(_lower_sweep(each, None) for each in plan.before),
            _lower_sweep(plan.last, check),
        ),
        per_token=lower_per_token(plan.last),
        output=lower_output(plan.last),
        reads=reads,
    )


def _lower_sweep(sweep: Sweep, check: Function | None) -> SweepKernels:
    triton = list(lower_forward(sweep))
    if sweep.split:
        triton += [fn for fn in (*lower_split(sweep), lower_combine(sweep)) if fn not in triton]
    if isinstance(sweep.fold, Softmax) and sweep.weighs_values:
        triton.append(lower_delta(sweep))
    if sweep.has_gradient:
        triton += lower_backward_keys(sweep)
        triton += lower_backward_queries(sweep) or ()
        triton += lower_backward_pairs(sweep) or ()
    return SweepKernels(
        sweep=sweep,
        triton=tuple(triton),
        cpu=lower_cpu(sweep, check),
        adders=tuple(lower_adder(sweep, gradient) for gradient in sweep.gradients),
        lists=lower_lists(sweep),
        numbers=_lower_row_numbers(sweep),
    )


def _lower_row_numbers(sweep: Sweep) -> Function | None:
    if sweep.weighs_values:
        return None
    return lower_at_key(sweep) if isinstance(sweep.fold, Largest) else lower_numbers(sweep)
