"""The gradients of captured arrays: what each reading of one gets, and where it is summed.

Enters: an attention as its kernels see it, and its weights. Leaves: an `ArrayGradient` for each reading of a float
array that has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnc.algebra.derivative import ZERO, differentiate
from attnc.analyze.facts import Weights
from attnc.ir.nodes import Attention, Real, RealLoad
from attnc.ir.walk import axes_of, walk
from attnc.lower.regroup import regroup

Home = Literal["row", "column", "pair"]


@dataclass(frozen=True, slots=True)
class ArrayGradient:
    """The gradient of one reading of a float array: `ds * derivative`, summed at its `home`.

    Where a weight reads it, or a sum over the row, what goes past the score is added: `dp * in_weight` and, for each
    sum, `dsum * in_sums`.

    `row`: over the keys of each query, in the registers of the dQ kernel. `column`: over the queries of each key, in
    the dK/dV kernel. `pair`: the index mixes both positions, so pairs are written out, a strip of queries at a time.
    """

    load: RealLoad
    derivative: Real
    in_weight: Real
    in_sums: tuple[Real, ...]
    home: Home
    name: str

    @property
    def passes_score(self) -> bool:
        """Does some of it go past the score?"""
        return any(each != ZERO for each in (self.in_weight, *self.in_sums))


def find_array_gradients(attention: Attention, score: Real, weights: Weights) -> list[ArrayGradient]:
    past = [each for each in (weights.weight, *weights.sums) if each is not None]
    loads = dict.fromkeys(p for term in (score, *past) for p in walk(term) if isinstance(p, RealLoad))
    found: list[ArrayGradient] = []
    for load in loads:
        derivative = regroup(differentiate(score, load))
        in_weight = ZERO if weights.weight is None else differentiate(weights.weight, load)
        in_sums = tuple(differentiate(each, load) for each in weights.sums)
        if all(each == ZERO for each in (derivative, in_weight, *in_sums)):
            continue
        axes = axes_of(load)
        home: Home = "pair" if {"i", "j"} <= axes else "column" if "j" in axes else "row"
        count = sum(g.load.array == load.array for g in found)
        name = f"d_{load.array}" + (f"_{count + 1}" if count else "")
        found.append(ArrayGradient(load, derivative, in_weight, in_sums, home, name))
    return found


def why_pairs(gradient: ArrayGradient) -> str:
    return (
        f"the gradient of `{gradient.load.array}` is summed from strips of query-key pairs, because its index mixes "
        "both positions"
    )
