"""Rows by their place in a period: `i % cols` where a mask speaks of the column of a query and of nothing else.

Enters: pieces that a tile sees of one period of the target, with ends that speak of rows. Leaves: intervals with ends
that speak of the first and the last place of the tile. A tile that begins in one period may end in another: what is
seen from the rest of its first one, and from beyond, are intervals apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from attnc.analyze.tile_intervals import TileInterval, make_interval
from attnc.ir.nodes import IntParam
from attnc.sets.divisions import map_divisions_in
from attnc.sets.folding import choice, extreme, quotient
from attnc.sets.pieces import Piece, Pieces, Plane, Stretch
from attnc.sets.polynomial import ZERO, Leaf, Polynomial, Quotient, polynomial
from attnc.sets.predicate import negation, nonnegative
from attnc.sets.project import Tile
from attnc.sets.substitute import substitute

# No parameter can be called so.
ROW, PLACE = Leaf(IntParam("row of")), Leaf(IntParam("place of"))


@dataclass(frozen=True)
class Places:
    """The places of rows in a period: row `i` is in place `(i + shift) % length`, unknown without a shift."""

    shift: Polynomial | None
    length: Polynomial
    tile: Tile
    plane: Plane

    def intervals(self, piece: Piece, under: Pieces) -> list[TileInterval]:
        """One, or two of which the first starts first."""
        whole = make_interval(piece, under, self.tile, self.plane)
        placed = self._placed(piece)
        if self.shift is None or placed is None or placed == piece:
            return [whole]
        inner = [found for part in under if (found := self._placed(part))]
        first, last = (end + self.shift for end in (self.tile.first, self.tile.last))
        number, end = (quotient(each, self.length) for each in (first, last))
        start, is_one = number * self.length, nonnegative(number - end)
        ahead = Tile(first - start, extreme("min", (last - start, self.length - 1)))
        in_next = choice(nonnegative(number + 1 - end), last - end * self.length, self.length - 1)
        beyond = replace(placed, guards=(*placed.guards, negation(is_one)))
        plane = self._plane
        here = make_interval(placed, inner, ahead, plane)
        if here.full:
            lo, hi = here.full
            here = replace(here, full=(lo, choice(is_one, hi, ZERO)))
        return [make_interval(beyond, (), Tile(ZERO, in_next), plane), here]

    def _placed(self, piece: Piece) -> Piece | None:
        """The piece of a place in the period; None where a row is more than its place."""
        if self.shift is None or piece.other != Stretch():
            return None
        lows, highs = (
            [self._at_place(end) for end in ends] for ends in (piece.target.lows, piece.target.highs)
        )
        if any(ROW.key in end.leaves for end in lows + highs):
            return None
        if not all(self._plane.direction(low) > 0 for low in lows):
            return None
        return replace(piece, target=Stretch(tuple(lows), tuple(highs)))

    def _at_place(self, a: Polynomial) -> Polynomial:
        shift, row = self.shift or ZERO, polynomial(ROW)
        division = Quotient(polynomial(self.plane.other) + shift, self.length)
        by_row = map_divisions_in(a, lambda each: row if each == division else polynomial(each))
        return substitute(by_row, self.plane.other, polynomial(PLACE) + row * self.length - shift)

    @property
    def _plane(self) -> Plane:
        """That of the target and a place."""
        last = self.length - 1
        inside = nonnegative(polynomial(PLACE)), nonnegative(last - polynomial(PLACE))
        return replace(self.plane, other=PLACE, other_last=last).given(inside)
