"""Dot products of a query's and a key's vector, however they are written.

Enters: a sum over features of a product in which both stand, `sum_d(x[b, i, :] * y[b, j, :])`. Leaves: the same as
`dot(x[b, i, :], y[b, j, :])`, times the numbers that stand in the product. What is added up is what was, in another
order; so there is None where a vector would be a product that nobody wrote, which half precision may have no room for,
or where a number may be infinite, which makes each of its products infinite and their sum none. What becomes several
products is never taken, as their errors do not cancel where they do (ADR 0035): it is said how to write them.
"""

from __future__ import annotations

from dataclasses import replace

from attnc.algebra.atoms import side_of
from attnc.algebra.known import Known
from attnc.algebra.products import quotient
from attnc.algebra.separate import separate
from attnc.algebra.separated import Refused, sum_of
from attnc.ir.infinite import may_be_minus_infinity
from attnc.ir.nodes import Dot, Real, RealConst, Splat, SumD, Vec, VecOp
from attnc.ir.walk import is_invariant
from attnc.ir.words import LONGEST, plain_text


def as_dot(term: Dot | SumD) -> Real | None:
    """The sum as a dot product, the query's vector first, and what it is multiplied with and divided by."""
    vectors: list[Vec] = []
    numbers: tuple[list[Real], list[Real]] = [], []
    for factor, divides in (
        _factors(term.a) if isinstance(term, SumD) else (*_factors(term.a), *_factors(term.b))
    ):
        if not isinstance(factor, Splat) and not divides:
            vectors.append(factor)
        elif isinstance(factor, Splat) and _is_finite(factor.a, divides):
            numbers[divides].append(factor.a)
        else:
            return None
    match sorted(vectors, key=side_of, reverse=True):
        case [query, key] if (side_of(query), side_of(key)) == ("query", "key"):
            above, below = numbers
            return replace(quotient([*above, Dot(query, key, span=term.span)], below), span=term.span)
    return None


def _is_finite(number: Real, divides: bool) -> bool:
    """Of what is one number for all pairs of a head there is no pair that others could tell from it."""
    return is_invariant(number) or (not divides and may_be_minus_infinity(number) is None)


def _factors(vec: Vec) -> tuple[tuple[Vec, bool], ...]:
    """Of what knows the query and the key, each with whether it divides; what knows one of them stays whole."""
    if side_of(vec) == "pair":
        match vec:
            case VecOp("*", a, b):
                return *_factors(a), *_factors(b)
            case VecOp("/", a, b):
                return *_factors(a), (b, True)
            case VecOp("-", Splat(RealConst(0.0)), b):
                return (Splat(RealConst(-1.0)), False), *_factors(b)
    return ((vec, False),)


def written_apart(term: Real, known: Known) -> str | None:
    """How to write a sum over features of a pair so that it has a kernel; None where there is no such way to read."""
    try:
        found = separate(term, known)
    except Refused:
        return None
    text = plain_text(sum_of(found.terms))
    if found.positive or any(each.exponents for each in found.terms) or len(text) > LONGEST:
        return None
    cancels = "; where its products cancel each other, their errors stay" if len(found.terms) > 1 else ""
    return f"written as `{text}` it has one{cancels}"
