"""All functions of a plan, lowered.

Enters: a plan. Leaves: `Kernels`: the Triton kernels with their helpers, the CPU path, and the functions that add up
the gradients of captured arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from attnc.lower.tiled.backward_keys import lower_backward_keys
from attnc.lower.tiled.backward_pairs import lower_backward_pairs
from attnc.lower.tiled.backward_queries import lower_backward_queries
from attnc.lower.tiled.delta import lower_delta
from attnc.lower.tiled.forward import lower_forward


@dataclass(frozen=True, slots=True)
class Kernels:
    """`triton` in the order in which a module defines them; a kernel that the plan does not need is not there.

    Without any, the CPU path is all there is. `reads` check that no index leaves its array. A pass that comes `before`
    has kernels of its own, and `numbers`, which makes of its sums what later passes read.
    """

    plan: Plan
    triton: tuple[Function, ...]
    cpu: tuple[Function, ...]
    adders: tuple[Function, ...]
    per_token: Function | None
    output: Function | None
    numbers: Function | None
    lists: tuple[Function, ...]
    reads: tuple[Function, ...]
    before: tuple[Kernels, ...]

    def kernel(self, name: str) -> Function | None:
        return next((fn for fn in self.triton if fn.name == self.plan.named(name)), None)

    def without_triton(self) -> Kernels:
        """The CPU path, and what is around it, alone."""
        lists = tuple(fn for fn in self.lists if not fn.name.startswith("_lists_of"))
        return replace(
            self, triton=(), lists=lists, before=tuple(each.without_triton() for each in self.before)
        )

    def lists_of(self, what: str) -> Function:
        """The function that lists the tiles of keys, or of queries."""
        return next(fn for fn in self.lists if fn.name == f"_lists_of_{what}")


def _lower_row_numbers(plan: Plan) -> Function | None:
    if plan.weighs_values:
        return None
    return lower_at_key(plan) if plan.weights.kind == "largest" else lower_numbers(plan)


def lower_plan(plan: Plan) -> Kernels:
    """Every function of the emitted module but its frame."""
    triton = list(lower_forward(plan))
    if plan.split:
        triton += [fn for fn in (*lower_split(plan), lower_combine(plan)) if fn not in triton]
    if plan.weights.kind == "softmax" and plan.weighs_values:
        triton.append(lower_delta(plan))
    if plan.has_gradient:
        triton += lower_backward_keys(plan)
        triton += lower_backward_queries(plan) or ()
        triton += lower_backward_pairs(plan) or ()
    reads = lower_misreads(plan)
    return Kernels(
        plan=plan,
        triton=tuple(triton),
        cpu=lower_cpu(plan, reads[-1] if reads else None),
        adders=tuple(lower_adder(plan, gradient) for gradient in plan.gradients),
        per_token=lower_per_token(plan),
        output=lower_output(plan) if plan.weighs_values else None,
        numbers=_lower_row_numbers(plan),
        lists=lower_lists(plan),
        reads=reads,
        before=tuple(map(lower_plan, plan.before)),
    )
