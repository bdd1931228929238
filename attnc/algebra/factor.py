"""Rational functions in lowest terms, and polynomials as products: what SymPy is for. No other file imports it.

Enters: `Polynomial`s over atoms. Leaves: the same kind of values, so that nothing of SymPy leaves this room. It sees
symbols that stand for atoms and nothing else: neither an exponential nor an assumption, so it can simplify nothing that
holds only for some values. Most terms never come here, and importing it takes half a second.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

from attnc.algebra.polynomials import MOST_TERMS, Monomial, Polynomial, atom, collect, to_monomial
from attnc.algebra.separated import Refused

# Of more atoms, or higher degrees, factors may take seconds.
MOST_ATOMS = 10
MOST_DEGREE = 10


def lowest_terms(above: Polynomial, below: Polynomial) -> tuple[Polynomial, Polynomial]:
    """The same quotient without a common factor."""
    if above.monomial is not None and _is_prime(below):
        return above, below
    import sympy

    atoms = _atoms(above, below)
    shift = _shift(above, below)
    one, two = (sympy.Poly(_expression(each, atoms, shift), *atoms.values()) for each in (above, below))
    factor, one, two = one.cancel(two)
    return _polynomial(one * factor, atoms), _polynomial(two, atoms)


def factors(polynomial: Polynomial) -> tuple[Fraction, list[tuple[Polynomial, int]]]:
    """A number, and factors with their powers."""
    if polynomial.monomial is not None:
        monomial, value = polynomial.monomial
        return value, [(atom(at), power) for at, power in monomial]
    if _is_prime(polynomial):
        return Fraction(1), [(polynomial, 1)]
    import sympy

    atoms = _atoms(polynomial)
    shift = _shift(polynomial)
    content, found = sympy.Poly(_expression(polynomial, atoms, shift), *atoms.values()).factor_list()
    powers: dict[Polynomial, int] = {_polynomial(factor, atoms): power for factor, power in found}
    for at, power in shift:
        powers[atom(at)] = powers.get(atom(at), 0) - power
    ordered = sorted((item for item in powers.items() if item[1]), key=lambda item: item[0].terms)
    return _fraction(content), ordered


def _is_prime(polynomial: Polynomial) -> bool:
    """Is it plain that nothing divides it: a number times an atom, and what that atom is not in?"""
    if len(polynomial.terms) < 2 or any(power < 0 for m, _ in polynomial.terms for _, power in m):
        return False
    counts = Counter(at for monomial, _ in polynomial.terms for at, _ in monomial)
    alone = [monomial[0] for monomial, _ in polynomial.terms if len(monomial) == 1]
    return any(power == 1 and counts[at] == 1 for at, power in alone)


def _atoms(*polynomials: Polynomial) -> dict[int, Any]:
    import sympy

    found = sorted({at for each in polynomials for at in each.atoms})
    degree = max(
        (sum(abs(power) for _, power in m) for each in polynomials for m, _ in each.terms), default=0
    )
    if len(found) > MOST_ATOMS or degree > MOST_DEGREE:
        raise Refused("is a quotient, or a product, of more than anybody writes")
    return {at: sympy.Symbol(f"x{at}") for at in found}


def _shift(*polynomials: Polynomial) -> Monomial:
    """What all of them are multiplied with, so that no power is negative."""
    least: dict[int, int] = {}
    for each in polynomials:
        for monomial, _ in each.terms:
            for at, power in monomial:
                least[at] = min(least.get(at, 0), power)
    return to_monomial({at: -power for at, power in least.items()})


def _expression(polynomial: Polynomial, atoms: dict[int, Any], shift: Monomial) -> Any:
    import sympy

    whole = sympy.S.Zero
    for monomial, value in polynomial.terms:
        powers = dict(shift)
        for at, power in monomial:
            powers[at] = powers.get(at, 0) + power
        product = sympy.Rational(value.numerator, value.denominator)
        for at, power in powers.items():
            product *= atoms[at] ** power
        whole += product
    return whole


def _polynomial(found: Any, atoms: dict[int, Any]) -> Polynomial:
    terms = found.terms()
    if len(terms) > MOST_TERMS:
        raise Refused(f"has more than {MOST_TERMS} products, multiplied out")
    order = list(atoms)
    return collect(
        (to_monomial(dict(zip(order, powers, strict=True))), _fraction(value)) for powers, value in terms
    )


def _fraction(value: Any) -> Fraction:
    return Fraction(int(value.p), int(value.q))
