"""The gradients of captured arrays: what each reading of one gets, and where it is summed.

Enters: an attention as its kernels see it, and its fold. Leaves: an `ArrayGradient` for each reading of a float
array that has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

from attnc.algebra.derivative import ZERO, Derivatives
from attnc.algebra.fold import Fold, Softmax
from attnc.analyze.facts import Reason
from attnc.ir.nodes import Attention, Dot, Node, Real, RealCall, RealLoad, RealOp
from attnc.ir.walk import axes_of, holds, is_invariant, walk
from attnc.kernel.expressions import Expr
from attnc.lower.regroup import regroup
from attnc.lower.terms import Terms
from attnc.lower.token_maps import print_as_written

Home = Literal["lse", "row", "column", "pair"]


@dataclass(frozen=True, slots=True)
class ArrayGradient:
    """The gradient of one reading of a float array: `ds * derivative`, summed at its `home`.

    Where a weight reads it, or a sum over the row, what goes past the score is added: `dp * in_weight` and, for each
    sum, `dsum * in_sums`.

    `row`: over the keys of each query, in the registers of the dQ kernel. `column`: over the queries of each key, in
    the dK/dV kernel. `pair`: the index mixes both positions, so pairs are written out, a strip of queries at a time.
    `lse`: what it adds is the same for every key of a row. Softmax loses that, so the sum of `ds` over the row is the
    gradient of its log-sum-exp, and no kernel has to add it up.
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

    @property
    def past(self) -> str:
        """The name of what goes past the score, for every pair."""
        return f"{self.name}_past"

    @property
    def pairs(self) -> str:
        """The name of what goes through the score."""
        return f"{self.name}_pairs"


def find_array_gradients(attention: Attention, score: Real, fold: Fold) -> list[ArrayGradient]:
    loads = dict.fromkeys(p for term in (score, *fold.terms) for p in walk(term) if isinstance(p, RealLoad))
    found: list[ArrayGradient] = []
    counts = Counter[str]()
    of_score, of_sums = Derivatives(score), [Derivatives(each) for each in fold.sums]
    of_weight = None if fold.weight is None else Derivatives(fold.weight)
    for load in loads:
        derivative = regroup(of_score.by(load))
        in_weight = ZERO if of_weight is None else of_weight.by(load)
        in_sums = tuple(each.by(load) for each in of_sums)
        if all(each == ZERO for each in (derivative, in_weight, *in_sums)):
            continue
        home = _home(load, derivative, fold)
        counts[load.array] += 1
        count = counts[load.array]
        name = f"d_{load.array}" + (f"_{count}" if count > 1 else "")
        found.append(ArrayGradient(load, derivative, in_weight, in_sums, home, name))
    return found


def _home(load: RealLoad, derivative: Real, fold: Fold) -> Home:
    axes = axes_of(load)
    if "j" in axes:
        return "pair" if "i" in axes else "column"
    is_of_row = "j" not in axes_of(derivative) and not holds(derivative, Dot)
    return "lse" if isinstance(fold, Softmax) and is_of_row and is_finite(derivative) else "row"


def is_finite(term: Node) -> bool:
    """Is a term finite wherever its leaves are? Division, logarithms and powers may not be."""
    for part in walk(term):
        match part:
            case RealOp("/" | "**") | RealCall("log" | "sqrt" | "exp") if not is_invariant(part):
                return False
    return True


def why_homes(gradients: Sequence[ArrayGradient], stands_for: Mapping[Node, Node]) -> Iterator[Reason]:
    """What is said of them; what nobody wrote goes by what it stands for."""
    for each in gradients:
        written = print_as_written(each.load, stands_for)
        if each.home == "pair":
            array = written if each.load in stands_for else each.load.array
            what = f"the gradient of `{array}` is summed from strips of query-key pairs"
            yield Reason(f"{what}, because its index mixes both positions", each.load.span)
        elif each.home == "lse":
            what = f"what `{written}` adds is the same for every key of a row"
            yield Reason(
                f"{what}: softmax loses it, and its gradient is that of the log-sum-exp", each.load.span
            )


def pass_back(slopes: Sequence[Real], gradient_of: Callable[[int], Expr], terms: Terms, zeros: Expr) -> Expr:
    """The gradients of the weights (number 0) and of each sum of the row, each times its slope, for every pair.

    Those that have a slope in common are added up before they are multiplied with it.
    """
    by_slope: dict[Real, list[int]] = {}
    for n, slope in enumerate(slopes):
        if slope != ZERO:
            by_slope.setdefault(slope, []).append(n)
    given = [
        terms.times(reduce(Expr.__add__, map(gradient_of, which)), slope) for slope, which in by_slope.items()
    ]
    if slopes[0] == ZERO and not any("j" in axes_of(slope) for slope in slopes):
        given.insert(0, zeros)
    return reduce(Expr.__add__, given)
