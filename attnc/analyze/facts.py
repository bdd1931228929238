"""What the compiler found out, as frozen values that carry their reasons.

Enters: nothing. Leaves: `Facts`. An analysis returns a fact and never edits a term; `explain`, the header of an emitted
module and the docs print the reasons as they stand here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from attnc.algebra.fold import Fold
from attnc.algebra.separated import Term
from attnc.ir.nodes import Bool, Int, Node, Period, Real, Truth
from attnc.ir.walk import walk
from attnc.source import Span

EVERYWHERE = Truth(True)


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of an argument, in words, and the text it speaks of."""

    text: str
    span: Span | None = None

    def __str__(self) -> str:
        return f"{self.text} ({self.span.place})" if self.span else self.text


@dataclass(frozen=True, slots=True)
class Interval:
    """Positions `[lo, hi)`. The ends are terms in sizes, parameters, `b`, `h` and the `TileEnd`s of the other axis.

    They may lie outside `[0, size)` and `hi` may be below `lo` (then the interval is empty): whoever loops clamps. An
    end may read an array out of its range where nothing is visible; what is found there does not matter.
    """

    lo: Int
    hi: Int


# What is visited, and what of it is full.
Shown = tuple[Interval, Interval | None]


@dataclass(frozen=True, slots=True)
class Periods:
    """Positions of the target in periods of `length`; `start` is the first position of the one of a number.

    A tile looks at the periods `[lo, hi)`. Intervals that speak of a `Period` are those of one. They lie inside of it,
    or of those of all rows of the tile, where a period starts elsewhere for each. Where their ends speak of the last
    period, several may be taken at once: what is visited goes on to that one's, what is full is the first one's.
    """

    length: Int
    start: Int
    lo: Int
    hi: Int


@dataclass(frozen=True, slots=True)
class Requirement:
    """`term >= 1`, in parameters and sizes alone: what was found holds only there, and the call checks it once."""

    term: Int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Ranges:
    """The ranges of a tile: for one tile of queries the keys (`target` "j"), for one tile of keys the queries ("i").

    `visited` is a superset of every visible position; intervals that hold a position are in order of `max(lo, 0)`, so a
    sweep that goes on from where the ones before it ended loses nothing. It is empty where the mask is never true.
    `full[n]` is the part of `visited[n]` which is visible to the whole tile, or None where none was proved. `exact`
    says that `visited`, before rounding to tiles, has no position that nothing in the tile sees, as long as every
    interval has a position for every row of the tile (a window below 1 has none). Where `closed` is false nothing was
    found: `visited` is everything, and `because` says which clause stood in the way. All of it holds where every one
    of `requires` does.
    `loose` has what was not followed, so that tiles may be visited, or masked, without need.
    Where there are `periods`, `visited` and `full` are those of one period. They end where `suffix` starts: what is
    visited up to the last position, after all of them, and what of that is full.
    """

    target: Literal["i", "j"]
    visited: tuple[Interval, ...]
    full: tuple[Interval | None, ...]
    exact: bool
    closed: bool
    because: tuple[Reason, ...]
    loose: tuple[Reason, ...] = ()
    requires: tuple[Requirement, ...] = ()
    periods: Periods | None = None
    suffix: Shown | None = None

    @property
    def shown(self) -> tuple[Shown, ...]:
        return tuple(zip(self.visited, self.full, strict=True))

    @property
    def all_shown(self) -> tuple[Shown, ...]:
        """The intervals, and those of the suffix."""
        return (*self.shown, *([self.suffix] if self.suffix else []))

    @property
    def ends(self) -> tuple[Int, ...]:
        """Every term that says where something begins or ends."""
        intervals = [each for each in (*self.visited, *self.full, *(self.suffix or ())) if each is not None]
        of_periods = (self.periods.lo, self.periods.hi) if self.periods else ()
        return (*of_periods, *(end for each in intervals for end in (each.lo, each.hi)))

    @property
    def takes_several_periods(self) -> bool:
        return any(part == Period("last") for part in self.parts)

    @property
    def parts(self) -> Iterator[Node]:
        """Everything that the ends speak of."""
        return (part for end in self.ends for part in walk(end))


@dataclass(frozen=True, slots=True)
class TileTest:
    """Conditions over the `TileEnd`s of both axes, for a tile of pairs.

    `some` holds wherever a pair of it is visible, `every` only where every pair is. A tile with `some` and not `every`
    has to be looked at.
    """

    some: Bool
    every: Bool


@dataclass(frozen=True, slots=True)
class Rows:
    """Whether a row can be empty, with no key that its query sees.

    The proof holds where the `requires` of the ranges do.
    """

    can_be_empty: bool
    because: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a normalization: the `fold` of its last pass over the keys, or None, where no kernel knows it.

    `before` are the passes over the keys that come first. `gate` is what the result of each row is multiplied with
    afterwards, in numbers of the row and its `LogSumExp` or `RowSum`s.
    """

    fold: Fold | None
    gate: Real | None
    because: tuple[Reason, ...]
    before: tuple[RowPass, ...] = ()

    @property
    def has_lse(self) -> bool:
        """Is there a log-sum-exp of the scores themselves?"""
        return self.fold is not None and self.fold.has_lse


@dataclass(frozen=True, slots=True)
class RowPass:
    """A pass over the keys that weighs no values: it leaves `numbers` of each row.

    A number is a term in the `RowMax` and the `RowLog` of a softmax, in the `RowSum`s of sums, or, where the pass finds
    the key with the largest number, in the `Score` of that key. Later passes read it as an array [B, H, N] of its name:
    `arrays` says what that takes the place of.
    """

    fold: Fold
    numbers: tuple[tuple[str, Real], ...]
    arrays: tuple[tuple[Node, Node], ...]
    because: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Implied:
    """The mask without clauses that others imply, and terms of the score that are simpler at every visible pair."""

    mask: Bool
    terms: Mapping[Node, Node]
    because: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class TokenMask:
    """A mask for which a running state of the keys before a query is enough.

    A pair is seen where all of this holds: `j <= i + causal`, unless `causal` is None; the `document` of the query,
    which knows `b` and `i` and does not fall with `i`, is that of the key, the same term with `j`; `sees_query`, which
    does not know `j`, and `sees_key`, which does not know `i`.
    """

    causal: Int | None = None
    document: Int | None = None
    sees_query: Bool = EVERYWHERE
    sees_key: Bool = EVERYWHERE

    @property
    def is_of_all(self) -> bool:
        """Does every query see the same keys?"""
        return self.causal is None and self.document is None and self.sees_query == EVERYWHERE


@dataclass(frozen=True, slots=True)
class Linear:
    """A row is a sum over keys of terms that know the query or the key: time grows with the tokens, not the pairs.

    `weight` is the weight of a value, `sums` what the fold of `Weights` sums beside, in its order. A softmax has the
    exponential of its score as its weight and as its one sum, which divides. `before` has the sums of each earlier
    pass. All of it holds where `positive` are above 0, and at pairs whose score is not -inf: `infinite` is what may
    make it so, where something may; its row is then no number.

    `features` are the rows of the state of the weight: how many numbers of a token meet each number of a value.
    """

    weight: tuple[Term, ...]
    sums: tuple[tuple[Term, ...], ...]
    before: tuple[tuple[tuple[Term, ...], ...], ...]
    mask: TokenMask
    features: Int
    because: tuple[Reason, ...]
    positive: tuple[Real, ...] = ()
    infinite: Real | None = None


@dataclass(frozen=True, slots=True)
class NotLinear:
    """Why attention is not linear: the first term in the way."""

    because: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Bias:
    """What a score adds to its dot products of a query and a key, taken apart.

    What splits is the sum of `terms` and of `lost`: what a query adds whatever the key is, where the softmax over the
    keys loses it. `rank` is of how many features the terms are a dot product, `rank_of_all` the same with what is lost.
    `multiplied_out` says that a summand became several terms, which may cancel each other. `others` says of each that
    does not split what is in the way. It holds where `positive` are above 0, at pairs whose score is a finite number.
    """

    terms: tuple[Term, ...]
    lost: tuple[Term, ...]
    rank: Int
    rank_of_all: Int
    multiplied_out: bool
    others: tuple[Reason, ...]
    positive: tuple[Real, ...]
    span: Span | None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was found out about one attention. An analysis that is added adds a field."""

    keys: Ranges
    queries: Ranges
    tiles: TileTest
    implied: Implied
    rows: Rows
    weights: Weights
    linear: Linear | NotLinear
