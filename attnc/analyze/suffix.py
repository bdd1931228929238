"""The suffix of the keys: what follows the last period of a mask that repeats, as text after the pixels of a video.

Enters: a mask. Leaves: the mask without the clauses that show everything from some position on, and the interval that
these show a tile; nothing where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from attnc.analyze.tile_intervals import TileInterval, make_interval
from attnc.sets.folding import choice, extreme
from attnc.sets.pieces import Plane, Stretch
from attnc.sets.polynomial import ZERO, Choice, Extreme, Polynomial
from attnc.sets.predicate import NonNegative, Predicate, Some, some
from attnc.sets.project import Tile
from attnc.sets.solve import Solver


@dataclass(frozen=True)
class Suffix:
    """The positions of the interval, which ends with the last of all, and the `rest` of the mask without them."""

    rest: Predicate
    interval: TileInterval

    def cut(self, interval: TileInterval, plane: Plane) -> TileInterval:
        """What an interval of the rest has before the suffix."""
        end = self.interval.lo
        if plane.prover.prove_at_most(interval.hi, end):
            return interval
        full = interval.full and (interval.full[0], extreme("min", (interval.full[1], end)))
        return replace(interval, hi=extreme("min", (interval.hi, end)), full=full)


def find_suffix(mask: Predicate, tile: Tile, plane: Plane) -> Suffix | None:
    """Of the clauses of an `or`, those that are one comparison each."""
    if not isinstance(mask, Some):
        return None
    solver = Solver(plane, "over")
    ends = [item for item in mask.items if isinstance(item, NonNegative) and _goes_on(item, solver)]
    if not any(plane.target.key in item.leaves for item in ends):
        return None
    pieces = solver.solve(some(ends))
    if len(pieces) != 1 or pieces[0] != replace(pieces[0], guards=(), other=Stretch(), exact=True):
        return None
    interval = make_interval(pieces[0], pieces, tile, plane)
    if not interval.known or not plane.prover.prove_at_most(plane.target_last + 1, interval.hi):
        return None
    full = interval.full and (_unclipped(interval.full[0]), interval.full[1])
    rest = some(item for item in mask.items if item not in ends)
    return Suffix(rest, replace(interval, lo=_unclipped(interval.lo), full=full))


def _goes_on(condition: Predicate, solver: Solver) -> bool:
    """Does every row that sees something see all from there on?"""
    return all(piece.exact and not piece.target.highs for piece in solver.solve(condition))


def _unclipped(start: Polynomial) -> Polynomial:
    """A start that may lie before the first position, as those of intervals may: who loops clips it."""
    match start.atom:
        case Choice(condition, a, b):
            return choice(condition, _unclipped(a), _unclipped(b))
        case Extreme("max", (a, b)) if ZERO in (a, b):
            return b if a == ZERO else a
        case _:
            return start
