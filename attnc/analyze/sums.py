"""Normalizations that need no maximum: weights of one score each, and sums over the row that weights are divided by.

Enters: the formula of a normalization. Leaves: a fold, `Sums`, where the formula is a function of one score times a
number of the row, and the number of the row is made of plain sums over its visible keys: `relu(s) ** 2 / count()`,
`softplus(s) / sum(softplus(s))`. Sums can be added up in any order, in one pass, and what a row is multiplied with
stands outside of them.
"""

from __future__ import annotations

from collections.abc import Collection

from attnc.algebra.fold import Sums
from attnc.algebra.products import factors_of, quotient
from attnc.analyze.row_terms import holds_row, knows_key
from attnc.ir import build
from attnc.ir.nodes import Count, Node, Real, RealConst, Row, RowSum
from attnc.ir.signs import grows
from attnc.ir.walk import holds, replace_terms, walk

ONE = RealConst(1.0)
EXTREME = "a maximum or minimum over the row needs a pass of its own"
GROWS = "exponentials of scores overflow unless one sum divides them"


def find_sums(
    formula: Real, bounded: Collection[Node] = (), is_later: bool = False
) -> tuple[Sums, Real | None] | str:
    """The sums of a formula and what the row is multiplied with, in terms of `RowSum`; or why it has none.

    `bounded` are 0 at most; `is_later` where a pass went before.
    """
    above, below = factors_of(plain_sums(formula))
    of_key = [f for f in above if knows_key(f)], [f for f in below if knows_key(f)]
    of_row = [f for f in above if f not in of_key[0]], [f for f in below if f not in of_key[1]]
    weight = quotient(*of_key)
    if holds_row(weight):
        return "a factor mixes the score of a key with a sum over the row, so one pass is not enough"
    numbers = number_sums([quotient(*of_row)])
    if isinstance(numbers, str):
        return numbers
    sums, (gate,) = numbers
    # A weight that grows may be what is written, as in exp(s) / count(). In a later pass a number of the row may be
    # what keeps it small, and it is multiplied with that when it is too late.
    if any(grows(each, bounded) for each in ((weight, *sums) if is_later else sums)):
        return GROWS
    return Sums(weight=weight, sums=sums), None if gate == ONE else gate


def number_sums(terms: list[Real]) -> tuple[tuple[Real, ...], tuple[Real, ...]] | str:
    """What is summed, and the terms with the sums by their number; or why not."""
    rows = list(dict.fromkeys(part for term in terms for part in walk(term) if isinstance(part, Row)))
    if any(row.kind in ("max", "min") for row in rows):
        return EXTREME
    if any(holds(row.a, Row) for row in rows):
        return "a sum over the row holds another one, so one pass is not enough"
    numbers: dict[Node, Node] = {row: RowSum(n) for n, row in enumerate(rows, 1)}
    named = tuple(replace_terms(term, numbers.get, Row) for term in terms)
    return tuple(row.a for row in rows), named  # type: ignore[return-value]


def plain_sums(term: Real) -> Real:
    """A mean is a sum over a count, and a count is a sum of ones."""
    plain = replace_terms(term, _as_sum, Row, Count)
    assert isinstance(plain, Real)
    return plain


def _as_sum(term: Node) -> Node | None:
    match term:
        case Row("mean", a):
            total = Row("sum", plain_sums(a), span=term.span)
            return build.real("/", total, Row("sum", ONE))
        case Count():
            return Row("sum", ONE)
    return None
