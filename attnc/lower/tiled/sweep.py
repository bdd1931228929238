"""A sweep of the tiled schedule: pairs of a query and a key, tile by tile.

A value: `make_sweep` fills it, every lowering reads it, and none changes it. It has the terms of a pair, which tiles
are visited, and what the gradients are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

from attnc.algebra.fold import Largest, Softmax
from attnc.analyze.facts import Ranges, Requirement, TileTest
from attnc.ir.infinite import may_be_minus_infinity, vanishes
from attnc.ir.nodes import Attention, Int, IntParam, Node, Param, Real, RealLoad, Size, Truth
from attnc.ir.signs import is_within_1
from attnc.kernel.arguments import Argument, flag, number, padded, size, stride, tensor, tile
from attnc.lower.gradients import ArrayGradient, Home
from attnc.lower.int_ranges import IntRanges
from attnc.lower.names import part_of
from attnc.lower.plain import Plain
from attnc.lower.signature import Signature, sign_sweep
from attnc.lower.split.choice import Split
from attnc.lower.sweep import RowArray, Sweep
from attnc.lower.tiled.layout import block_width, parts_of
from attnc.lower.token_maps import DotPair, TokenMap

HKV = Size("HKV")


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
    """The derivative of the score by each dot product, and the gradients of captured arrays.

    `slopes` are the derivatives of the weight of a key, and of what is summed, by the score.
    """

    dots: tuple[Real, ...]
    slopes: tuple[Real, ...]
    arrays: tuple[ArrayGradient, ...]

    def home(self, home: Home) -> tuple[ArrayGradient, ...]:
        return tuple(each for each in self.arrays if each.home == home)


@dataclass(frozen=True, slots=True)
class Cover:
    """The tiles that a sweep visits.

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
    """The variants of a sweep: other ways to compute the same.

    `split` says how few queries are forwarded, where they have kernels of their own; `pipelines_values`, whether
    weights wait for the next tile; and `plain`, which kernel of torch's own computes the same on the CPU.
    """

    split: Split | None
    pipelines_values: bool
    plain: Plain | None


@dataclass(frozen=True)
class TiledSweep(Sweep):
    """One pass over the keys of every row, pair by pair.

    `attention` is the one that was written with the work on single `tokens` taken out; `ints` says how many bits
    integers have.
    """

    attention: Attention
    tokens: TokenWork
    score: PairScore
    gradients: Gradients
    cover: Cover
    ints: IntRanges
    variants: Variants

    @property
    def params(self) -> tuple[Param, ...]:
        return self.attention.params

    def setting_apart(self, names: tuple[str, ...]) -> Self:
        return replace(
            self, spec=self.spec.setting_apart(names), attention=self.attention.setting_apart(names)
        )

    @property
    def row_arrays(self) -> tuple[RowArray, ...]:
        """What earlier sweeps have left."""
        return tuple(param for param in self.attention.params if isinstance(param, RowArray))

    @property
    def places(self) -> Mapping[Node, Node]:
        return self.tokens.places

    @property
    def requires(self) -> tuple[Requirement, ...]:
        return self.cover.requires

    @property
    def counted(self) -> Int | None:
        return self.ints.most

    @property
    def lost(self) -> Mapping[RealLoad, Real]:
        return {each.load: each.derivative for each in self.gradients.home("lse")}

    @property
    def is_in_base_2(self) -> bool:
        return self.score.is_in_base_2

    @property
    def key_heads(self) -> str | None:
        """The argument that says how many heads the keys of a call have, where kernels see other ones."""
        param = self.tokens.places.get(HKV)
        return self.attention.variable(param.name) if isinstance(param, IntParam) else None

    @cached_property
    def score_may_hide(self) -> bool:
        """May a score be -inf, where its weight is not 0 by itself? Then the pair is not seen."""
        if isinstance(self.fold, Softmax) or all(map(vanishes, self.fold.terms)):
            return False
        return may_be_minus_infinity(self.score.term) is not None

    @cached_property
    def looks_twice(self) -> bool:
        """Does the mask hide a pair, of any that kernels multiply?"""
        return self.attention.mask != Truth(True) and not isinstance(self.fold, Largest)

    @property
    def weighs_twice(self) -> bool:
        """Does the backward pass find the weights again from numbers of the row, which may lack the digits for it?"""
        return isinstance(self.fold, Softmax)

    @cached_property
    def weights_have_any_size(self) -> bool:
        """May weights leave the range of half precision, before a row is multiplied with its number or without one?"""
        weight = self.fold.weight
        return weight is not None and (self.dout_has_any_size or not is_within_1(weight))

    @property
    def dout_has_any_size(self) -> bool:
        """So may the gradient of what is summed, which comes through the number of its row."""
        return self.fold.weight is not None and self.gate is not None

    @cached_property
    def signature(self) -> Signature:
        """What its functions and its operator take and leave."""
        return sign_sweep(self)

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """Everything that a kernel of this sweep may take, in the order of every signature."""
        params, variable = self.attention.params, self.attention.variable
        arrays, scalars = [p for p in params if p.sizes], [p for p in params if not p.sizes]
        vectors = [name for pair in self.score.dots for name in (pair.query, pair.key)]
        names = list(dict.fromkeys([*vectors, "v", "dout"]))
        sums = [f"sum_{n}" for n in range(1, len(self.fold.sums) + 1)]
        widths = list(dict.fromkeys([*(pair.width for pair in self.score.dots), "D", "DV"]))
        tensors = [
            *names,
            *map(part_of, ("acc", *(each.name for each in self.fold.kept))),
            *("out", "lse", "row_max", "row_weight", "at", "dlse", "delta", "dout_size"),
            *(f"{d}{name}" for d in ("", "d") for name in sums),
            *(f"d{name}" for name in names),
            *(variable(p.name) for p in arrays),
            *(g.name for g in self.gradients.arrays),
        ]
        return (
            *map(tensor, tensors),
            *(stride(name, label, axis, 4) for name in names for axis, label in enumerate("bht")),
            *(
                stride(variable(p.name), dim, dim, len(p.sizes))
                for p in arrays
                for dim in range(len(p.sizes))
            ),
            *(tensor(f"{kind}_{what}") for kind in ("edge", "full") for what in ("start", "tiles")),
            number("scale", varies=False),
            *(number(variable(p.name)) for p in scalars if not p.const),
            *(size(name, varies=True) for name in ("first_row", "strip", "splits", "shares", "B")),
            *(size(name, varies=name in ("N", "M")) for name in ("H", "HKV", "group", "N", "M")),
            *(number(variable(p.name), is_constant=True) for p in scalars if p.const),
            *map(tile, (*widths, "BLOCK_Q", "BLOCK_K", "SHARES", *map(parts_of, widths))),
            *(padded(block_width(width), width) for width in widths),
            *map(flag, ("AGAIN", "LARGE")),
        )
