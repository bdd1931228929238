"""Numbers of a row that are needed before a key can be weighed: each is found by an earlier pass over the keys.

Enters: the formula of a normalization. Leaves: the formula with such numbers replaced by arrays, and the passes that
make them: `exp(-(s - mean(s)) ** 2)` becomes `exp(-(s - row_1[b, h, i]) ** 2)`, after a pass that finds the mean. One
step takes the innermost numbers; steps are repeated until one pass is enough for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from attnc.algebra.fold import Largest, Softmax, Sums
from attnc.algebra.products import factors_of, quotient
from attnc.analyze.facts import Reason, RowPass
from attnc.analyze.row_arrays import read_row_arrays
from attnc.analyze.row_terms import as_exponential, holds_row, is_constant_along_row, is_number_of_row
from attnc.analyze.sums import GROWS, number_sums, plain_sums
from attnc.ir import build
from attnc.ir.nodes import Count, Index, Node, Real, RealCall, RealLoad, RealOp, Row, RowLog, RowMax, Score
from attnc.ir.signs import exceeds_1
from attnc.ir.text import print_ir
from attnc.ir.walk import holds, replace_terms, walk


@dataclass(frozen=True, slots=True)
class Split:
    """A formula, the passes that went before it, and terms in it that are known to be 0 at most."""

    formula: Real
    passes: tuple[RowPass, ...] = ()
    bounded: tuple[Node, ...] = ()


def split_rows(split: Split, taken: set[str]) -> Split | str | None:
    """One pass more before the formula; or why not; None where no number of a row stands in the way."""
    numbers = list(dict.fromkeys(_numbers_in_factors(split)))
    if not numbers:
        return None
    for row in (row for number in numbers for row in _rows(number)):
        if row.kind in ("max", "min"):
            return _split_extreme(split, row, taken)
    plain = [number for number in numbers if not any(exceeds_1(row, split.bounded) for row in _rows(number))]
    return _split_sums(split, plain, taken) if plain else _split_exponentials(split, numbers[0], taken)


def pair_exponentials(formula: Real) -> Real:
    """exp(u) * x / sum(exp(u)) = exp(u - log(sum(exp(u)))) * x, which cannot overflow."""
    above, below = factors_of(_with_plain_exponentials(formula))
    for term in above:
        total = Row("sum", term)
        if as_exponential(term) and total in below and not holds_row(term):
            assert isinstance(term, RealCall)
            share = build.call("exp", build.real("-", term.a, build.call("log", total)))
            rest = above.copy(), below.copy()
            rest[0][above.index(term)] = share
            rest[1].remove(total)
            return quotient(*rest)
    return formula


def _with_plain_exponentials(formula: Real) -> Real:
    """Means of exponentials as sums over a count."""

    def plain(term: Node) -> Node | None:
        return plain_sums(term) if isinstance(term, Row) and term.kind == "mean" and exceeds_1(term) else None

    result = replace_terms(formula, plain, Row)
    assert isinstance(result, Real)
    return result


# ---- numbers -------------------------------------------------------------------------------------------


def _numbers_in_factors(split: Split) -> Iterator[Real]:
    """The innermost numbers of a row that meet a single score, and those that are no plain sums."""
    for factor in (factor for factors in factors_of(split.formula) for factor in factors):
        yield from _numbers(factor, not is_constant_along_row(factor), split.bounded)


def _numbers(term: Node, meets_score: bool, bounded: tuple[Node, ...]) -> Iterator[Real]:
    if isinstance(term, Real) and is_constant_along_row(term):
        outer = list(_outer_rows(term))
        if meets_score and outer and not any(holds_row(row.a) for row in outer if isinstance(row, Row)):
            yield term
            return
        for row in (row for row in outer if isinstance(row, Row)):
            if not holds_row(row.a) and (row.kind in ("max", "min") or exceeds_1(row, bounded)):
                yield row
            yield from _numbers(row.a, True, bounded)
        return
    for child in term.children:
        yield from _numbers(child, meets_score, bounded)


def _outer_rows(term: Node) -> Iterator[Row | Count]:
    """Reductions of a term that are not inside of another one."""
    if isinstance(term, Row | Count):
        yield term
        return
    for child in term.children:
        yield from _outer_rows(child)


def _rows(term: Real) -> list[Row]:
    return [part for part in walk(term) if isinstance(part, Row)]


# ---- passes --------------------------------------------------------------------------------------------


def _split_sums(split: Split, numbers: list[Real], taken: set[str]) -> Split | str:
    """A pass that adds up what these numbers are made of."""
    named = number_sums([plain_sums(number) for number in numbers])
    if isinstance(named, str):
        return named
    sums, terms = named
    names = _fresh(len(numbers), taken)
    made = ", ".join(f"{name} = {print_ir(number)}" for name, number in zip(names, numbers, strict=True))
    why = Reason(f"a pass over the keys comes first, for {made}: weights need it", split.formula.span)
    arrays = tuple((number, _array(name, number)) for name, number in zip(names, numbers, strict=True))
    return _replaced(split, RowPass(Sums(sums=sums), tuple(zip(names, terms, strict=True)), arrays, (why,)))


def _split_extreme(split: Split, row: Row, taken: set[str]) -> Split | str:
    """A pass that finds the first key with the largest, or least, number of its row."""
    if not holds(row.a, Score):
        return "the largest of numbers without a score has no kernel"
    (name,) = _fresh(1, taken)
    why = Reason(f"a pass over the keys comes first, for {name} = {print_ir(row)}: weights need it", row.span)
    of = row.a if row.kind == "max" else build.negative(row.a)
    arrays = ((row, _array(name, row)),)
    return _replaced(split, RowPass(Largest(sums=(of,)), ((name, row.a),), arrays, (why,)))


def _split_exponentials(split: Split, number: Real, taken: set[str]) -> Split | str:
    """A pass that finds the logarithm of a sum of exponentials, in two parts: the largest, and what is left."""
    total = next(row for row in _rows(number) if exceeds_1(row, split.bounded))
    inside = as_exponential(total.a)
    if total.kind != "sum" or inside is None or not is_number_of_row(inside.shift):
        return GROWS
    logarithm, names = build.call("log", total), _fresh(2, taken)
    made = f"{' + '.join(names)} = {print_ir(logarithm)}"
    why = Reason(f"a pass over the keys comes first, for {made}: weights need it", total.span)
    largest, rest = (_array(name, total) for name in names)
    lse = build.real("+", largest, rest)

    def without(log: Real, whole: Real) -> Split:
        arrays = (logarithm, whole), (total, build.call("exp", whole))
        numbers = tuple(zip(names, (RowMax(), log), strict=True))
        later = _replaced(split, RowPass(Softmax(inside.core), numbers, arrays, (why,)))
        if not isinstance(total.a, RealCall):
            return later
        return replace(later, bounded=(*later.bounded, RealOp("-", total.a.a, whole)))

    # What is added to every score of a row is added to its number, unless the same is subtracted where that is read.
    found = (
        without(build.real("+", RowLog(), inside.shift), lse),
        without(RowLog(), build.real("+", lse, inside.shift)),
    )
    return min(found, key=lambda later: sum(1 for _ in walk(later.formula)))


def _replaced(split: Split, done: RowPass) -> Split:
    formula = read_row_arrays(split.formula, done)
    assert isinstance(formula, Real)
    return replace(split, formula=replace(formula, span=split.formula.span), passes=(*split.passes, done))


def _array(name: str, number: Real) -> RealLoad:
    return RealLoad(name, (Index("b"), Index("h"), Index("i")), span=number.span)


def _fresh(count: int, taken: set[str]) -> list[str]:
    """Names of numbers of a row, which no parameter has; they are taken from now on."""
    names: list[str] = []
    number = 1
    while len(names) < count:
        name = f"row_{number}"
        if name not in taken:
            names.append(name)
            taken.add(name)
        number += 1
    return names
