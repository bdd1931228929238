"""The normal form of a weight whose query and key stand apart, with as few terms as there can be.

Enters: a `Sum` over atoms. Leaves: `Term`s. Products of the same dots with the same exponent are a matrix, a row for
each function of the query and a column for each of the key; where its entries are numbers, its rank is the least number
of terms, and no division but one of numbers is taken to find it.
"""

from __future__ import annotations

from fractions import Fraction

from attnc.algebra.atoms import Atoms
from attnc.algebra.divisors import settled
from attnc.algebra.exponentials import Sum
from attnc.algebra.exponents import as_pair
from attnc.algebra.polynomials import Monomial, Polynomial, collect, inverse, number, times
from attnc.algebra.separated import DotFactor, Refused, Term
from attnc.ir.nodes import Real

Matrix = list[list[Fraction]]


def to_terms(whole: Sum, atoms: Atoms) -> tuple[Term, ...]:
    """Its terms, in order of the exponents and dots as they were met."""
    terms: list[Term] = []
    for exponent, coefficient in whole.terms:
        pair = as_pair(exponent, atoms, atoms.real) if exponent.terms else None
        groups = settled(coefficient, atoms).split(lambda monomial: atoms.part(monomial, "pair"))
        for dots, group in groups.items():
            factors = tuple(_dot(at, power, atoms) for at, power in dots)
            rest = collect((_without(monomial, dots), value) for monomial, value in group.terms)
            terms += (Term(*parts, pair, factors) for parts in _apart(rest, atoms))
    return tuple(terms)


def _dot(at: int, power: int, atoms: Atoms) -> DotFactor:
    dot = atoms[at]
    assert isinstance(dot, DotFactor)
    if power < 0:
        raise Refused("divides, and holds the query and the key at once", dot.term)
    return DotFactor(dot.query, dot.key, dot.gate, power)


def _without(monomial: Monomial, dots: Monomial) -> Monomial:
    return tuple(each for each in monomial if each not in dots)


def _apart(rest: Polynomial, atoms: Atoms) -> list[tuple[Real, Real, Real]]:
    """What nobody knows, what the query knows and what the key knows, for each term."""
    table: dict[tuple[Monomial, Monomial], Polynomial] = {}
    for monomial, value in rest.terms:
        at = atoms.part(monomial, "query"), atoms.part(monomial, "key")
        share = Polynomial(((atoms.part(monomial, "call"), value),))
        table[at] = table[at] + share if at in table else share
    rows = list(dict.fromkeys(row for row, _ in table))
    columns = list(dict.fromkeys(column for _, column in table))
    if len(rows) == len(columns) == 1:
        (share,) = table.values()
        return [(atoms.real(share), atoms.monomial(rows[0]), atoms.monomial(columns[0]))]
    if min(len(rows), len(columns)) > 1 and all(each.constant is not None for each in table.values()):
        matrix = [[table.get((row, column), Polynomial()).constant for column in columns] for row in rows]
        return _by_rank(matrix, rows, columns, atoms)  # type: ignore[arg-type]
    if len(rows) <= len(columns):
        sums = [_sum([(table.get((row, column)), column) for column in columns]) for row in rows]
        return [
            (atoms.real(share), atoms.monomial(row), atoms.real(key))
            for row, (share, key) in zip(rows, sums, strict=True)
        ]
    sums = [_sum([(table.get((row, column)), row) for row in rows]) for column in columns]
    return [
        (atoms.real(share), atoms.real(query), atoms.monomial(column))
        for column, (share, query) in zip(columns, sums, strict=True)
    ]


def _sum(parts: list[tuple[Polynomial | None, Monomial]]) -> tuple[Polynomial, Polynomial]:
    """What all of them are multiplied with, and the sum of the rest."""
    terms = [(times(m, at), value) for share, at in parts if share for m, value in share.terms]
    common = _common([m for share, _ in parts if share for m, _ in share.terms])
    sizes = {abs(value) for _, value in terms}
    size = terms[0][1] if len(terms) == 1 else sizes.pop() if len(sizes) == 1 else Fraction(1)
    rest = collect((times(monomial, inverse(common)), value / size) for monomial, value in terms)
    return Polynomial(((common, size),)), rest


def _common(monomials: list[Monomial]) -> Monomial:
    """The factors that all of them have."""
    shared = set(monomials[0]).intersection(*monomials[1:])
    return tuple(each for each in monomials[0] if each in shared)


def _by_rank(
    matrix: Matrix, rows: list[Monomial], columns: list[Monomial], atoms: Atoms
) -> list[tuple[Real, Real, Real]]:
    reduced, pivots = _reduced(matrix)
    found: list[tuple[Real, Real, Real]] = []
    for n, pivot in enumerate(pivots):
        query = collect((row, line[pivot]) for row, line in zip(rows, matrix, strict=True))
        key = collect(zip(columns, reduced[n], strict=True))
        (of_query, query), (of_key, key) = _size_and_rest(query), _size_and_rest(key)
        found.append((atoms.real(number(of_query * of_key)), atoms.real(query), atoms.real(key)))
    return found


def _size_and_rest(polynomial: Polynomial) -> tuple[Fraction, Polynomial]:
    """A number in front of a product."""
    if polynomial.monomial is None:
        return Fraction(1), polynomial
    monomial, value = polynomial.monomial
    return value, Polynomial(((monomial, Fraction(1)),))


def _reduced(matrix: Matrix) -> tuple[Matrix, list[int]]:
    """The reduced echelon form, and the columns of its pivots."""
    lines, pivots = [line.copy() for line in matrix], list[int]()
    for column in range(len(matrix[0])):
        at = len(pivots)
        found = next((n for n in range(at, len(lines)) if lines[n][column]), None)
        if found is None:
            continue
        lines[at], lines[found] = lines[found], lines[at]
        lines[at] = [value / lines[at][column] for value in lines[at]]
        for n, line in enumerate(lines):
            if n != at and line[column]:
                lines[n] = [x - line[column] * y for x, y in zip(line, lines[at], strict=True)]
        pivots.append(column)
    return lines, pivots
