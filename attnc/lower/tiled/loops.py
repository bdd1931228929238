"""Which tiles a program visits, as named bounds and exactly two loops.

Enters: the visited and full intervals of positions. Leaves: lines that turn them into tiles, and two loops: edge tiles,
which are masked, and full tiles, which are not. Several intervals are flattened into the same two loops, in order and
without visiting a tile twice. Rounding is outward for what is visited and inward for what is full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from attnc.analyze.facts import Interval, Ranges
from attnc.ir import build
from attnc.ir.nodes import Int, IntConst, Size
from attnc.kernel.build import Block, function
from attnc.kernel.nodes import Expr, Lit, Var
from attnc.lower.terms import Terms
from attnc.lower.triton_terms import tl

Segment = tuple[Expr, Expr]
Body = Callable[[Block, Expr, bool], None]


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
        t, kind = Var("t"), "edge" if is_edge else "full"
        if len(segments) == 1:
            with block.loop("t", function("range")(*segments[0])) as inside:
                body(inside, t * self.step, is_edge)
            return
        ends = _ends(block, segments, kind)
        starts = [Lit(0), *ends]
        tile = _shifted(segments[-1][0], t, starts[-2])
        for (lo, _), start, end in list(zip(segments, starts, ends, strict=False))[-2::-1]:
            tile = tl.where(t < end, _shifted(lo, t, start), tile)
        with block.loop("t", function("range")(0, ends[-1])) as inside:
            body(inside, inside.let("tile", tile) * self.step, is_edge)


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
        ends.append(block.let(name, total))
    return ends


def lower_tiles(block: Block, terms: Terms, ranges: Ranges, size: Size, step: Expr) -> Tiles:
    """Write the bounds of `ranges` in tiles of `step` positions; leave their segments."""
    edge: list[Segment] = []
    full: list[Segment] = []
    for n, (seen, whole) in enumerate(zip(ranges.visited, ranges.full, strict=True)):
        suffix = f"_{n + 1}" if len(ranges.visited) > 1 else ""
        after = edge[-1][1] if edge else None
        bounds = _Bounds(block, terms, size, step, suffix)
        lo, hi = bounds.visited(seen, after)
        if whole is None:
            edge.append((lo, hi))
            continue
        full_lo, full_hi = bounds.full(seen, whole, lo, hi, after)
        if full_lo != lo:
            edge.append((lo, full_lo))
        edge.append((full_hi, hi))
        full.append((full_lo, full_hi))
    return Tiles(tuple(edge), tuple(full), step)


@dataclass(frozen=True, slots=True)
class _Bounds:
    block: Block
    terms: Terms
    size: Size
    step: Expr
    suffix: str

    def visited(self, seen: Interval, after: Expr | None) -> Segment:
        """First tile and end of the tiles that hold a visited position; not before `after`, nor below themselves."""
        first, end = self._from_zero(seen.lo), self._to_size(seen.hi)
        if is_cut := not self._is_nonempty(seen):
            first = first if first == Lit(0) else self._let("lo", first)
            end = self._let("hi", end)
        lo: Expr = first if first == Lit(0) else first // self.step
        if after is not None:
            lo = after if lo == Lit(0) else tl.maximum(lo, after)
        if lo not in (Lit(0), after):
            lo = self.block.let(f"live_lo{self.suffix}", lo)
        hi: Expr = tl.cdiv(end, self.step)
        if is_cut:
            hi = tl.where(first < end, hi, lo)
        if after is not None:
            hi = tl.maximum(hi, lo)
        return lo, self.block.let(f"live_hi{self.suffix}", hi)

    def _let(self, which: str, value: Expr) -> Expr:
        """A position among keys or queries: `key_lo`."""
        what = "key" if self.size == Size("M") else "query"
        return self.block.let(f"{what}_{which}{self.suffix}", value)

    def _is_nonempty(self, seen: Interval) -> bool:
        """Is there a position in it, within the sequence, for every tile of every call?"""
        lo = build.integer("max", seen.lo, IntConst(0))
        return self.terms.proofs.is_below(lo, build.integer("min", seen.hi, self.size))

    def full(self, seen: Interval, whole: Interval, lo: Expr, hi: Expr, after: Expr | None) -> Segment:
        """First tile and end of the tiles that need no mask, within the visited ones."""
        starts_alike = self._is_at_most_zero(whole.lo) and lo == Lit(0)
        full_lo: Expr = lo
        if not starts_alike:
            full_lo = tl.cdiv(self._from_zero(whole.lo), self.step)
            if after is not None or not self._is_ordered(seen.lo, whole.lo):
                full_lo = tl.maximum(full_lo, lo)
            full_lo = self.block.let(f"full_lo{self.suffix}", tl.minimum(full_lo, hi))
        full_hi = self._to_size(whole.hi) // self.step
        if after is not None or not self._is_ordered(whole.hi, seen.hi):
            full_hi = tl.minimum(full_hi, hi)
        if not starts_alike:
            full_hi = tl.maximum(full_hi, full_lo)
        elif not self.terms.proofs.is_nonnegative(whole.hi):
            full_hi = tl.maximum(full_hi, 0)
        return full_lo, self.block.let(f"full_hi{self.suffix}", full_hi)

    def _is_at_most_zero(self, term: Int) -> bool:
        return isinstance(term, IntConst) and term.value <= 0

    def _is_ordered(self, a: Int, b: Int) -> bool:
        return a == b or self.terms.proofs.is_nonnegative(build.integer("-", b, a))

    def _from_zero(self, term: Int) -> Expr:
        if self._is_at_most_zero(term):
            return Lit(0)
        return self.terms(term) if self.terms.proofs.is_nonnegative(term) else tl.maximum(self.terms(term), 0)

    def _to_size(self, term: Int) -> Expr:
        if self._is_ordered(term, self.size):
            return self.terms(term)
        return tl.minimum(self.terms(term), self.terms(self.size))
