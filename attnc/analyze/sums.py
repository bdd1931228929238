"""Normalizations that need no maximum: weights of one score each, and sums over the row that weights are divided by.

Enters: the formula of a normalization. Leaves: `Sums`, where the formula is a function of one score times a number of
the row, and the number of the row is made of plain sums over its visible keys: `relu(s) ** 2 / count()`,
`softplus(s) / sum(softplus(s))`. Sums can be added up in any order, in one pass, and what a row is multiplied with
stands outside of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnc.algebra.products import factors_of
from attnc.ir import build
from attnc.ir.nodes import Count, Node, Real, RealCall, RealConst, RealLoad, Row, RowSum, Score
from attnc.ir.walk import axes_of, children, replace_terms, walk

ONE = RealConst(1.0)


@dataclass(frozen=True, slots=True)
class Sums:
    """`weight` and `sums` in terms of `Score`; `gate` in terms of `RowSum`, the first of which is number 1."""

    weight: Real
    sums: tuple[Real, ...]
    gate: Real | None


def find_sums(formula: Real) -> Sums | str:
    """The sums of a formula, or why it has none."""
    plain = replace_terms(formula, _as_sum)
    assert isinstance(plain, Real)
    above, below = factors_of(plain)
    of_key = [f for f in above if _knows_key(f)], [f for f in below if _knows_key(f)]
    of_row = [f for f in above if f not in of_key[0]], [f for f in below if f not in of_key[1]]
    weight = _quotient(*of_key)
    if _holds(weight, Row):
        return "a factor mixes the score of a key with a sum over the row, so one pass is not enough"
    gate = _quotient(*of_row)
    inner = list(dict.fromkeys(part for part in walk(gate) if isinstance(part, Row)))
    if any(row.kind in ("max", "min") for row in inner):
        return "a maximum or minimum over the row has no gradient in a kernel"
    sums = tuple(row.a for row in inner)
    if any(_holds(each, Row) for each in sums):
        return "a sum over the row holds another one, so one pass is not enough"
    if inner and any(_grows(each) for each in (weight, *sums)):
        return "exponentials of scores overflow unless one sum divides them"
    if any(_holds(each, RealLoad) for each in (weight, *sums)):
        return "an array that is read at each key belongs into `score`"
    numbers: dict[Node, Node] = {row: RowSum(n) for n, row in enumerate(inner, 1)}
    named = replace_terms(gate, numbers.get)
    assert isinstance(named, Real)
    return Sums(weight, sums, None if named == ONE else named)


def _as_sum(term: Node) -> Node | None:
    """A mean is a sum over a count, and a count is a sum of ones."""
    match term:
        case Row("mean", a):
            total = Row("sum", a, span=term.span)
            return build.real("/", replace_terms(total, _as_sum), Row("sum", ONE))  # type: ignore[arg-type]
        case Count():
            return Row("sum", ONE)
    return None


def _knows_key(term: Real) -> bool:
    """Is it another number for another key of the row?"""
    if isinstance(term, Row):
        return False
    if isinstance(term, Score) or ("j" in axes_of(term) and not _holds(term, Row | Score)):
        return True
    return any(isinstance(child, Real) and _knows_key(child) for child in children(term))


def _holds(term: Node, kind: object) -> bool:
    return any(isinstance(part, kind) for part in walk(term))  # type: ignore[arg-type]


def _grows(term: Real) -> bool:
    return any(isinstance(part, RealCall) and part.fn == "exp" and _holds(part, Score) for part in walk(term))


def _quotient(above: list[Real], below: list[Real]) -> Real:
    result: Real = ONE
    for factor in above:
        result = build.real("*", result, factor)
    for factor in below:
        result = build.real("/", result, factor)
    return result
