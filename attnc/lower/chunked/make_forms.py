"""Which recurrences an attention needs.

Enters: a linear weight, and its sums. Leaves: `Form`s; and the count of keys as one sum more, where it is needed.
"""

from __future__ import annotations

from dataclasses import replace

from attnc.algebra.fold import Fold, Softmax, Sums
from attnc.algebra.separated import Term
from attnc.analyze.facts import Linear
from attnc.ir.nodes import RealConst
from attnc.lower.chunked.form import Form

ONE = RealConst(1.0)


def with_count(fold: Sums, linear: Linear) -> tuple[Sums, Linear]:
    """How many keys a row sees is one sum more, unless it is there."""
    if ONE in fold.sums:
        return fold, linear
    return replace(fold, sums=(*fold.sums, ONE)), replace(linear, sums=(*linear.sums, (Term(),)))


def make_forms(linear: Linear, fold: Fold | None) -> tuple[Form, ...]:
    """The form that weighs values, and then the others; sums of the same weights are one."""
    if isinstance(fold, Softmax):
        return (Form(linear.weight, linear.mask, 1, (), divides=True),)
    sums: dict[tuple[Term, ...], list[int]] = {linear.weight: []}
    for number, terms in enumerate(linear.sums, 1):
        sums.setdefault(terms, []).append(number)
    return tuple(
        Form(terms, linear.mask, number, tuple(which))
        for number, (terms, which) in enumerate(sums.items(), 1)
    )
