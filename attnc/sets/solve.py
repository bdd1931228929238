"""Solving a mask for one position.

Enters: a predicate and the plane of its two positions. Leaves: pieces whose union is the mask, or holds it (`over`), or
is held by it (`under`), where a part of the mask has no closed form.

A comparison is solved by undoing what is done to the position: `min`, `max` and `if` become `and` and `or`, a factor
and a floor division go to the other side (`x // n <= t` is `x <= n * t + n - 1`), and so does a read of a sorted array
(`a[x] >= t` is `x >= rank(a, t)`). Where a sign decides and is not
known, as that of a run-time stride, both cases stand side by side, each with its guard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from attnc.errors import CompilerBug
from attnc.sets.folding import items_of, quotient
from attnc.sets.pieces import Piece, Pieces, Plane, Stretch
from attnc.sets.polynomial import Atom, Choice, Extreme, Leaf, Polynomial, Quotient, Read, Search, polynomial
from attnc.sets.predicate import (
    All,
    NonNegative,
    Opaque,
    Predicate,
    Some,
    conditions_of,
    every,
    negation,
    nonnegative,
    some,
)

Side = Literal["over", "under"]
EVERYTHING = Piece(exact=False, followed=False)

MOST_PIECES = 16
MOST_CONDITIONS = 24
DEPTH = 24


@dataclass
class Limits:
    """The limits of a solution: whether a mask fell apart into more pieces than it is worth following."""

    reached: bool = False


@dataclass(frozen=True)
class Solver:
    """Solves predicates for the target of a plane, from above or from below."""

    plane: Plane
    side: Side
    limits: Limits = field(default_factory=Limits)
    depth: int = 0

    def solve(self, predicate: Predicate) -> Pieces:
        match predicate:
            case NonNegative(a):
                return self._solve_inequality(a)
            case All(items):
                return self._solve_all(items)
            case Some(items):
                return self._solve_some(items)
            case Opaque():
                return self._unknown if self._moves(predicate.leaves) else (Piece((predicate,)),)
            case _:
                raise CompilerBug(f"no way to solve {predicate!r}")

    @property
    def _unknown(self) -> Pieces:
        """What is known where nothing is: everything is a superset, nothing is a subset."""
        return (EVERYTHING,) if self.side == "over" else ()

    def _solve_all(self, items: tuple[Predicate, ...]) -> Pieces:
        found: Pieces = (Piece(),)
        items = self._put_equals(items)
        for item in sorted(items, key=lambda item: isinstance(item, Some)):
            if self._gives_up:
                return self._looser(found)
            found = self._meet(found, self.solve(item))
        return found

    def _put_equals(self, items: tuple[Predicate, ...]) -> tuple[Predicate, ...]:
        """`i // n == j // n` puts `i // n` for `j // n` everywhere else, so that remainders by `n` cancel."""
        there = frozenset(items)
        for item in items:
            if isinstance(item, NonNegative) and nonnegative(-item.a) in there:
                for atom in item.a.atoms:
                    factor, rest = item.a.split(atom)
                    if (
                        isinstance(atom, Quotient)
                        and factor.constant in (1, -1)
                        and self.plane.target.key in atom.leaves
                        and self.plane.target.key not in rest.leaves
                    ):
                        same, value = (item, nonnegative(-item.a)), rest * -factor
                        return tuple(each if each in same else _put(each, atom, value) for each in items)
        return items

    def _solve_some(self, items: tuple[Predicate, ...]) -> Pieces:
        found: Pieces = ()
        for item in items:
            found = self._join(found, self.solve(item))
            if self._gives_up or EVERYTHING in found:
                return self._unknown or found
        return found

    @property
    def _gives_up(self) -> bool:
        return self.limits.reached or self.plane.prover.budget.is_spent

    def _looser(self, pieces: Pieces) -> Pieces:
        """What is left of pieces when a condition on them is not followed."""
        if self.side == "under":
            return ()
        return tuple(replace(piece, exact=False, followed=False) for piece in pieces)

    def _moves(self, leaves: frozenset[str]) -> bool:
        return self.plane.target.key in leaves or self.plane.other.key in leaves

    def _meet(self, one: Pieces, two: Pieces) -> Pieces:
        met = [a.meet(b) for a in one for b in two]
        if all(piece.conditions <= MOST_CONDITIONS for piece in met):
            joined = self.plane.join((), met)
            if len(joined) <= MOST_PIECES:
                return joined
        self.limits.reached = True
        return self._looser(one)

    def _join(self, one: Pieces, two: Iterable[Piece]) -> Pieces:
        joined = self.plane.join(one, two)
        if len(joined) <= MOST_PIECES:
            return joined
        self.limits.reached = True
        return self._unknown or joined[:MOST_PIECES]

    # ---- one comparison ----------------------------------------------------------------------------

    def _solve_inequality(self, a: Polynomial) -> Pieces:
        """`a >= 0` for the target; for the other position where the target has no part in it; else as a guard."""
        prover = self.plane.prover
        if prover.prove_nonnegative(a):
            return (Piece(),)
        if prover.prove_nonnegative(-a - 1):
            return ()
        if not self._moves(a.leaves):
            return (Piece((nonnegative(a),)),)
        if self.depth >= DEPTH or not prover.budget.spend(len(a.key)):
            return self._unknown
        for atom in a.atoms:
            chosen = _choice_in(atom)
            if chosen and self._moves(chosen.condition.leaves):
                return self._deeper.solve(self._by_choice(chosen, a))
        variable = self.plane.target if self.plane.target.key in a.leaves else self.plane.other
        moving = [atom for atom in a.atoms if variable.key in atom.leaves]
        for atom in moving:
            parts = self._parts(atom, *a.split(atom))
            if parts is not None:
                return self._deeper.solve(parts)
        if len(moving) > 1:
            return self._unknown
        return self._isolate(variable, moving[0], *a.split(moving[0]))

    @property
    def _deeper(self) -> Solver:
        return replace(self, depth=self.depth + 1)

    def _parts(self, atom: Atom, factor: Polynomial, rest: Polynomial) -> Predicate | None:
        """`factor * atom + rest >= 0` without the atom, where it is a `min`, a `max` or an `if`."""
        match atom:
            case Choice():
                return self._by_choice(atom, factor * polynomial(atom) + rest)
            case Extreme(kind, items):
                sign = self.plane.prover.sign(factor)
                gather = every if (kind == "min") == (sign > 0) else some
                return gather(nonnegative(factor * item + rest) for item in items) if sign else None
            case _:
                return None

    def _by_choice(self, chosen: Choice, a: Polynomial) -> Predicate:
        """`a >= 0` for each of the two values that stand in it by choice."""
        then, otherwise = (nonnegative(_with_choice(a, chosen, value)) for value in (chosen.a, chosen.b))
        return some((every((chosen.condition, then)), every((negation(chosen.condition), otherwise))))

    def _isolate(self, variable: Leaf, atom: Atom, factor: Polynomial, rest: Polynomial) -> Pieces:
        """`factor * atom + rest >= 0`, where the variable stands only in the atom."""
        if variable.key in factor.leaves:
            return self._unknown
        if self.plane.prover.prove_nonnegative(factor - 1):
            return self._isolate_rising(variable, atom, factor, rest)
        if self.plane.prover.prove_nonnegative(-factor - 1):
            return self._at_most(variable, atom, quotient(rest, -factor))
        if self._moves(factor.leaves):
            return self._unknown
        up, down = nonnegative(factor - 1), nonnegative(-factor - 1)
        level = every((nonnegative(factor), nonnegative(-factor)))
        return self._by_cases(
            (up, lambda solver: solver._isolate_rising(variable, atom, factor, rest)),
            (down, lambda solver: solver._at_most(variable, atom, quotient(rest, -factor))),
            (level, lambda solver: solver._solve_inequality(rest)),
        )

    def _isolate_rising(self, variable: Leaf, atom: Atom, factor: Polynomial, rest: Polynomial) -> Pieces:
        """The same, where the factor is positive. Rounded up, in the form whose numerator is not negative."""
        negated = self.plane.prover.prove_nonnegative(rest)
        end = -quotient(rest, factor) if negated else quotient(factor - 1 - rest, factor)
        return self._at_least(variable, atom, end)

    def _at_least(self, variable: Leaf, atom: Atom, end: Polynomial) -> Pieces:
        """`atom >= end`."""
        match atom:
            case Leaf() if atom == variable:
                return (self._piece(variable, Stretch(lows=items_of(end, "max"))),)
            case Quotient(a, n):
                return self._undo_division(variable, n, lambda solver: solver._solve_inequality(a - n * end))
            case Read(array, (*row, last)) if self._is_in_order(array, row):
                return self._deeper._solve_inequality(last - polynomial(Search(array, tuple(row), end)))
            case _:
                return self._unknown

    def _at_most(self, variable: Leaf, atom: Atom, end: Polynomial) -> Pieces:
        """`atom <= end`."""
        match atom:
            case Leaf() if atom == variable:
                return (self._piece(variable, Stretch(highs=items_of(end, "min"))),)
            case Quotient(a, n):
                last = n * end + n - 1
                return self._undo_division(variable, n, lambda solver: solver._solve_inequality(last - a))
            case Read(array, (*row, last)) if self._is_in_order(array, row):
                above = polynomial(Search(array, tuple(row), end + 1))
                return self._deeper._solve_inequality(above - 1 - last)
            case _:
                return self._unknown

    def _is_in_order(self, array: str, row: Sequence[Polynomial]) -> bool:
        """Does the array never fall as the variable grows, in a row that is the same for all positions?"""
        return array in self.plane.prover.in_order and not any(self._moves(each.leaves) for each in row)

    def _piece(self, variable: Leaf, stretch: Stretch) -> Piece:
        return Piece(target=stretch) if variable == self.plane.target else Piece(other=stretch)

    def _undo_division(self, variable: Leaf, n: Polynomial, undone: Callable[[Solver], Pieces]) -> Pieces:
        """Divided by a number that is not positive, a position may be anywhere."""
        if variable.key in n.leaves:
            return self._unknown
        if self.plane.prover.prove_nonnegative(n - 1):
            return undone(self._deeper)
        if self._moves(n.leaves):
            return self._unknown
        return self._by_cases(
            (nonnegative(n - 1), undone),
            (nonnegative(-n), lambda solver: (Piece(exact=False),) if solver.side == "over" else ()),
        )

    def _by_cases(self, *cases: tuple[Predicate, Callable[[Solver], Pieces]]) -> Pieces:
        """One of the cases holds; each is solved where it does. A case speaks of no position."""
        found: list[Piece] = []
        for case, solve in cases:
            inside = replace(self, plane=self.plane.given((case,)), depth=self.depth + 1)
            guards = Piece(conditions_of(case))
            found += [guards.meet(piece) for piece in solve(inside)]
        return self._join((), found)


def _choice_in(atom: Atom) -> Choice | None:
    """A choice that is the atom, or stands in what it divides."""
    match atom:
        case Choice():
            return atom
        case Quotient(a, _):
            return next((found for inner in a.atoms if (found := _choice_in(inner))), None)
        case _:
            return None


def _with_choice(a: Polynomial, chosen: Choice, value: Polynomial) -> Polynomial:
    """The term with a value for a choice, there and in what it divides."""

    def change(atom: Atom) -> Polynomial:
        match atom:
            case Choice() if atom == chosen:
                return value
            case Quotient(x, n):
                return quotient(_with_choice(x, chosen, value), n)
            case _:
                return polynomial(atom)

    return a.map_atoms(change)


def _put(predicate: Predicate, atom: Atom, value: Polynomial) -> Predicate:
    """The predicate with a value for an atom, wherever it is a part of a sum."""
    match predicate:
        case NonNegative(a):
            return nonnegative(a.map_atoms(lambda other: value if other == atom else polynomial(other)))
        case All(items):
            return every(_put(item, atom, value) for item in items)
        case Some(items):
            return some(_put(item, atom, value) for item in items)
        case _:
            return predicate
