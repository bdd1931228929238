"""A sweep: one pass over the keys of every row, as its kernels and its CPU path are written.

A value: `make_sweep` fills it, every lowering reads it, and none changes it. It has the terms of a pair, what is kept
of a row, which tiles are visited, and what the gradients are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from attnc.algebra.derivative import ONE
from attnc.algebra.fold import Fold, Largest, Softmax
from attnc.analyze.facts import Ranges, Reason, Requirement, Rows, TileTest
from attnc.ir.infinite import may_be_minus_infinity, vanishes
from attnc.ir.nodes import (
    Attention,
    IntParam,
    LogSumExp,
    Node,
    Param,
    Real,
    RealLoad,
    RowSum,
    Score,
    Size,
    Truth,
)
from attnc.ir.signs import is_within_1
from attnc.ir.walk import walk
from attnc.lower.gradients import ArrayGradient, Home
from attnc.lower.hoist import DotPair, TokenMap
from attnc.lower.int_ranges import IntRanges
from attnc.lower.names import variable
from attnc.lower.plain import Plain
from attnc.lower.split.choice import Split

HKV = Size("HKV")


@dataclass(frozen=True, slots=True)
class RowArray(Param):
    """A number of each row, [B, H, N], that an earlier sweep has left. No user declared it."""


@dataclass(frozen=True, slots=True)
class TokenWork:
    """What is computed once for each token, and what is read in its place.

    `places` says what is computed in the place of a term: where the places in sorted arrays are read, which the ranges
    speak of, where a condition on vectors is, and what `HKV` is, where kernels see the keys of every query head.
    `stands_for` is what is written where the attention reads an array that nobody wrote.
    """

    maps: tuple[TokenMap, ...]
    per_query_head: bool
    places: Mapping[Node, Node]
    stands_for: Mapping[Node, Node]


@dataclass(frozen=True, slots=True)
class PairScore:
    """The score of a pair and its dot products; in base 2, its weights `exp2` of it, where that `is_in_base_2`."""

    term: Real
    is_in_base_2: bool
    dots: tuple[DotPair, ...]


@dataclass(frozen=True, slots=True)
class Gradients:
    """The derivative of the score by each dot product, and the gradients of captured arrays."""

    dots: tuple[Real, ...]
    arrays: tuple[ArrayGradient, ...]

    def home(self, home: Home) -> tuple[ArrayGradient, ...]:
        return tuple(each for each in self.arrays if each.home == home)


@dataclass(frozen=True, slots=True)
class Cover:
    """Which tiles are visited.

    Tiles of the positions in `listed` come from lists that the tile `test` makes, the others from ranges. Of the
    positions in `more_later`, later tiles visit more.
    """

    keys: Ranges
    queries: Ranges
    test: TileTest
    listed: frozenset[Literal["i", "j"]]
    more_later: frozenset[Literal["i", "j"]]

    @property
    def requires(self) -> tuple[Requirement, ...]:
        """What a call must meet, and checks."""
        return tuple(dict.fromkeys(self.keys.requires + self.queries.requires))


@dataclass(frozen=True, slots=True)
class Variants:
    """Other ways to compute the same.

    `split` says how few queries are forwarded, where they have kernels of their own; `pipelines_values`, whether
    weights wait for the next tile; and `plain`, which kernel of torch's own computes the same on the CPU.
    """

    split: Split | None
    pipelines_values: bool
    plain: Plain | None


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over the keys of every row.

    The last one weighs values. Those before it have a `number`, counted from 1, and leave `numbers` of their rows,
    which are the `row_arrays` of those after them. `spec` is the attention as written, `attention` the same with the
    work on single `tokens` taken out. `fold` is what is kept of a row, and `gate` what the result of a row is
    multiplied with in the end; `ints`, how many bits integers have.
    """

    spec: Attention
    attention: Attention
    tokens: TokenWork
    score: PairScore
    fold: Fold
    gate: Real | None
    rows: Rows
    gradients: Gradients
    cover: Cover
    ints: IntRanges
    variants: Variants
    number: int
    numbers: tuple[tuple[str, Real], ...]
    because: tuple[Reason, ...]

    @property
    def row_arrays(self) -> tuple[RowArray, ...]:
        """What earlier sweeps have left."""
        return tuple(param for param in self.attention.params if isinstance(param, RowArray))

    def named(self, name: str) -> str:
        """The name of a function of this sweep."""
        return f"{name}_{self.number}" if self.number else name

    @property
    def key_heads(self) -> str | None:
        """The argument that says how many heads the keys of a call have, where kernels see other ones."""
        param = self.tokens.places.get(HKV)
        return variable(param.name) if isinstance(param, IntParam) else None

    @property
    def score_may_hide(self) -> bool:
        """May a score be -inf, where its weight is not 0 by itself? Then the pair is not seen."""
        if isinstance(self.fold, Softmax) or all(map(vanishes, self.fold.terms)):
            return False
        return may_be_minus_infinity(self.score.term) is not None

    @property
    def looks_twice(self) -> bool:
        """Does the mask hide a pair, of any that kernels multiply?"""
        return self.attention.mask != Truth(True) and not isinstance(self.fold, Largest)

    @property
    def weighs_values(self) -> bool:
        return not self.number

    @property
    def has_gradient(self) -> bool:
        """Do its results change with any float tensor? Counts do not, and nor does the place of a key."""
        if isinstance(self.fold, Largest):
            return False
        return self.weighs_values or len(self.constant_numbers) < len(self.numbers)

    @property
    def constant_numbers(self) -> frozenset[str]:
        """Those that change with no float tensor; the number of the largest key does, by that key."""
        if isinstance(self.fold, Largest):
            return frozenset()
        return frozenset(name for name, term in self.numbers if self._is_constant(term))

    def _is_constant(self, number: Real) -> bool:
        """As a count is."""
        for part in walk(number):
            match part:
                case LogSumExp() | RealLoad():
                    return False
                case RowSum(n):
                    each = self.fold.sums[n - 1]
                    if any(isinstance(leaf, Score | RealLoad) for leaf in walk(each)):
                        return False
        return True

    @property
    def weights_have_any_size(self) -> bool:
        """May weights leave the range of half precision, before a row is multiplied with its number or without one?"""
        weight = self.fold.weight
        return weight is not None and (self.dout_has_any_size or not is_within_1(weight))

    @property
    def dout_has_any_size(self) -> bool:
        """So may the gradient of what is summed, which comes through the number of its row."""
        return self.fold.weight is not None and self.gate is not None

    @property
    def results(self) -> tuple[str, ...]:
        """What a forward pass leaves."""
        return ("out", *self.row_results) if self.weighs_values else self.row_results

    @property
    def row_results(self) -> tuple[str, ...]:
        """What the kernels leave for each row beside the result."""
        return tuple(name for name, _ in self.fold.left)

    @property
    def saved(self) -> tuple[str, ...]:
        """What of the results the backward pass reads."""
        return self.results if self.fold.saves_results else ()

    @property
    def count(self) -> str | None:
        """The row's number of visible keys, where it is a sum."""
        return f"sum_{self.fold.sums.index(ONE) + 1}" if ONE in self.fold.sums else None


def said_results(sweep: Sweep) -> str:
    """What a forward function returns, in words."""
    rows = sweep.row_results
    named = f"{', '.join(rows[:-1])}{' and ' if rows[1:] else ''}{rows[-1]} [B, H, N]" if rows else ""
    if not sweep.weighs_values:
        return named
    return f"out [B, H, N, DV]{' and ' if len(rows) == 1 else ', ' if rows else ''}{named}"
