"""Which recurrences an attention needs.

Enters: a linear weight and its sums. Leaves: `Form`s: the weight, and each sum that is not the sum of its weights.
"""

from __future__ import annotations

from attnc.algebra.separated import Term
from attnc.analyze.facts import Linear
from attnc.lower.chunked.form import Form


def make_forms(linear: Linear) -> tuple[Form, ...]:
    """The form that weighs values, and then the others; sums of the same weights are one."""
    sums: dict[tuple[Term, ...], list[int]] = {linear.weight: []}
    for number, terms in enumerate(linear.sums, 1):
        sums.setdefault(terms, []).append(number)
    return tuple(
        Form(terms, linear.mask, number, tuple(which), number == 1)
        for number, (terms, which) in enumerate(sums.items(), 1)
    )
