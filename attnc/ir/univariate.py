"""Polynomials in one term: `1 + s + s * s / 2` in `s`.

Enters: a real. Leaves: whether it is above 0, or not below it, whatever the term is that it is a polynomial in. Roots
are counted by Sturm's theorem, over exact fractions. A kernel that adds up terms may be off by a few units of what they
are in size; what is said holds with that taken off, so it is so of what is computed too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import isfinite

from attnc.ir.nodes import Real, RealConst, RealOp

MOST_TERMS = 16
ROUNDING = Fraction(1, 2**20)  # float32 rounds at 2**-24, once for each of a few operations
ZERO, ONE = Fraction(0), Fraction(1)

Coefficients = tuple[Fraction, ...]  # that of x ** n has the number n


@dataclass(frozen=True)
class Polynomial:
    """In `x`, which a constant lacks; `sizes` is one in abs(x), and says how large what is added up may be."""

    x: Real | None
    values: Coefficients
    sizes: Coefficients


def is_polynomial_at_least_0(term: Real) -> bool:
    return all(_is_at_least_0(side) for side in _sides(term))


def is_polynomial_positive(term: Real) -> bool:
    return all(_is_at_least_0(side) and side[0] > 0 for side in _sides(term))


def as_polynomial(term: Real) -> Polynomial:
    """A term as a polynomial; in itself, where it is one in nothing else."""
    itself = Polynomial(term, (ZERO, ONE), (ZERO, ONE))
    match term:
        case RealConst(value) if isfinite(value):
            return Polynomial(None, (Fraction(value),), (abs(Fraction(value)),))
        case RealOp("+" | "-" | "*" as op, a, b):
            one, two = as_polynomial(a), as_polynomial(b)
            if one.x and two.x and one.x != two.x:
                return itself
            if op == "*":
                found = _multiply(one.values, two.values), _multiply(one.sizes, two.sizes)
            else:
                found = _add(one.values, two.values, 1 if op == "+" else -1), _add(one.sizes, two.sizes, 1)
            return Polynomial(one.x or two.x, *found) if len(found[1]) <= MOST_TERMS else itself
        case RealOp("/", a, RealConst(c)) if c and isfinite(c):
            one = as_polynomial(a)
            values, sizes = (tuple(x / Fraction(c) for x in each) for each in (one.values, one.sizes))
            return Polynomial(one.x, values, tuple(map(abs, sizes)))
        case RealOp("**", a, RealConst(n)) if n in range(1, MOST_TERMS):
            one = as_polynomial(a)
            found = one.values, one.sizes
            for _ in range(int(n) - 1):
                found = _multiply(found[0], one.values), _multiply(found[1], one.sizes)
            return Polynomial(one.x, *found) if len(found[1]) <= MOST_TERMS else itself
        case _:
            return itself


def _sides(term: Real) -> tuple[Coefficients, Coefficients]:
    """The polynomial, less what rounding may take, as two in what is not below 0: of `x` and of `-x`."""
    found = as_polynomial(term)
    if found.x == term:
        return (-ONE,), (-ONE,)  # nothing is known of it
    lost = tuple(ROUNDING * size for size in found.sizes)
    values = found.values + (ZERO,) * (len(lost) - len(found.values))
    after = tuple(c - less for c, less in zip(values, lost, strict=True))
    before = tuple((-1) ** n * c - less for n, (c, less) in enumerate(zip(values, lost, strict=True)))
    return after, before


def _is_at_least_0(polynomial: Coefficients) -> bool:
    """Is it above 0 for every x above 0?"""
    rest = _without_zeros(polynomial)
    while rest and rest[0] == 0:
        rest = rest[1:]
    return not rest or (rest[0] > 0 and rest[-1] > 0 and not _has_root_above_0(rest))


def _has_root_above_0(polynomial: Coefficients) -> bool:
    """By Sturm's theorem, of a polynomial that is not 0 at 0."""
    chain = [polynomial, tuple(n * c for n, c in enumerate(polynomial))[1:]]
    while chain[-1]:
        chain.append(tuple(-c for c in _remainder(chain[-2], chain[-1])))
    at_0, at_infinity = ([each[place] for each in chain[:-1]] for place in (0, -1))
    return _changes(at_0) != _changes(at_infinity)


def _changes(values: Sequence[Fraction]) -> int:
    signs = [value > 0 for value in values if value]
    return sum(one != two for one, two in pairwise(signs))


def _remainder(a: Coefficients, b: Coefficients) -> Coefficients:
    rest = a
    while len(rest) >= len(b):
        times, shift = rest[-1] / b[-1], len(rest) - len(b)
        less = (ZERO,) * shift + tuple(times * c for c in b)
        rest = _without_zeros([c - d for c, d in zip(rest, less, strict=True)][:-1])
    return rest


def _without_zeros(polynomial: Sequence[Fraction]) -> Coefficients:
    """Without those of the highest powers that are 0."""
    end = len(polynomial)
    while end and polynomial[end - 1] == 0:
        end -= 1
    return tuple(polynomial[:end])


def _add(a: Coefficients, b: Coefficients, sign: int) -> Coefficients:
    length = max(len(a), len(b))
    one, two = (each + (ZERO,) * (length - len(each)) for each in (a, b))
    return tuple(x + sign * y for x, y in zip(one, two, strict=True))


def _multiply(a: Coefficients, b: Coefficients) -> Coefficients:
    found = [ZERO] * (len(a) + len(b) - 1)
    for n, x in enumerate(a):
        for m, y in enumerate(b):
            found[n + m] += x * y
    return tuple(found)
