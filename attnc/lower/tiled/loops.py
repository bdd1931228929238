"""The loops over the tiles of a program: exactly two, between named bounds.

Enters: the visited and full intervals of positions. Leaves: lines that turn them into tiles, and two loops: edge tiles,
which are masked, and full tiles, which are not. Several intervals are flattened into the same two loops, in order and
without visiting a tile twice; a tile that one of them shows as a whole is full, whatever else the others show of it.
Rounding is outward for what is visited and inward for what is full.

Intervals that repeat have all of that inside of a loop over their periods, which remembers how far it has come: a tile
that two periods share is visited in the first of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from attnc.analyze.facts import Interval, Periods, Ranges, Shown
from attnc.ir import build
from attnc.ir.nodes import IntConst, OverTile, Period
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Lit, Var
from attnc.lower.tiled.bounds import Bounds, Segment, greater, lesser
from attnc.lower.triton_terms import INT32, tl

Body = Callable[[Block, Expr, bool], None]

count = function("range")

NO_TILE = Lit(0)


class Visits(Protocol):
    """The tiles that a program visits, once their bounds are written."""

    def loop(self, block: Block, body: Body) -> None:
        """The two loops; `body` writes one tile, given its first position and whether it is an edge tile."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Segments of tile numbers: `edge` ones are masked, `full` ones are not."""

    edge: tuple[Segment, ...]
    full: tuple[Segment, ...]
    step: Expr

    def loop(self, block: Block, body: Body) -> None:
        """The two loops; `body` writes one tile, given its first position and whether it is an edge tile."""
        for segments, is_edge in ((self.edge, True), (self.full, False)):
            if segments:
                self._loop(block, segments, is_edge, body)

    def _loop(self, block: Block, segments: tuple[Segment, ...], is_edge: bool, body: Body) -> None:
        if len(segments) == 1:
            with block.loop("t", count(*segments[0])) as inside:
                body(inside, Var("t") * self.step, is_edge)
            return
        number, tile = in_a_row(block, segments, "edge" if is_edge else "full")
        with block.loop("t", count(Lit(0), number)) as inside:
            body(inside, inside.let("tile", tile) * self.step, is_edge)


def in_a_row(block: Block, segments: tuple[Segment, ...], kind: str) -> tuple[Expr, Expr]:
    """Segments one after the other: how many tiles they have, and the tile of iteration `t`."""
    ends = _ends(block, segments, kind)
    starts = [Lit(0), *ends]
    t = Var("t")
    tile = _shifted(segments[-1][0], t, starts[-2])
    for (lo, _), start, end in list(zip(segments, starts, ends, strict=False))[-2::-1]:
        tile = tl.where(t < end, _shifted(lo, t, start), tile)
    return ends[-1], tile


def _shifted(lo: Expr, t: Expr, start: Expr) -> Expr:
    """The tile of iteration `t` in a segment which begins at tile `lo` and at iteration `start`."""
    tile = t if lo == Lit(0) else lo + t
    return tile if start == Lit(0) else tile - start


def _ends(block: Block, segments: tuple[Segment, ...], kind: str) -> list[Expr]:
    """Running totals: after how many iterations each segment ends."""
    ends: list[Expr] = []
    for n, (lo, hi) in enumerate(segments):
        size = hi if lo == Lit(0) else hi - lo
        total = size if not ends else ends[-1] + size
        last = n == len(segments) - 1
        name = f"{kind}_tiles" if last else f"{kind}_end_{n + 1}" if len(segments) > 2 else f"{kind}_left"
        has_name = len(segments) == 1 and isinstance(total, Var)
        ends.append(total if has_name else block.let(name, total))
    return ends


def find_visits(bounds: Bounds, ranges: Ranges) -> Visits:
    """Write the bounds of `ranges`; those of each period come with its loop."""
    if ranges.periods is not None:
        return _find_periods(bounds, ranges, ranges.periods)
    return find_tiles(bounds, ranges)


def find_tiles(bounds: Bounds, ranges: Ranges) -> Tiles:
    """Write the bounds of `ranges` without periods."""
    if len(ranges.shown) == 1:
        return _lower_one(bounds, *ranges.shown[0])
    return _take_in_turn(bounds, ranges.shown).tiles()


def _find_periods(bounds: Bounds, ranges: Ranges, periods: Periods) -> TilesOfPeriods:
    """Write which periods there are."""
    _name_reductions(bounds, ranges)
    terms = bounds.terms
    lo, hi = (
        bounds.let(f"period_{end}", terms(term)) for end, term in (("lo", periods.lo), ("hi", periods.hi))
    )
    terms.proofs = terms.proofs.in_turn(periods) if ranges.suffix else terms.proofs.in_period(periods)
    if ranges.suffix is not None:
        start = ranges.suffix[0].lo
        terms.named[periods.hi] = hi
        terms.named[start] = bounds.let("behind", terms(start))
    return TilesOfPeriods(bounds, ranges, periods, lo, hi)


@dataclass(frozen=True, slots=True)
class TilesOfPeriods:
    """Tiles of intervals that repeat, from period `lo` to before `hi`."""

    bounds: Bounds
    ranges: Ranges
    periods: Periods
    lo: Expr
    hi: Expr

    def loop(self, block: Block, body: Body) -> None:
        """The two loops, within one over the periods."""
        bounds, ranges, terms, hi = self.bounds, self.ranges, self.bounds.terms, self.hi
        reached = block.let("reached", 0)
        numbers = [self.lo, hi]
        if ranges.suffix is not None:
            block.comment("What is behind all periods counts as one more.")
            numbers = [tl.minimum(self.lo, hi), hi + 1]
        if ranges.takes_several_periods:
            block.comment("As many periods at once as a tile holds.")
            step = tl.maximum(bounds.step // terms(self.periods.length), 1)
            numbers.append(block.let("period_step", step))
        with block.loop("period", count(*numbers)) as inside:
            if ranges.takes_several_periods:
                inside.let("period_last", tl.minimum(Var("period") + numbers[-1], hi) - 1)
            turn = _take_in_turn(replace(bounds, block=inside), _shown_in_turn(ranges, self.periods), reached)
            turn.tiles().loop(inside, body)
            is_wide = any(map(terms.has_wide, ranges.ends))
            inside.assign(reached, turn.reached.to(INT32) if is_wide else turn.reached)


def _shown_in_turn(ranges: Ranges, periods: Periods) -> list[Shown]:
    """What one period shows; or, in the turn after the last, the suffix and nothing else."""
    if ranges.suffix is None:
        return list(ranges.shown)
    is_period = build.compare("<", Period("first"), periods.hi)
    nothing = Interval(IntConst(0), IntConst(0))

    def instead(one: Interval, suffix: Interval) -> Interval:
        return Interval(
            build.choose(is_period, one.lo, suffix.lo), build.choose(is_period, one.hi, suffix.hi)
        )

    shown = list[Shown]()
    for n, (seen, whole) in enumerate(ranges.shown):
        suffix, suffix_whole = (nothing, None) if n else ranges.suffix
        has_full = whole or suffix_whole
        full = instead(whole or nothing, suffix_whole or nothing) if has_full else None
        shown.append((instead(seen, suffix), full))
    return shown


def _name_reductions(bounds: Bounds, ranges: Ranges) -> None:
    """What is the least and the greatest over the tile is so for every period."""
    found = dict.fromkeys(part for part in ranges.parts if isinstance(part, OverTile))
    for kind, name in (("min", "least"), ("max", "greatest")):
        for n, part in enumerate((part for part in found if part.kind == kind), 1):
            suffix = f"_{n}" if n > 1 else ""
            bounds.terms.named[part] = bounds.block.let(f"{name}{suffix}", bounds.terms(part))


def _take_in_turn(bounds: Bounds, intervals: Sequence[Shown], reached: Expr = NO_TILE) -> _InTurn:
    turn = _InTurn(bounds, left=reached, reached=reached)
    for n, (seen, whole) in enumerate(intervals, 1):
        turn.add(f"_{n}" if len(intervals) > 1 else "", seen, whole)
    return turn


def _lower_one(bounds: Bounds, seen: Interval, whole: Interval | None) -> Tiles:
    first, end, has_some = bounds.clipped(seen)
    lo = bounds.let("live_lo", bounds.tile(first))
    hi = tl.cdiv(end, bounds.step)
    hi = bounds.let("live_hi", hi if has_some else tl.where(first < end, hi, lo))
    if whole is None:
        return Tiles(((lo, hi),), (), bounds.step)
    full = full_lo, full_hi = bounds.full(seen, whole, lo, lo, hi, has_some=True)
    return Tiles(_filled((lo, full_lo), (full_hi, hi)), (full,), bounds.step)


@dataclass
class _InTurn:
    """Several intervals, one after the other.

    Tiles `[left, reached)` are visited and edge tiles so far: the next interval may find full ones among them. An
    interval without a position ends at tile 0, and stands in nobody's way wherever it starts.
    """

    bounds: Bounds
    left: Expr
    reached: Expr
    edge: list[Segment] = field(default_factory=list)
    full: list[Segment] = field(default_factory=list)
    before: str = ""

    def tiles(self) -> Tiles:
        return Tiles(_filled(*self.edge, (self.left, self.reached)), tuple(self.full), self.bounds.step)

    def add(self, suffix: str, seen: Interval, whole: Interval | None) -> None:
        """The next interval; `suffix` is the end of its names."""
        here = replace(self.bounds, suffix=suffix)
        first, end, has_some = here.clipped(seen)
        lo, hi = here.tile(first), tl.cdiv(end, here.step)
        hi = here.let("live_hi", greater(hi if has_some else tl.where(first < end, hi, 0), self.reached))
        if whole is not None:
            full_lo, full_hi = here.full(seen, whole, self.left, lo, hi, has_some)
            self._close(here, lo, full_lo, has_some)
            self._add_full(full_lo, full_hi)
            self.left = full_hi
        elif lo != Lit(0):
            self.edge.append((self.left, self.reached))
            lo = greater(lo, self.reached)
            self.left = here.let("live_lo", lo if has_some else lesser(lo, hi))
        self.reached, self.before = hi, suffix

    def _close(self, here: Bounds, lo: Expr, end: Expr, has_some: bool) -> None:
        """Edge tiles up to `end`: those that are left, and from the first tile of an interval."""
        if lo == Lit(0):
            self.edge.append((self.left, end))
            return
        if self.left != self.reached:
            before = replace(here, suffix=self.before)
            self.edge.append((self.left, before.let("edge_hi", lesser(self.reached, end))))
        is_first = self.reached == Lit(0)
        lo = lo if is_first and has_some else lesser(greater(lo, self.reached), end)
        self.edge.append((here.let("live_lo", lo), end))

    def _add_full(self, lo: Expr, hi: Expr) -> None:
        touches = self.full and self.full[-1][1] == lo
        self.full.append((self.full.pop()[0] if touches else lo, hi))


def _filled(*segments: Segment) -> tuple[Segment, ...]:
    return tuple((lo, hi) for lo, hi in segments if lo != hi)
