"""Reals that are integers over a number: `w / 2`, `0.25 * i + 3`.

Enters: a real term. Leaves: its `Fraction`, or nothing. Two of them are compared as integers, multiplied out. That is
what doubles say of them too: nothing but a last division is rounded, to the nearest double, and fractions with small
denominators that differ lie farther apart than that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from attnc.ir.nodes import FromInt, Int, Real, RealCall, RealConst, RealOp
from attnc.sets.folding import extreme
from attnc.sets.polynomial import Polynomial, polynomial

LARGEST = 2**20  # numerators and denominators of constants


@dataclass(frozen=True)
class Fraction:
    """`of / by`, with `by >= 1`. Where it is `rounded` nothing else may be done with it but to compare it."""

    of: Polynomial
    by: int
    rounded: bool = False

    def minus(self, other: Fraction) -> Polynomial:
        """What is negative, zero or positive as the difference is."""
        return self.of * other.by - other.of * self.by


def find_fraction(term: Real, to_polynomial: Callable[[Int], Polynomial]) -> Fraction | None:
    """The term as a fraction, where each of its operations but the last is exact."""
    match term:
        case FromInt(a):
            return Fraction(to_polynomial(a), 1)
        case RealConst(value) if isfinite(value):
            of, by = value.as_integer_ratio()
            return _small(Fraction(polynomial(of), by)) if abs(of) <= LARGEST else None
        case RealCall("abs", a):
            inner = find_fraction(a, to_polynomial)
            return inner and Fraction(extreme("max", (inner.of, -inner.of)), inner.by, inner.rounded)
        case RealOp("+" | "-" | "*" | "/" as op, a, b):
            x, y = find_fraction(a, to_polynomial), find_fraction(b, to_polynomial)
            return _operate(op, x, y) if x and y and not x.rounded and not y.rounded else None
        case _:
            return None


def _operate(op: str, x: Fraction, y: Fraction) -> Fraction | None:
    match op:
        case "+":
            return _small(Fraction(x.of * y.by + y.of * x.by, x.by * y.by))
        case "-":
            return _small(Fraction(x.of * y.by - y.of * x.by, x.by * y.by))
        case "*" if x.of.constant is not None or y.of.constant is not None:
            return _small(Fraction(x.of * y.of, x.by * y.by))
        case "/" if y.of.constant:
            sign, by = (1, y.of.constant) if y.of.constant > 0 else (-1, -y.of.constant)
            return _small(Fraction(x.of * y.by * sign, x.by * by, rounded=by & (by - 1) != 0))
        case _:
            return None


def _small(found: Fraction) -> Fraction | None:
    return found if found.by <= LARGEST else None
