"""The bounds of an interval of positions, in tiles.

Enters: the visited and the full interval of an axis. Leaves: lines that compute the first tile and the end of each,
clipped to the sequence: rounded outward for what is visited and inward for what is full. What is proved of the ends
saves lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnc.analyze.facts import Interval
from attnc.ir import build
from attnc.ir.nodes import Int, IntConst, Size
from attnc.kernel.build import Block
from attnc.kernel.expressions import Expr, Lit, Var, names_in
from attnc.lower.triton_terms import TritonTerms, tl

Segment = tuple[Expr, Expr]

# An end of full tiles that speaks of more names gets one of its own.
MOST_NAMES = 8


def greater(a: Expr, b: Expr) -> Expr:
    """Of two numbers of tiles."""
    return a if b == Lit(0) else b if a == Lit(0) else tl.maximum(a, b)


def lesser(a: Expr, b: Expr) -> Expr:
    """Of two numbers of tiles."""
    return Lit(0) if Lit(0) in (a, b) else tl.minimum(a, b)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A writer of bounds, of tiles of `step` of `size` positions."""

    block: Block
    terms: TritonTerms
    size: Size
    step: Expr
    suffix: str = ""

    def let(self, name: str, value: Expr) -> Expr:
        return value if isinstance(value, (Lit, Var)) else self.block.let(f"{name}{self.suffix}", value)

    def clipped(self, seen: Interval) -> tuple[Expr, Expr, bool]:
        """First and end of what is visited within the sequence; is that a position, in every call?"""
        first, end = self._from_zero(seen.lo), self._to_size(seen.hi)
        lo = build.integer("max", seen.lo, IntConst(0))
        if self.terms.proofs.is_below(lo, build.integer("min", seen.hi, self.size)):
            return first, end, True
        what = "key" if self.size == Size("M") else "query"
        first = first if first == Lit(0) else self.block.let(f"{what}_lo{self.suffix}", first)
        return first, self.block.let(f"{what}_hi{self.suffix}", end), False

    def tile(self, first: Expr) -> Expr:
        return first if first == Lit(0) else first // self.step

    def full(
        self, seen: Interval, whole: Interval, start: Expr, lo: Expr, hi: Expr, has_some: bool
    ) -> Segment:
        """First tile and end of the tiles that need no mask, from `start` to `hi`; what is visited begins at `lo`.

        `has_some`: where nothing is visited, `hi` is not below `lo`.
        """
        starts_alike = self._is_at_most_zero(whole.lo) and lo == Lit(0)
        full_lo = start
        if not starts_alike:
            full_lo = tl.cdiv(self._named("whole_lo", self._from_zero(whole.lo)), self.step)
            if not self._is_ordered(seen.lo, whole.lo):
                full_lo = greater(full_lo, lo)
            if start != lo:
                full_lo = greater(full_lo, start)
            full_lo = self.block.let(f"full_lo{self.suffix}", tl.minimum(full_lo, hi))
        full_hi = self._named("whole_hi", self._to_size(whole.hi)) // self.step
        if not (has_some or starts_alike) or not self._is_ordered(whole.hi, seen.hi):
            full_hi = tl.minimum(full_hi, hi)
        if full_lo != Lit(0):
            full_hi = tl.maximum(full_hi, full_lo)
        elif not self.terms.proofs.is_nonnegative(whole.hi):
            full_hi = tl.maximum(full_hi, 0)
        return full_lo, self.block.let(f"full_hi{self.suffix}", full_hi)

    def _named(self, name: str, value: Expr) -> Expr:
        """A name for what is long to read."""
        return self.let(name, value) if len(names_in(value)) > MOST_NAMES else value

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
