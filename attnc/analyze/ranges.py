"""Which keys a tile of queries has to look at, and which queries a tile of keys.

Enters: an attention. Leaves: `Ranges`, with ends in closed form: what some pair of the tile can see (`visited`), what
every pair of it sees (`full`), and the reasons. Both targets go through the same steps, their roles swapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from attnc.analyze.clauses import PLURAL, Clause, explain_clauses, term_text
from attnc.analyze.facts import Interval, Ranges, Reason, Requirement
from attnc.analyze.requirements import find_requirements
from attnc.ir.nodes import Attention, Index, OverTile, Param, Rank, Size, TileEnd
from attnc.ir.walk import walk
from attnc.sets.convert import sizes_in_order, to_int, to_polynomial, to_predicate
from attnc.sets.pieces import Piece, Plane
from attnc.sets.polynomial import (
    ZERO,
    Atom,
    Choice,
    Leaf,
    Polynomial,
    Quotient,
    choice,
    extreme,
    items_of,
    leaf,
    polynomial,
)
from attnc.sets.predicate import ALWAYS, Predicate, every, negation, nonnegative
from attnc.sets.project import Shadow, Tile, project_every, project_some
from attnc.sets.prover import Prover
from attnc.sets.solve import Limits, Solver

Target = Literal["i", "j"]

# More intervals than this cost a kernel more than the tiles they save.
MOST_INTERVALS = 6
# And one around more than this has ends that nobody would read.
MOST_AROUND = 12


@dataclass(frozen=True)
class Strip:
    """One interval over a tile: what is visited, `[lo, hi)`, and what of it is full.

    `guard` says where it is there at all; `known`, that both ends have a closed form.
    """

    lo: Polynomial
    hi: Polynomial
    full: tuple[Polynomial, Polynomial] | None
    exact: bool
    guard: Predicate = ALWAYS
    known: bool = True


def find_ranges(attention: Attention, target: Target) -> Ranges:
    requires = find_requirements(attention.mask)
    plane, tile = make_plane(target, requires, attention.params), make_tile("j" if target == "i" else "i")
    mask, limits = to_predicate(attention.mask), Limits()
    over = Solver(plane, "over", limits).solve(mask)
    under = over if all(piece.exact for piece in over) else Solver(plane, "under").solve(mask)
    found = [_make_strip(piece, under, tile, plane) for piece in over]
    is_followed = all(piece.exact for piece in over) and all(strip.known for strip in found)
    strips, notes = _sorted(found, plane)
    if limits.reached:
        notes.append(
            Reason("the mask falls apart into too many pieces, so the ranges are wider than they need be")
        )
    if plane.prover.budget.is_spent:
        notes.append(Reason("the analysis ran out of steps, so the ranges may be wider than they need be"))
    exact = all(strip.exact for strip in strips)
    closed = exact or not any(_is_everything(strip, plane) for strip in strips)
    if not closed:
        strips = [_around(strips)]
    if plane.prover.budget.is_spent:
        plane = make_plane(target, requires, attention.params)
    clauses = explain_clauses(attention.mask, plane, tile)
    open_ones = [clause for clause in clauses if not clause.is_closed] if not is_followed else []
    loose = (*(clause.reason for clause in open_ones), *notes)
    return Ranges(
        target,
        visited=tuple(Interval(to_int(strip.lo), to_int(strip.hi)) for strip in strips),
        full=tuple(Interval(*map(to_int, strip.full)) if strip.full else None for strip in strips),
        exact=exact,
        closed=closed,
        because=(
            *(_followed(clause) if is_followed else _reason(clause) for clause in clauses),
            *(requirement.reason for requirement in requires),
            *notes,
            *_words_of(strips),
            Reason(_summary(strips, plane)),
        ),
        loose=loose,
        requires=requires,
    )


def make_plane(target: Target, requires: Sequence[Requirement], params: Sequence[Param] = ()) -> Plane:
    """The plane of a target and the other position, in which every requirement holds."""
    in_order = Prover(in_order=sizes_in_order(params))
    prover = in_order.given(every(nonnegative(to_polynomial(each.term) - 1) for each in requires))
    last = {"i": leaf(Size("N")) - 1, "j": leaf(Size("M")) - 1}
    other: Target = "j" if target == "i" else "i"
    return Plane(Leaf(Index(target)), last[target], Leaf(Index(other)), last[other], prover)


def make_tile(axis: Target) -> Tile:
    return Tile(leaf(TileEnd(axis, "first")), leaf(TileEnd(axis, "last")))


# ---- strips ----------------------------------------------------------------------------------------


def _make_strip(piece: Piece, under: Sequence[Piece], tile: Tile, plane: Plane) -> Strip:
    shadow = project_some(piece, tile, plane)
    inner = piece if piece in under else next((part for part in under if plane.covers(piece, part)), None)
    core = inner and project_every(inner, tile, plane)
    full = _ends(core, plane) if core else None
    if full and plane.prover.prove_at_most(full[1], full[0]):
        full = None
    return Strip(*_ends(shadow, plane), full, shadow.exact, every(shadow.guards), shadow.known)


def _ends(shadow: Shadow, plane: Plane) -> tuple[Polynomial, Polynomial]:
    """An interval that a guard switches off ends at 0; it starts as ever, unless that may divide by 0."""
    guard = every(shadow.guards)
    lo = shadow.lo if _always_divides(shadow.lo, plane) else choice(guard, shadow.lo, ZERO)
    return lo, choice(guard, shadow.hi, ZERO)


def _always_divides(a: Polynomial, plane: Plane) -> bool:
    """Is there no call in which it divides by 0? What stands behind a condition is asked for where that holds."""
    for atom in a.atoms:
        match atom:
            case Choice(condition, one, two):
                branches = (condition, one), (negation(condition), two)
                if not all(_always_divides(branch, plane.given((fact,))) for fact, branch in branches):
                    return False
                continue
            case Quotient(_, n):
                if not plane.prover.prove_nonnegative(n - 1):
                    return False
            case Leaf(OverTile(_, _, term)):
                if not _always_divides(to_polynomial(term), plane):
                    return False
        if not all(_always_divides(part, plane) for part in atom.parts):
            return False
    return True


def _sorted(strips: list[Strip], plane: Plane) -> tuple[list[Strip], list[Reason]]:
    """By their starts, for certain; one strip around all of them where that is not certain, or they are too many."""
    if len(strips) > MOST_INTERVALS:
        why = f"{len(strips)} intervals are more than a kernel should sweep"
        if len(strips) > MOST_AROUND:
            return [Strip(ZERO, plane.target_last + 1, None, False)], [
                Reason(f"{why}, so every tile is visited")
            ]
        return [_around(strips)], [Reason(f"{why}, so one around all of them is visited")]
    first, rest, last = list[Strip](), list(strips), list[Strip]()
    while rest:
        at, is_first = _outermost(rest, plane)
        if at is not None:
            first, last = ([*first, rest[at]], last) if is_first else (first, [rest[at], *last])
            del rest[at]
        elif len(rest) == 2:
            one, two = rest
            return [*first, *_in_order_at_run_time(one, two, plane), *last], []
        else:
            why = "it is not certain which interval starts first"
            return [_around(strips)], [Reason(f"{why}, so one around all of them is visited")]
    return first + last, []


def _outermost(strips: Sequence[Strip], plane: Plane) -> tuple[int | None, bool]:
    """Where the one stands that starts before all others, or behind all of them, for certain; is it before them?"""
    for starts_first in (_starts_first, _starts_first_where_it_is):
        for is_first in (True, False):
            for at, one in enumerate(strips):
                others = [two for two in strips if two is not one]
                if all(starts_first(*((one, two) if is_first else (two, one)), plane) for two in others):
                    return at, is_first
    return None, True


def _in_order_at_run_time(one: Strip, two: Strip, plane: Plane) -> tuple[Strip, Strip]:
    """Two strips, of which the kernel finds out which starts first, where both are there."""
    ahead = two.lo - one.lo
    simpler = plane.given((one.guard, two.guard)).simplify(ahead)
    is_first = nonnegative(simpler)

    def choose(a: Strip, b: Strip) -> Strip:
        nothing = (ZERO, ZERO)
        (lo, hi), (low, high) = a.full or nothing, b.full or nothing
        full = (choice(is_first, lo, low), choice(is_first, hi, high)) if a.full or b.full else None
        lo = extreme("min" if a is one else "max", (one.lo, two.lo))
        if simpler != ahead:
            lo = choice(is_first, a.lo, b.lo)
        return Strip(lo, choice(is_first, a.hi, b.hi), full, one.exact and two.exact)

    return choose(one, two), choose(two, one)


def _starts_first(one: Strip, two: Strip, plane: Plane) -> bool:
    return plane.prover.prove_at_most(one.lo, extreme("max", (two.lo, ZERO)))


def _starts_first_where_it_is(one: Strip, two: Strip, plane: Plane) -> bool:
    """The same wherever both hold a position, which is where it matters."""
    one, two = _unguarded(one), _unguarded(two)
    prover, ahead = plane.given((one.guard, two.guard)).prover, two.lo - one.lo
    less = [ahead - rest for rest in (*_rests(one), *_rests(two))]
    return any(map(prover.prove_nonnegative, [ahead, *(gap for gap in less if _size(gap) < _size(ahead))]))


def _size(a: Polynomial) -> int:
    return sum(1 for product in a.terms if product)


def _unguarded(strip: Strip) -> Strip:
    """Its ends where its guard holds."""

    def decide(atom: Atom) -> Polynomial:
        match atom:
            case Choice(condition, a, _) if condition == strip.guard:
                return a
            case _:
                return polynomial(atom)

    return replace(strip, lo=strip.lo.map_atoms(decide), hi=strip.hi.map_atoms(decide))


def _rests(strip: Strip) -> Iterator[Polynomial]:
    """How many more it has, where it holds a position: none of them is negative then."""
    for low in items_of(strip.lo, "max"):
        for high in items_of(strip.hi, "min"):
            yield high - low - 1


def _around(strips: Sequence[Strip]) -> Strip:
    lo, hi = extreme("min", (strip.lo for strip in strips)), extreme("max", (strip.hi for strip in strips))
    return Strip(lo, hi, next((strip.full for strip in strips if strip.full), None), False)


def _is_everything(strip: Strip, plane: Plane) -> bool:
    return plane.prover.prove_at_most(strip.lo, ZERO) and plane.prover.prove_at_most(
        plane.target_last + 1, strip.hi
    )


# ---- in words --------------------------------------------------------------------------------------


def _followed(clause: Clause) -> Reason:
    if clause.is_closed:
        return clause.reason
    return replace(clause.reason, text=f"{clause.name} is solved together with the other clauses")


def _reason(clause: Clause) -> Reason:
    if clause.is_closed:
        return clause.reason
    return replace(clause.reason, text=f"{clause.reason.text}, so tiles are listed")


def _words_of(strips: Sequence[Strip]) -> Iterator[Reason]:
    """What the functions mean that stand in ends and in no spec."""
    ends = [end for strip in strips for end in (strip.lo, strip.hi, *(strip.full or ()))]
    parts = {type(part) for end in ends for part in walk(to_int(end))}
    if Rank in parts:
        yield Reason(
            "rank(a[:], x) is how many entries of the sorted array are below x: where x stands in it"
        )
    if OverTile in parts:
        yield Reason("least and greatest are taken over the tile, at the start of each program")


def _summary(strips: Sequence[Strip], plane: Plane) -> str:
    """`queries [i0, i1] read only keys [i0 - window + 1, i1 + 1); all of them see keys [i1 - window + 1, i0 + 1)`."""
    visited = _list([(strip.lo, strip.hi) for strip in strips], plane)
    full = _list([strip.full for strip in strips if strip.full], plane)
    only = "" if visited.startswith("all ") else "only "
    if plane.target.key == "j":
        if not visited:
            return "no query sees a key"
        return f"queries [i0, i1] read {only}{visited}" + (f"; all of them see {full}" if full else "")
    if not visited:
        return "no key is seen by a query"
    return f"keys [j0, j1] are read {only}by {visited}" + (f"; {full} see all of them" if full else "")


def _list(intervals: Sequence[tuple[Polynomial, Polynomial]], plane: Plane) -> str:
    keys = PLURAL[plane.target.key]
    if (ZERO, plane.target_last + 1) in intervals:
        return f"all {keys}"
    texts = [f"[{term_text(lo)}, {term_text(hi)})" for lo, hi in intervals]
    return f"{keys} {' and '.join(texts)}" if texts else ""
