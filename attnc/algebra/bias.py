"""A sum of summands of a score, taken apart into what the query adds whatever the key is, and the rest.

Enters: real terms that split, and what is known where they stand. Leaves: `SeparatedBias`. What the query adds is the
same for every key of its row, and a softmax loses it; so it is taken off before the least number of terms is sought.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from attnc.algebra.atoms import Atoms
from attnc.algebra.divisors import settled
from attnc.algebra.exponentials import Sum
from attnc.algebra.known import Known
from attnc.algebra.normal_form import to_terms
from attnc.algebra.polynomials import Quotient
from attnc.algebra.separate import Separator
from attnc.algebra.separated import Term
from attnc.ir.nodes import Real

OF_ROW = ("call", "query")


@dataclass(frozen=True, slots=True)
class SeparatedBias:
    """The `whole` of it; or `row`, what each query adds, and the `rest`. It holds where `positive` are above 0."""

    whole: tuple[Term, ...]
    row: tuple[Term, ...]
    rest: tuple[Term, ...]
    positive: tuple[Real, ...]


def separate_bias(summands: Iterable[Real], known: Known) -> SeparatedBias:
    """Of the sum of these; raises `Refused`."""
    separator = Separator(known)
    whole = Sum()
    for each in summands:
        whole = whole + separator.sum_of(each)
    row, rest = _row_apart(whole, separator.atoms)
    return SeparatedBias(
        whole=to_terms(whole, separator.atoms),
        row=to_terms(row, separator.atoms),
        rest=to_terms(rest, separator.atoms),
        positive=tuple(separator.positive),
    )


def _row_apart(whole: Sum, atoms: Atoms) -> tuple[Sum, Sum]:
    """What knows the query alone or neither, and what knows the key."""
    row, rest = Sum(), Sum()
    for exponent, coefficient in whole.terms:
        of_row = atoms.side_of(exponent) in OF_ROW
        parts = settled(coefficient, atoms).split(lambda monomial: atoms.side(monomial) in OF_ROW)
        for is_of_row, part in parts.items():
            one = Sum(((exponent, Quotient(part)),))
            if of_row and is_of_row:
                row = row + one
            else:
                rest = rest + one
    return row, rest
