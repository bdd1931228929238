"""Which keys a tile of queries has to look at, and which queries a tile of keys.

Enters: an attention. Leaves: `Ranges`, with ends in closed form: what some pair of the tile can see (`visited`), what
every pair of it sees (`full`), and the reasons. Both targets go through the same steps, their roles swapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from attnc.analyze.clauses import (
    LONGEST,
    PLURAL,
    Clause,
    explain_clauses,
    interval_text,
    long_text,
    term_text,
)
from attnc.analyze.facts import Ranges, Reason, Requirement
from attnc.analyze.periods import Repeated, find_periods
from attnc.analyze.requirements import find_requirements
from attnc.analyze.tile_intervals import TileInterval, around, in_order, is_everything, make_interval
from attnc.ir.nodes import Attention, Index, OverTile, Param, Rank, Size, TileEnd
from attnc.ir.text import print_ir
from attnc.ir.walk import walk
from attnc.sets.convert import sizes_in_order, to_int, to_polynomial, to_predicate
from attnc.sets.folding import leaf
from attnc.sets.pieces import Plane
from attnc.sets.polynomial import ZERO, Leaf, Polynomial
from attnc.sets.predicate import every, nonnegative
from attnc.sets.project import Tile
from attnc.sets.prover import Budget, Prover
from attnc.sets.solve import Limits, Solver

Target = Literal["i", "j"]

TOGETHER = "together with the other clauses"
OUT_OF_STEPS = Reason("the analysis ran out of steps, so the ranges may be wider than they need be")
TOO_LONG = Reason("the mask is too long to be looked at as a whole")

# What may be spent on the ranges of one target altogether, in characters: less than a second on a machine of 2025. Few
# masks need a tenth of it, and those of `tests/corpus` that need most have some steps left.
STEPS = 1_200_000


def find_ranges(attention: Attention, target: Target) -> Ranges:
    requires, steps = find_requirements(attention.mask, attention.grid), Budget(STEPS)
    plane, tile = (
        make_plane(target, requires, attention.params, steps),
        make_tile("j" if target == "i" else "i"),
    )
    mask, limits = to_predicate(attention.mask), Limits()
    over = Solver(plane, "over", limits).solve(mask)
    under = over if all(piece.exact for piece in over) else Solver(plane, "under").solve(mask)
    found = [make_interval(piece, under, tile, plane) for piece in over]
    is_followed = all(piece.followed for piece in over) and all(interval.known for interval in found)
    intervals, notes = in_order(found, plane)
    if limits.reached:
        notes.append(
            Reason("the mask falls apart into too many pieces, so the ranges are wider than they need be")
        )
    if plane.prover.budget.is_spent:
        notes.append(OUT_OF_STEPS)
    exact = all(interval.exact for interval in intervals)
    closed = exact or not any(is_everything(interval, plane) for interval in intervals)
    if not closed:
        intervals = [around(intervals)]
    if plane.prover.budget.is_spent:
        plane = make_plane(target, requires, attention.params)
    clauses = explain_clauses(attention.mask, plane, tile)
    open_ones = [clause for clause in clauses if not clause.is_closed] if not is_followed else []
    if not is_followed and not open_ones and not notes:
        notes.append(TOO_LONG)
    loose = (*(clause.reason for clause in open_ones), *notes)
    if loose and intervals:
        where = make_plane(target, requires, attention.params, steps)
        repeated, unread = find_periods(mask, over, tile, where)
        if repeated:
            return _in_periods(repeated, clauses, requires, unread, where)
        notes += unread
        if steps.is_spent and OUT_OF_STEPS not in notes:
            notes.append(OUT_OF_STEPS)
    return Ranges(
        target,
        visited=tuple(interval.visited_interval for interval in intervals),
        full=tuple(interval.full_interval for interval in intervals),
        exact=exact,
        closed=closed,
        because=(
            *(clause.followed(TOGETHER) if is_followed else _reason(clause) for clause in clauses),
            *(requirement.reason for requirement in requires),
            *notes,
            *_words_of(intervals if not loose else ()),
            Reason(_listed_text(plane) if loose and intervals else _summary(intervals, plane)),
        ),
        loose=loose,
        requires=requires,
    )


def _in_periods(
    found: Repeated,
    clauses: Sequence[Clause],
    requires: tuple[Requirement, ...],
    notes: Sequence[Reason],
    plane: Plane,
) -> Ranges:
    target, keys = plane.target.key, PLURAL[plane.target.key]
    length = print_ir(found.periods.length)
    return Ranges(
        "i" if target == "i" else "j",
        visited=tuple(interval.visited_interval for interval in found.intervals),
        full=tuple(interval.full_interval for interval in found.intervals),
        exact=False,
        closed=True,
        because=(
            *(clause.followed(f"in every period of `{length}` {keys}") for clause in clauses),
            *(requirement.reason for requirement in requires),
            *notes,
            *_words_of(found.all_intervals),
            Reason(_periods_text(found, plane)),
            Reason(_summary(found.intervals, plane)),
        ),
        requires=requires,
        periods=found.periods,
        suffix=(found.suffix.visited_interval, found.suffix.full_interval) if found.suffix else None,
    )


def make_plane(
    target: Target,
    requires: Sequence[Requirement],
    params: Sequence[Param] = (),
    steps: Budget | None = None,
) -> Plane:
    """The plane of a target and the other position, in which every requirement holds. Proofs spend of all `steps`."""
    in_order = Prover(budget=Budget(whole=steps), in_order=sizes_in_order(params))
    prover = in_order.given(every(nonnegative(to_polynomial(each.term) - 1) for each in requires))
    last = {"i": leaf(Size("N")) - 1, "j": leaf(Size("M")) - 1}
    other: Target = "j" if target == "i" else "i"
    return Plane(Leaf(Index(target)), last[target], Leaf(Index(other)), last[other], prover)


def make_tile(axis: Target) -> Tile:
    return Tile(leaf(TileEnd(axis, "first")), leaf(TileEnd(axis, "last")))


# ---- in words --------------------------------------------------------------------------------------


def _reason(clause: Clause) -> Reason:
    if clause.is_closed:
        return clause.reason
    return replace(clause.reason, text=f"{clause.reason.text}, so tiles are listed")


def _words_of(intervals: Sequence[TileInterval]) -> Iterator[Reason]:
    """What the functions mean that stand in ends and in no spec, and what is not known of full tiles."""
    ends = [end for interval in intervals for end in (interval.lo, interval.hi, *(interval.full or ()))]
    parts = {type(part) for end in ends for part in walk(to_int(end))}
    if any(not interval.searched for interval in intervals):
        yield Reason("the analysis ran out of steps before it knew which tiles are full")
    if Rank in parts:
        yield Reason(
            "rank(a[:], x) is how many entries of the sorted array are below x: where x stands in it"
        )
    if OverTile in parts:
        yield Reason("least and greatest are taken over the tile, at the start of each program")


def _summary(intervals: Sequence[TileInterval], plane: Plane) -> str:
    """`queries [i0, i1] read only keys [i0 - window + 1, i1 + 1); all of them see keys [i1 - window + 1, i0 + 1)`."""
    visited = _list([(interval.lo, interval.hi) for interval in intervals], plane)
    full = _list([interval.full for interval in intervals if interval.full], plane)
    only = "" if visited.startswith("all ") else "only "
    if plane.target.key == "j":
        if not visited:
            return "no query sees a key"
        return f"queries [i0, i1] read {only}{visited}" + (f"; all of them see {full}" if full else "")
    if not visited:
        return "no key is seen by a query"
    return f"keys [j0, j1] are read {only}by {visited}" + (f"; {full} see all of them" if full else "")


def _listed_text(plane: Plane) -> str:
    if plane.target.key == "j":
        return "queries [i0, i1] read the keys of tiles that are listed before the kernel runs"
    return "keys [j0, j1] are read by the queries of tiles that are listed before the kernel runs"


def _periods_text(found: Repeated, plane: Plane) -> str:
    """`period p has keys [cols * p, cols * p + cols); queries [i0, i1] look at periods [0, i1 // cols + 1)`.

    And `, then at keys [pixels, M)`, where there is a suffix.
    """
    periods, suffix = found.periods, found.suffix
    keys, queries = PLURAL[plane.target.key], PLURAL[plane.other.key]
    tile = "i0, i1" if queries == "queries" else "j0, j1"
    first = to_polynomial(periods.start)
    lo, hi = (term_text(to_polynomial(end)) for end in (periods.lo, periods.hi))
    span = interval_text(term_text(first), term_text(first + to_polynomial(periods.length)))
    then = f", then at {_list([(suffix.lo, suffix.hi)], plane)}" if suffix else ""
    return f"period p has {keys} {span}; {queries} [{tile}] look at periods {interval_text(lo, hi)}{then}"


def _list(intervals: Sequence[tuple[Polynomial, Polynomial]], plane: Plane) -> str:
    keys = PLURAL[plane.target.key]
    if (ZERO, plane.target_last + 1) in intervals:
        return f"all {keys}"
    texts = [interval_text(term_text(lo), term_text(hi)) for lo, hi in intervals]
    if sum(map(len, texts)) > 2 * LONGEST:
        return f"{keys} {long_text(len(texts))}"
    return f"{keys} {' and '.join(texts)}" if texts else ""
