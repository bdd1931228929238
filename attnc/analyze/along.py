"""A mask along one axis of a grid: an attention in one dimension.

Enters: the clauses of a product that speak of one axis, and how many coordinates there are. Leaves: `Along`: the keys
of a run of query coordinates and the queries of a run of key coordinates, found by the solver of `sets/`, their roles
swapped. Where queries see their own residue class alone (`i.x % d == j.x % d`), what is solved is the class: the
coordinate is `d * u + g`, `g` the residue, and `i` and `j` stand for `u`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnc.analyze.facts import Ranges, Reason
from attnc.analyze.grid_facts import Along, Axis, Window
from attnc.analyze.ranges import OUT_OF_STEPS, STEPS, Target, make_tile
from attnc.analyze.tile_intervals import around, in_order, is_everything, make_interval
from attnc.analyze.windows import find_window
from attnc.ir import build
from attnc.ir.nodes import (
    Bool,
    Compare,
    Coordinate,
    Index,
    Int,
    IntConst,
    IntOp,
    Node,
    Param,
    Residue,
    TileEnd,
)
from attnc.ir.walk import axes_of, replace_terms, walk
from attnc.sets.convert import sizes_in_order, to_int, to_polynomial, to_predicate
from attnc.sets.divisions import times_of
from attnc.sets.folding import leaf, quotient
from attnc.sets.pieces import Plane
from attnc.sets.polynomial import ZERO, Leaf, Polynomial
from attnc.sets.predicate import Predicate, every, nonnegative
from attnc.sets.prover import Bounds, Budget, Prover, bounds_of_leaves
from attnc.sets.solve import Limits, Solver


@dataclass(frozen=True)
class Setting:
    """What is known beside the clauses: facts of the call, and the arrays that are in order."""

    facts: Predicate
    params: Sequence[Param]


def find_dilation(clauses: Iterable[Bool], name: str) -> Int | None:
    """The `d` of `i.x % d == j.x % d`, or of what says the same."""
    for clause in clauses:
        match clause:
            case Compare("==", IntOp("%", a, d), IntOp("%", b, n)) if d == n:
                gap = to_polynomial(a) - to_polynomial(b)
            case Compare("==", IntOp("%", a, d), IntConst(0)) | Compare("==", IntConst(0), IntOp("%", a, d)):
                gap = to_polynomial(a)
            case _:
                continue
        distance = leaf(Coordinate("i", name)) - leaf(Coordinate("j", name))
        for sign in (1, -1):
            is_class = times_of(gap - distance * sign, to_polynomial(d)) is not None
            if is_class and not axes_of(d) & {"i", "j"}:
                return d
    return None


def find_along(axis: Axis, clauses: Sequence[Bool], dilation: Int | None, setting: Setting) -> Along:
    mask = build.conj(*(_in_class(clause, axis.name, dilation) for clause in clauses))
    queries, keys = (_count(digit.size, dilation) for digit in (axis.query, axis.key))
    one = _Dimension(mask, to_polynomial(queries), to_polynomial(keys), dilation, setting)
    return Along(axis, mask, queries, keys, dilation, one.window, one.ranges("i"), one.ranges("j"))


def _count(size: Int, dilation: Int | None) -> Int:
    """How many coordinates a class holds: those that are `dilation` apart, from the residue on."""
    if dilation is None:
        return size
    return to_int(quotient(to_polynomial(size) - 1 - leaf(Residue()), to_polynomial(dilation)) + 1)


def _in_class(clause: Bool, name: str, dilation: Int | None) -> Bool:
    """With positions for coordinates, and where there are classes, for places in the class."""

    def change(node: Node) -> Node | None:
        match node:
            case IntOp("//", Coordinate(side, _), n) if n == dilation:
                return Index(side)
            case IntOp("%", Coordinate(), n) if n == dilation:
                return Residue()
            case Coordinate(side, _):
                if dilation is None:
                    return Index(side)
                return build.integer("+", build.integer("*", dilation, Index(side)), Residue())
        return None

    found = replace_terms(clause, change)
    assert isinstance(found, Bool)
    return found


@dataclass(frozen=True)
class _Dimension:
    """The problem of one axis: so many queries, so many keys."""

    mask: Bool
    queries: Polynomial
    keys: Polynomial
    dilation: Int | None
    setting: Setting

    def plane(self, target: Target) -> Plane:
        last: dict[Target, Polynomial] = {"i": self.queries - 1, "j": self.keys - 1}
        other: Target = "j" if target == "i" else "i"
        return Plane(Leaf(Index(target)), last[target], Leaf(Index(other)), last[other], self._prover(last))

    def _prover(self, last: dict[Target, Polynomial]) -> Prover:
        bounds = dict(bounds_of_leaves())
        for side, end in last.items():
            tile = Leaf(TileEnd(side, "last"))
            bounds[Leaf(Index(side))] = Bounds((ZERO,), (end,))
            bounds[tile] = Bounds(bounds[tile].low, (end,))
        if self.dilation is not None:
            bounds[Leaf(Residue())] = Bounds((ZERO,), (to_polynomial(self.dilation) - 1,))
        prover = Prover(
            bounds, budget=Budget(whole=Budget(STEPS)), in_order=sizes_in_order(self.setting.params)
        )
        facts = [self.setting.facts]
        if self.dilation is not None:
            facts.append(nonnegative(to_polynomial(self.dilation) - 1))
        return prover.given(every(facts))

    @property
    def window(self) -> Window | None:
        """That of calls which divide by what is positive: nobody means anything by others."""
        divisors = [part.b for part in walk(self.mask) if isinstance(part, IntOp) and part.op in ("//", "%")]
        of_call = [to_polynomial(n) for n in divisors if not axes_of(n) & {"i", "j"}]
        plane = self.plane("j").given(nonnegative(n - 1) for n in of_call)
        return find_window(Solver(plane, "over").solve(to_predicate(self.mask)), plane)

    def ranges(self, target: Target) -> Ranges:
        """As `find_ranges` finds them of tokens; without periods, and with no more words than what is loose."""
        plane, tile = self.plane(target), make_tile("j" if target == "i" else "i")
        mask, limits = to_predicate(self.mask), Limits()
        over = Solver(plane, "over", limits).solve(mask)
        under = over if all(piece.exact for piece in over) else Solver(plane.afresh(), "under").solve(mask)
        found = [make_interval(piece, under, tile, plane) for piece in over]
        is_followed = all(piece.followed for piece in over) and all(interval.known for interval in found)
        intervals, loose = in_order(found, plane)
        if limits.reached or not is_followed:
            loose.append(Reason("not every clause has a closed form"))
        if plane.prover.budget.is_spent:
            loose.append(OUT_OF_STEPS)
        exact = all(interval.exact for interval in intervals)
        closed = exact or not any(is_everything(interval, plane) for interval in intervals)
        if not closed:
            intervals = [around(intervals)]
        return Ranges(
            target,
            visited=tuple(interval.visited_interval for interval in intervals),
            full=tuple(interval.full_interval for interval in intervals),
            exact=exact,
            closed=closed,
            because=(),
            loose=tuple(loose),
        )
