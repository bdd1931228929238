"""Which recurrences an attention needs.

Enters: a linear weight, its sums, and the fold that they were found for. Leaves: `Form`s, and the fold and the gate of
what they leave: a softmax becomes a weight, and its sum, which divides.
"""

from __future__ import annotations

from dataclasses import replace

from attnc.algebra.fold import Fold, Softmax, Sums
from attnc.algebra.separated import Term
from attnc.analyze.facts import Linear
from attnc.ir import build
from attnc.ir.nodes import Real, RealCall, RealConst, RowSum
from attnc.lower.chunked.form import Form

ONE = RealConst(1.0)


def as_sums(fold: Fold, gate: Real | None) -> tuple[Sums, Real | None]:
    """The fold as sums, and what the result of a row is multiplied with."""
    if isinstance(fold, Softmax):
        weight = RealCall("exp", fold.score)
        return Sums(weight=weight, sums=(weight,)), build.real("/", gate or ONE, RowSum(1))
    assert isinstance(fold, Sums)
    return fold, gate


def with_count(fold: Sums, linear: Linear) -> tuple[Sums, Linear]:
    """How many keys a row sees is one sum more, unless it is there."""
    if ONE in fold.sums:
        return fold, linear
    return replace(fold, sums=(*fold.sums, ONE)), replace(linear, sums=(*linear.sums, (Term(),)))


def make_forms(linear: Linear, is_softmax: bool) -> tuple[Form, ...]:
    """The form that weighs values, and then the others; sums of the same weights are one."""
    sums: dict[tuple[Term, ...], list[int]] = {linear.weight: []}
    for number, terms in enumerate(linear.sums, 1):
        sums.setdefault(terms, []).append(number)
    return tuple(
        Form(terms, linear.mask, number, tuple(which), is_softmax and number == 1)
        for number, (terms, which) in enumerate(sums.items(), 1)
    )
