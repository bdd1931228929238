"""Which recurrences a pass over the keys needs.

Enters: a linear weight, and its sums. Leaves: `Form`s; and the count of keys as one sum more, where it is needed.
"""

from __future__ import annotations

from dataclasses import replace

from attnc.algebra.fold import Sums
from attnc.algebra.separated import Term
from attnc.analyze.facts import TokenMask
from attnc.ir.nodes import RealConst
from attnc.lower.chunked.form import Form

ONE = RealConst(1.0)
Terms = tuple[Term, ...]


def with_count(fold: Sums, sums: tuple[Terms, ...]) -> tuple[Sums, tuple[Terms, ...]]:
    """How many keys a row sees is one sum more, unless it is there."""
    if ONE in fold.sums:
        return fold, sums
    return replace(fold, sums=(*fold.sums, ONE)), (*sums, (Term(),))


def make_forms(weight: Terms | None, sums: tuple[Terms, ...], mask: TokenMask) -> tuple[Form, ...]:
    """The form that weighs values, if one does, and then the others; sums of the same weights are one."""
    found: dict[Terms, list[int]] = {} if weight is None else {weight: []}
    for number, terms in enumerate(sums, 1):
        found.setdefault(terms, []).append(number)
    return tuple(
        Form(terms, mask, number, tuple(which), weighs_values=terms == weight)
        for number, (terms, which) in enumerate(found.items(), 1)
    )


def make_softmax_form(weight: Terms, mask: TokenMask) -> tuple[Form, ...]:
    """That of a softmax: the sum of its weights is 1."""
    return (Form(weight, mask, 1, (), weighs_values=True, divides=True),)
