"""What a mask repeats by: divisions of a position, or of a distance, by the length of a period.

Enters: a mask and its plane. Leaves: the divisions, the longest periods first; and the mask with the number of a period
in place of the division, so that what is left speaks of positions within the period.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnc.sets.divisions import find_divisions, times_of
from attnc.sets.folding import choice, extreme, quotient
from attnc.sets.pieces import Plane
from attnc.sets.polynomial import ONE, ZERO, Choice, Extreme, Leaf, Polynomial, Quotient, polynomial
from attnc.sets.predicate import Predicate, nonnegative
from attnc.sets.project import PERIOD
from attnc.sets.prover import Prover

NUMBER = polynomial(PERIOD)


@dataclass(frozen=True)
class Division:
    """`(target + shift) // n`, or `(shift - target) // n`, whose periods are counted from the last: number -1, -2, ...

    `way` is 1 or -1: what the target is multiplied by.
    """

    quotient: Quotient
    way: int
    shift: Polynomial

    @property
    def n(self) -> Polynomial:
        return self.quotient.n

    @property
    def place(self) -> Polynomial:
        """Of a position in its period, `0 <= place < n`."""
        return self.quotient.a - NUMBER * self.way * self.n

    def moves_with(self, row: Leaf) -> bool:
        """Do its periods begin elsewhere for each row?"""
        return row.key in self.shift.leaves

    @property
    def start(self) -> Polynomial:
        """The first position of a period."""
        return NUMBER * self.n - self.shift if self.way > 0 else NUMBER * self.n + self.shift - self.n + 1

    def number_at(self, position: Polynomial) -> Polynomial:
        """The number of the period that a position lies in; that of a greatest position is the greatest."""
        for atom in position.atoms:
            factor, rest = position.split(atom)
            match atom:
                case Extreme(kind, items) if factor == ONE:
                    return extreme(kind, (self.number_at(item + rest) for item in items))
                case Choice(condition, a, b) if factor == ONE:
                    return choice(condition, self.number_at(a + rest), self.number_at(b + rest))
        return quotient(position * self.way + self.shift, self.n) * self.way


def find_repeats(mask: Predicate, plane: Plane) -> list[Division]:
    """Every division of a target, or of its distance, by a length that no position moves, the longest first.

    Those whose periods begin at the same positions for every row come before the others.
    """
    found = []
    for each in find_divisions(mask):
        factor, shift = each.a.split(plane.target)
        is_linear = factor in (ONE, -ONE) and plane.target.key not in shift.leaves
        is_fixed = not each.n.leaves & {plane.target.key, plane.other.key}
        if is_linear and is_fixed and plane.prover.prove_less(ZERO, each.n):
            found.append(Division(each, 1 if factor == ONE else -1, shift))

    def rank(one: Division) -> tuple[bool, int, Quotient]:
        longer_than = sum(times_of(one.n, other.n) is not None for other in found)
        return one.moves_with(plane.other), -longer_than, one.quotient

    return sorted(found, key=rank)


def by_number(other: Quotient, division: Division, prover: Prover) -> Polynomial:
    """`x // (n * k)` is `(x // n) // k` where both divide by what is positive: the number of the period, by `k`.

    `-x // n` is the number too, turned around, and one less for who does not stand in the first place.
    """
    times, number = times_of(other.n, division.n), NUMBER * division.way
    if other.a == division.quotient.a and times is not None and prover.prove_less(ZERO, other.n):
        return quotient(number, times)
    if other == Quotient(-division.quotient.a, division.n):
        return choice(nonnegative(division.place - 1), -ONE, ZERO) - number
    return polynomial(other)
