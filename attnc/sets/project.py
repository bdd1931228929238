"""From the positions of one row to those of a tile of rows.

Enters: a piece, and a tile of the other position, `first` to `last`. Leaves: where the piece can lie for some position
of the tile (`project_some`), and where it lies for all of them (`project_every`), with ends that speak of the tile.

An end that moves one way with the other position takes its value at one end of the tile. The others are bounded part
by part, or, where an array is read at the other position, found by a reduction over the tile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product
from operator import add
from typing import Literal

from attnc.ir.nodes import Int, IntLoad, Node, OverTile, Period
from attnc.ir.walk import axes_of, replace_terms
from attnc.sets.convert import to_int, to_polynomial
from attnc.sets.folding import choice, extreme, leaf, multiples
from attnc.sets.pieces import Piece, Plane
from attnc.sets.polynomial import ZERO, Choice, Extreme, Kind, Leaf, Polynomial, Quotient, polynomial
from attnc.sets.predicate import Predicate, negation, nonnegative
from attnc.sets.substitute import substitute

Ends = tuple[Polynomial, ...]

PERIOD, LAST_PERIOD = Leaf(Period("first")), Leaf(Period("last"))


@dataclass(frozen=True)
class Tile:
    """A tile of the other position, from its first to its last."""

    first: Polynomial
    last: Polynomial


@dataclass(frozen=True)
class Shadow:
    """Positions `[lo, hi)` of the target where every guard holds, else none.

    `exact`: each of them is needed. `known` is false where an end of the piece has no closed form over a tile.
    """

    guards: tuple[Predicate, ...]
    lo: Polynomial
    hi: Polynomial
    exact: bool = False
    known: bool = True


def project_some(piece: Piece, tile: Tile, plane: Plane) -> Shadow:
    """A superset of what the piece holds for some position of the tile.

    It is said to be exact where that holds as long as every row of the tile has a position in the piece.
    """
    firsts, lasts = (tile.first, *piece.other.lows), (tile.last, *piece.other.highs)
    pairs = list(product(firsts, lasts))[1:]  # a tile is not empty
    guards = piece.guards + _unproved(plane, pairs)
    bound = Bound(plane.given(piece.guards), Tile(extreme("max", firsts), extreme("min", lasts)))
    lows = [end for low in piece.target.lows if (end := bound.end(low, "min")) is not None]
    highs = [end + 1 for high in piece.target.highs if (end := bound.end(high, "max")) is not None]
    ends = piece.target.lows or (ZERO,), piece.target.highs or (plane.target_last,)
    exact = piece.exact and bound.leaves_no_gap(*ends)
    known = len(lows) == len(piece.target.lows) and len(highs) == len(piece.target.highs)
    lo, hi = extreme("max", lows or [ZERO]), extreme("min", highs or [plane.target_last + 1])
    return Shadow(guards, lo, hi, exact and known, known)


def project_every(piece: Piece, tile: Tile, plane: Plane) -> Shadow | None:
    """A subset of what the piece holds for every position of the tile; None where none was found."""
    starts = [(low, tile.first) for low in piece.other.lows]
    stops = [(tile.last, high) for high in piece.other.highs]
    bound = Bound(plane.given(piece.guards), tile)
    lows = [bound.end(low, "max") for low in piece.target.lows] or [ZERO]
    highs = [bound.end(high, "min") for high in piece.target.highs] or [plane.target_last]
    if None in lows or None in highs:
        return None
    lo = extreme("max", (low for low in lows if low is not None))
    hi = extreme("min", (high + 1 for high in highs if high is not None))
    return Shadow(piece.guards + _unproved(plane, starts + stops), lo, hi)


def _unproved(plane: Plane, pairs: Iterable[tuple[Polynomial, Polynomial]]) -> tuple[Predicate, ...]:
    """`low <= high` for each pair where that is not certain."""
    return tuple(nonnegative(high - low) for low, high in pairs if not plane.prover.prove_at_most(low, high))


@dataclass(frozen=True)
class Bound:
    """Ends of the target as the other position goes through a tile."""

    plane: Plane
    tile: Tile

    def end(self, a: Polynomial, kind: Kind) -> Polynomial | None:
        """A term that is at most (`min`) or at least (`max`) `a` for every position of the tile."""
        if self.plane.other.key not in a.leaves:
            return a
        if not self.plane.prover.budget.spend(len(a.key)):
            return None
        if any(atom.reads for atom in a.atoms):
            a = self._read_inside(a)
        direction = self.plane.direction(a)
        if direction:
            return self._at(a, self.tile.last if (kind == "max") == (direction > 0) else self.tile.first)
        if self._is_affine(a):
            return extreme(kind, (self._at(a, self.tile.first), self._at(a, self.tile.last)))
        for atom in a.atoms:
            if self.plane.other.key in atom.leaves:
                match atom:
                    case Extreme():
                        return self._end_of_extreme(atom, *a.split(atom), kind)
                    case Choice():
                        return self._end_of_choice(atom, *a.split(atom), kind)
        if PERIOD.key in a.leaves and (once := self._over_tile(a, kind)):
            return once  # the same for every period, and found before the first
        if not any(atom.reads for atom in a.atoms):
            found = [end for end in self._by_parts(a, kind) if end is not None]
            if found:
                return extreme("min" if kind == "max" else "max", found)
        return self._over_tile(a, kind)

    def _read_inside(self, a: Polynomial) -> Polynomial:
        """With sorted arrays read at their first or last entry where an index may leave them, so they stay in order.

        Where that changes what is read, nothing is visible, or the call is wrong.
        """
        prover = self.plane.prover

        def change(node: Node) -> Node | None:
            match node:
                case IntLoad(array, (*row, last)) if array in prover.in_order and self._moves(last):
                    index, size = to_polynomial(last), prover.in_order[array][-1]
                    if not prover.prove_less(index, size):
                        index = extreme("min", (index, size - 1))
                    if not prover.prove_nonnegative(index):
                        index = extreme("max", (index, ZERO))
                    return IntLoad(array, (*row, to_int(index)), span=node.span)
            return None

        inside = replace_terms(to_int(a), change)
        assert isinstance(inside, Int)
        return to_polynomial(inside)

    def _moves(self, term: Node) -> bool:
        return self.plane.other.key in axes_of(term)

    def _over_tile(self, a: Polynomial, kind: Kind) -> Polynomial | None:
        """The end that a reduction over the tile finds, if it is one of positions."""
        if self.plane.other.key not in ("i", "j"):
            return None
        axis: Literal["i", "j"] = "i" if self.plane.other.key == "i" else "j"
        moving = Polynomial({p: n for p, n in a.terms.items() if any(axis in atom.leaves for atom in p)})
        is_alone = not moving.leaves & {self.plane.target.key, PERIOD.key}
        if is_alone and f"{axis}.first" in self.tile.first.leaves:
            if all(count < 0 for count in moving.terms.values()):
                turned: Kind = "min" if kind == "max" else "max"
                return a - moving - leaf(OverTile(turned, axis, to_int(-moving)))
            return a - moving + leaf(OverTile(kind, axis, to_int(moving)))
        return None

    def _at(self, a: Polynomial, position: Polynomial) -> Polynomial:
        return substitute(a, self.plane.other, position)

    def _is_affine(self, a: Polynomial) -> bool:
        factor, rest = a.split(self.plane.other)
        return self.plane.other.key not in factor.leaves | rest.leaves

    # ---- ends that move both ways ------------------------------------------------------------------

    def _end_of_extreme(
        self, atom: Extreme, factor: Polynomial, rest: Polynomial, kind: Kind
    ) -> Polynomial | None:
        sign = self.plane.prover.sign(factor)
        turned: Kind = atom.kind if sign > 0 else "max" if atom.kind == "min" else "min"
        ends = [self.end(factor * item + rest, kind) for item in atom.items]
        found = [end for end in ends if end is not None]
        # At least all of a max needs all of them; at least a min is at least any one.
        if not sign or not found or (turned == kind and len(found) < len(ends)):
            return None
        return extreme(turned, found)

    def _end_of_choice(
        self, atom: Choice, factor: Polynomial, rest: Polynomial, kind: Kind
    ) -> Polynomial | None:
        then, otherwise = self.end(factor * atom.a + rest, kind), self.end(factor * atom.b + rest, kind)
        if then is None or otherwise is None:
            return None
        moves = self.plane.other.key in atom.condition.leaves
        return extreme(kind, (then, otherwise)) if moves else choice(atom.condition, then, otherwise)

    def _by_parts(self, a: Polynomial, kind: Kind) -> Iterator[Polynomial | None]:
        """Each product alone; and with `n * (x // n)` as one of `x - n + 1 ... x`, which keeps what is common."""
        products = [Polynomial({product: count}) for product, count in a.terms.items()]
        if sum(self.plane.other.key in product.leaves for product in products) > 1:
            ends = [self.end(product, kind) for product in products]
            found = [end for end in ends if end is not None]
            yield reduce(add, found) if len(found) == len(ends) else None
        for atom in a.atoms:
            if isinstance(atom, Quotient) and self.plane.other.key in atom.a.leaves:
                factor, rest = a.split(atom)
                times = multiples(factor, atom.n)
                sign = self.plane.prover.sign(times)
                if sign and times * atom.n == factor and self.plane.prover.prove_nonnegative(atom.n - 1):
                    low, high = atom.a - atom.n + 1, atom.a
                    yield self.end(times * (high if (sign > 0) == (kind == "max") else low) + rest, kind)

    # ---- exactness ---------------------------------------------------------------------------------

    def leaves_no_gap(self, lows: Ends, highs: Ends) -> bool:
        """Do the stretches of neighboring rows overlap or touch, and all first ends move one way, and all last ones?

        No row is empty. Of ends that move against each other, as in `min(i, n - i)`, each has its greatest elsewhere.
        """
        for atom in (atom for end in lows + highs for atom in end.atoms):
            if isinstance(atom, Choice) and self.plane.other.key not in atom.condition.leaves:
                cases = (atom.condition, atom.a), (negation(atom.condition), atom.b)
                return all(self._leaves_no_gap_where(case, atom, value, lows, highs) for case, value in cases)
        if not self._move_one_way(lows) or not self._move_one_way(highs):
            return False
        pairs = [(low, high) for low in lows for high in highs]
        filled = [nonnegative(high - low) for low, high in pairs]
        filled += [nonnegative(self.plane.step(high) - self.plane.step(low)) for low, high in pairs]
        at_most = self.plane.given(filled).prover.prove_at_most
        return all(
            at_most(self.plane.step(low), high + 1) and at_most(low, self.plane.step(high) + 1)
            for low, high in pairs
        )

    def _move_one_way(self, ends: Ends) -> bool:
        ways = {self.plane.direction(end) for end in ends if self.plane.other.key in end.leaves}
        return ways <= {1} or ways <= {-1}

    def _leaves_no_gap_where(
        self, case: Predicate, atom: Choice, value: Polynomial, lows: Ends, highs: Ends
    ) -> bool:
        def chosen(ends: Ends) -> Ends:
            return tuple(
                end.map_atoms(lambda other: value if other == atom else polynomial(other)) for end in ends
            )

        return replace(self, plane=self.plane.given((case,))).leaves_no_gap(chosen(lows), chosen(highs))
