"""What the functions of an attention take, on every path.

Enters: a plan. Leaves: the names of tensors and scalars, in the order of every signature.
"""

from __future__ import annotations

from attnc.lower.collect import needs_of
from attnc.lower.names import variable
from attnc.lower.plan import Plan


def tensors_of(plan: Plan) -> list[str]:
    """The tensors of vectors, and captured arrays."""
    return [*vectors_of(plan), *(variable(p.name) for p in plan.attention.params if p.sizes)]


def vectors_of(plan: Plan) -> list[str]:
    """The tensors of vectors, which all have gradients: q, k, others of the score, v where values are weighed."""
    vectors = [name for pair in plan.dots for name in (pair.query, pair.key)]
    return list(dict.fromkeys(["q", "k", *vectors, *(["v"] if plan.weighs_values else [])]))


def scalars_of(plan: Plan) -> list[str]:
    return ["scale", *(variable(p.name) for p in plan.attention.params if not p.sizes)]


def floats_of(plan: Plan) -> list[str]:
    """The scalars that an operator takes as a list, or as a tensor."""
    floats = {variable(p.name) for p in plan.attention.params if p.sort == "float"}
    return [name for name in scalars_of(plan) if name == "scale" or name in floats]


def wholes_of(plan: Plan) -> list[str]:
    """The other scalars: ints and bools."""
    return [name for name in scalars_of(plan) if name not in floats_of(plan)]


def backward_params(plan: Plan) -> list[str]:
    """What a backward function takes."""
    given = [f"d{name}" for name in plan.results]
    return [*given, *tensors_of(plan), *plan.saved, *scalars_of(plan), *needs_of(plan)]
