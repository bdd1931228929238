"""Sums of exponentials with rational coefficients.

Enters: polynomials. Leaves: `Sum`s: for each exponent what is multiplied with its exponential. Exponents are kept
beside the coefficients, so that what divides or factors those sees no exponential; each came through `exponents.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from attnc.algebra import polynomials
from attnc.algebra.polynomials import Polynomial, Quotient
from attnc.algebra.separated import Refused

MOST = 32
NONE = Polynomial()


@dataclass(frozen=True, slots=True)
class Sum:
    """`coefficient * exp(exponent)`, added up; no coefficient is 0."""

    terms: tuple[tuple[Polynomial, Quotient], ...] = ()

    @property
    def one(self) -> tuple[Polynomial, Quotient] | None:
        """Exponent and coefficient, where it is a single one."""
        return self.terms[0] if len(self.terms) == 1 else None

    def __add__(self, other: Sum) -> Sum:
        return _collect((*self.terms, *other.terms))

    def __mul__(self, other: Sum) -> Sum:
        return _collect((e + f, x * y) for e, x in self.terms for f, y in other.terms)

    def __neg__(self) -> Sum:
        return Sum(tuple((exponent, Quotient(-x.above, x.below)) for exponent, x in self.terms))


def _collect(terms: Iterable[tuple[Polynomial, Quotient]]) -> Sum:
    found: dict[Polynomial, Quotient] = {}
    for exponent, coefficient in terms:
        found[exponent] = found[exponent] + coefficient if exponent in found else coefficient
    kept = tuple((exponent, each) for exponent, each in found.items() if each.above.terms)
    if len(kept) > MOST:
        raise Refused(f"has more than {MOST} exponentials, multiplied out")
    return Sum(kept)


def rational(value: Polynomial) -> Sum:
    """A sum without an exponential."""
    return Sum(((NONE, Quotient(value)),) if value.terms else ())


ONE = rational(polynomials.ONE)
