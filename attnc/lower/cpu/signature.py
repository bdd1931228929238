"""What the functions of an attention take, on every path.

Enters: a plan. Leaves: the names of tensors and scalars, in the order of every signature.
"""

from __future__ import annotations

from attnc.lower.collect import needs_of
from attnc.lower.names import variable
from attnc.lower.plan import Plan


def tensors_of(plan: Plan) -> list[str]:
    """q, k, other vectors, v where there are values to weigh, captured arrays."""
    vectors = [name for pair in plan.dots for name in (pair.query, pair.key)]
    values = ["v"] if plan.weighs_values else []
    arrays = [variable(p.name) for p in plan.attention.params if p.sizes]
    return list(dict.fromkeys(["q", "k", *vectors, *values, *arrays]))


def scalars_of(plan: Plan) -> list[str]:
    return ["scale", *(variable(p.name) for p in plan.attention.params if not p.sizes)]


def backward_params(plan: Plan) -> list[str]:
    """What a backward function takes."""
    given = [f"d{name}" for name in plan.results]
    return [*given, *tensors_of(plan), *plan.saved, *scalars_of(plan), *needs_of(plan)]
