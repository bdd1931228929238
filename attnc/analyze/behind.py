"""What lies behind all that repeats, up to the last position: text behind the pixels of a video.

Enters: a mask. Leaves: the mask without the clauses that show everything from some position on, and the strip that
these show a tile; nothing where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from attnc.analyze.strips import Strip, make_strip
from attnc.sets.folding import choice, extreme
from attnc.sets.pieces import Plane, Stretch
from attnc.sets.polynomial import ZERO, Choice, Extreme, Polynomial
from attnc.sets.predicate import NonNegative, Predicate, Some, some
from attnc.sets.project import Tile
from attnc.sets.solve import Solver


@dataclass(frozen=True)
class Behind:
    """The `rest` of a mask, and what it shows beside: the positions of the strip, which ends with the last of all."""

    rest: Predicate
    strip: Strip

    def cut(self, strip: Strip, plane: Plane) -> Strip:
        """What a strip of the rest has before it."""
        end = self.strip.lo
        if plane.prover.prove_at_most(strip.hi, end):
            return strip
        full = strip.full and (strip.full[0], extreme("min", (strip.full[1], end)))
        return replace(strip, hi=extreme("min", (strip.hi, end)), full=full)


def find_behind(mask: Predicate, tile: Tile, plane: Plane) -> Behind | None:
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
    strip = make_strip(pieces[0], pieces, tile, plane)
    if not strip.known or not plane.prover.prove_at_most(plane.target_last + 1, strip.hi):
        return None
    full = strip.full and (_unclipped(strip.full[0]), strip.full[1])
    rest = some(item for item in mask.items if item not in ends)
    return Behind(rest, replace(strip, lo=_unclipped(strip.lo), full=full))


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
