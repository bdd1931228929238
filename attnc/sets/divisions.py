"""Floor divisions inside of conditions.

Enters: a predicate. Leaves: the divisions that its comparisons hold, and the predicate with other terms in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attnc.sets.folding import choice, extreme, multiples, quotient
from attnc.sets.polynomial import ZERO, Atom, Choice, Extreme, Polynomial, Quotient, polynomial
from attnc.sets.predicate import All, NonNegative, Predicate, Some, every, nonnegative, some
from attnc.sets.prover import Prover

Change = Callable[[Quotient], Polynomial]


def find_divisions(mask: Predicate) -> list[Quotient]:
    """Every one, once; also inside of others."""
    return list(dict.fromkeys(atom for atom in _atoms(mask) if isinstance(atom, Quotient)))


def flat(division: Quotient, prover: Prover) -> Polynomial:
    """`(x // m) // n` is `x // (m * n)`, and `max(x, y) // n` is `max(x // n, y // n)`."""
    inner, is_positive = division.a.atom, prover.prove_less(ZERO, division.n)
    match inner:
        case Quotient(x, m) if is_positive and prover.prove_less(ZERO, m):
            return quotient(x, m * division.n)
        case Extreme(kind, items) if is_positive:
            return extreme(kind, (quotient(item, division.n) for item in items))
        case _:
            return polynomial(division)


def times_of(n: Polynomial, divisor: Polynomial) -> Polynomial | None:
    """The `k` of `n == divisor * k`, term by term."""
    times = multiples(n, divisor)
    return times if times * divisor == n else None


def map_divisions(mask: Predicate, change: Change) -> Predicate:
    """The predicate with another term for each division in its comparisons, the innermost first."""
    match mask:
        case NonNegative(a):
            return nonnegative(map_divisions_in(a, change))
        case All(items):
            return every(map_divisions(item, change) for item in items)
        case Some(items):
            return some(map_divisions(item, change) for item in items)
        case _:
            return mask


def map_divisions_in(a: Polynomial, change: Change) -> Polynomial:
    def of_atom(atom: Atom) -> Polynomial:
        match atom:
            case Quotient(x, n):
                inner = Quotient(map_divisions_in(x, change), n)
                return change(inner) if inner == atom else map_divisions_in(quotient(inner.a, n), change)
            case Extreme(kind, items):
                return extreme(kind, (map_divisions_in(item, change) for item in items))
            case Choice(condition, x, y):
                then, otherwise = map_divisions_in(x, change), map_divisions_in(y, change)
                return choice(map_divisions(condition, change), then, otherwise)
            case _:
                return polynomial(atom)

    return a.map_atoms(of_atom)


def _atoms(mask: Predicate) -> Iterator[Atom]:
    """Every atom of its comparisons, also inside of others."""
    match mask:
        case NonNegative(a):
            yield from _atoms_of(a)
        case All(items) | Some(items):
            for item in items:
                yield from _atoms(item)


def _atoms_of(a: Polynomial) -> Iterator[Atom]:
    for atom in a.atoms:
        yield atom
        if isinstance(atom, Choice):
            yield from _atoms(atom.condition)
        for part in atom.parts:
            yield from _atoms_of(part)
