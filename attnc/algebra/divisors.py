"""Quotients as products: a divisor that knows the query or the key alone becomes a factor of that side.

Enters: a quotient of polynomials. Leaves: a polynomial over more atoms, or a refusal where something of a pair divides.
"""

from __future__ import annotations

from attnc.algebra.atoms import Atoms
from attnc.algebra.factor import factors, lowest_terms
from attnc.algebra.polynomials import ONE, Polynomial, Quotient, inverse, number
from attnc.algebra.separated import Refused


def settled(quotient: Quotient, atoms: Atoms) -> Polynomial:
    """The quotient as a polynomial."""
    above, below = quotient.above, quotient.below
    if below == ONE:
        return above
    if below.monomial is None or atoms.holds_dot(below):
        above, below = lowest_terms(above, below)
    content, parts = factors(below)
    whole = above * number(1 / content)
    for part, power in parts:
        if atoms.side_of(part) == "pair" or atoms.holds_dot(part):
            raise Refused("divides, and holds the query and the key at once", atoms.term(part))
        if part.monomial is None:
            part = atoms.of(atoms.term(part))
        assert part.monomial is not None
        monomial, _ = part.monomial
        for _ in range(power):
            whole = whole * Polynomial(((inverse(monomial), 1 / part.monomial[1]),))
        for _ in range(-power):
            whole = whole * part
    return whole
