"""What the functions of an attention take, on every path.

Enters: a sweep. Leaves: the names of tensors and scalars, in the order of every signature.
"""

from __future__ import annotations

from attnc.lower.collect import needs_of
from attnc.lower.names import variable
from attnc.lower.sweep import Sweep


def tensors_of(sweep: Sweep) -> list[str]:
    """The tensors of vectors, and captured arrays."""
    return [*vectors_of(sweep), *(variable(p.name) for p in sweep.attention.params if p.sizes)]


def vectors_of(sweep: Sweep) -> list[str]:
    """The tensors of vectors, which all have gradients: q, k, others of the score, v where values are weighed."""
    vectors = [name for pair in sweep.dots for name in (pair.query, pair.key)]
    return list(dict.fromkeys(["q", "k", *vectors, *(["v"] if sweep.weighs_values else [])]))


def scalars_of(sweep: Sweep) -> list[str]:
    return ["scale", *(variable(p.name) for p in sweep.attention.params if not p.sizes)]


def floats_of(sweep: Sweep) -> list[str]:
    """The scalars that an operator takes as a list, or as a tensor."""
    floats = {variable(p.name) for p in sweep.attention.params if p.sort == "float"}
    return [name for name in scalars_of(sweep) if name == "scale" or name in floats]


def wholes_of(sweep: Sweep) -> list[str]:
    """The other scalars: ints and bools."""
    return [name for name in scalars_of(sweep) if name not in floats_of(sweep)]


def backward_params(sweep: Sweep) -> list[str]:
    """What a backward function takes."""
    given = [f"d{name}" for name in sweep.results]
    return [*given, *tensors_of(sweep), *sweep.saved, *scalars_of(sweep), *needs_of(sweep)]
