"""Numbers of a row, read as arrays in the place of what they were found for.

Enters: a term, and a pass that has found numbers. Leaves: the term that reads them. A log-sum-exp is found in two
parts, the largest score and the logarithm of the sum below it, since next to a large score a float32 has no digits for
the second. In a sum the score meets the largest one first: `s - log(sum(exp(s)))` becomes `s - row_1 - row_2`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attnc.algebra.fold import Softmax
from attnc.analyze.facts import RowPass
from attnc.analyze.row_terms import is_constant_along_row
from attnc.ir import build
from attnc.ir.nodes import Node, Real, RealConst, RealLoad, RealOp, RowMax, Score
from attnc.ir.walk import axes_of, holds, replace_terms, walk

# What is added, and what is subtracted.
Summand = tuple[bool, Real]


def read_row_arrays(term: Node, done: RowPass) -> Node:
    """The term as passes after that one see it."""
    term = replace_terms(term, dict(done.arrays).get)
    if not isinstance(done.fold, Softmax):
        return term
    largest = {part for _, array in done.arrays for part in walk(array) if _is_largest(part, done)}

    def regroup(part: Node) -> Node | None:
        if not isinstance(part, RealOp) or part.op not in ("+", "-"):
            return None
        summands = list(_summands(part))
        if not any(each in largest for _, each in summands):
            return None
        summands = _without_opposites(summands)
        score, others = _take(done.fold.score, summands)
        if not score:
            return None
        first = [each for each in others if each[1] in largest]
        if not first:
            return None
        ordered = sorted([*score, *first], key=lambda each: not each[0])
        ordered += [each for each in others if each not in first]
        return _sum_of([(plus, replace_terms(each, regroup)) for plus, each in ordered])

    return replace_terms(term, regroup)


def _is_largest(part: Node, done: RowPass) -> bool:
    return isinstance(part, RealLoad) and (part.array, RowMax()) in done.numbers


def _take(score: Real, summands: list[Summand]) -> tuple[list[Summand], list[Summand]]:
    """The score out of summands, as it is where the largest one is found, or else all that it is made of."""
    for sign in (True, False):
        others = list(summands)
        for plus, each in _summands(score):
            if (plus == sign, each) not in others:
                break
            others.remove((plus == sign, each))
        else:
            return [(sign, score)], others
    alone = replace_terms(score, lambda part: RealConst(0.0) if part == Score() else None)
    of_keys = "j" in axes_of(alone)
    apart = [each for each in summands if holds(each[1], Score) or (of_keys and "j" in axes_of(each[1]))]
    return apart, [each for each in summands if each not in apart]


def _summands(term: Real, plus: bool = True) -> Iterator[Summand]:
    match term:
        case RealOp("+" | "-" as op, a, b):
            yield from _summands(a, plus)
            yield from _summands(b, plus == (op == "+"))
        case RealConst(0.0):
            pass
        case _:
            yield plus, term


def _without_opposites(summands: Iterable[Summand]) -> list[Summand]:
    """Numbers of the row that are added and subtracted are left out."""
    kept: list[Summand] = []
    for plus, each in summands:
        if (not plus, each) in kept and is_constant_along_row(each):
            kept.remove((not plus, each))
        else:
            kept.append((plus, each))
    return kept


def _sum_of(summands: Sequence[tuple[bool, Node]]) -> Real:
    total: Real = RealConst(0.0)
    for plus, each in summands:
        assert isinstance(each, Real)
        total = build.real("+" if plus else "-", total, each)
    return total
