"""Whether a tile of pairs holds a visible one, and whether all of it is visible.

Enters: a predicate over a query and a key. Leaves: two predicates over the ends of a tile of queries and one of keys:
`may_hold` is true wherever some pair of the tile is visible, `must_hold` only where every pair is. Where neither
decides the tile has to be looked at. This is the general way: it knows every mask, and is less sharp than a solved one
where two conditions speak of the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnc.errors import CompilerBug
from attnc.ir.nodes import IntConst, IntIf, OverTile
from attnc.sets.convert import to_bool
from attnc.sets.folding import leaf
from attnc.sets.pieces import Plane
from attnc.sets.polynomial import Kind, Polynomial
from attnc.sets.predicate import (
    ALWAYS,
    NEVER,
    All,
    NonNegative,
    Opaque,
    Predicate,
    Some,
    every,
    nonnegative,
    some,
)
from attnc.sets.project import Bound, Tile


@dataclass(frozen=True)
class Pairs:
    """A tile of queries and one of keys. Either plane has its axis as the position that goes through the tile."""

    planes: tuple[tuple[Plane, Tile], ...]

    def may_hold(self, predicate: Predicate) -> Predicate:
        """True wherever the predicate holds for some pair."""
        match predicate:
            case NonNegative(a):
                greatest = self._end(a, "max")
                return ALWAYS if greatest is None else nonnegative(greatest)
            case All(items):
                return every(map(self.may_hold, items))
            case Some(items):
                return some(map(self.may_hold, items))
            case Opaque():
                return self._over_tile(predicate, "max", ALWAYS)
            case _:
                raise CompilerBug(f"no test of {predicate!r}")

    def must_hold(self, predicate: Predicate) -> Predicate:
        """True only where the predicate holds for every pair."""
        match predicate:
            case NonNegative(a):
                least = self._end(a, "min")
                return NEVER if least is None else nonnegative(least)
            case All(items):
                return every(map(self.must_hold, items))
            case Some(items):
                return some(map(self.must_hold, items))
            case Opaque():
                return self._over_tile(predicate, "min", NEVER)
            case _:
                raise CompilerBug(f"no test of {predicate!r}")

    def _end(self, a: Polynomial, kind: Kind) -> Polynomial | None:
        """A term that is at most (`min`) or at least (`max`) `a` for every pair of the tile."""
        end: Polynomial | None = a
        for plane, tile in self.planes:
            end = end and Bound(plane, tile).end(end, kind)
        return end

    def _over_tile(self, predicate: Opaque, kind: Kind, unknown: Predicate) -> Predicate:
        """A term the sets know nothing about, where it depends on one side of the tile alone."""
        moving = [plane.other.key for plane, _ in self.planes if plane.other.key in predicate.leaves]
        if not moving:
            return predicate
        if len(moving) > 1:
            return unknown
        axis: Literal["i", "j"] = "i" if moving == ["i"] else "j"
        holds = IntIf(to_bool(predicate), IntConst(1), IntConst(0))
        return nonnegative(leaf(OverTile(kind, axis, holds)) - 1)
