"""How large the tiles of each kernel are, by the kind of GPU and the widest head they serve.

Enters: the last sweep. Leaves: a table. A number that is kept for each pair or token takes registers, and leaves
smaller tiles. They serve every version of Triton and every card of a kind, so they are no larger than the smallest of
what is chosen for each (`docs/tiles`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attnc.algebra.fold import Sums
from attnc.ir.nodes import LOADS, Compare
from attnc.ir.walk import axes_of, walk
from attnc.lower.per_pair import TOKENS, count_divisions, divides_much, reads_pair
from attnc.lower.tiled.sweep import TiledSweep
from attnc.tiles import Tile

Widths = Mapping[int, Tile]
Kernels = Mapping[str, Widths]


@dataclass(frozen=True, slots=True)
class Kept:
    """What a kernel keeps in registers beside its sums.

    A number `of_pairs` is read for each pair and kept until the pair is done. Bounds of tokens are kept where the mask
    asks which of two comes first; to be equal costs less, and so does a bound that fits 32 bits. A position that is
    divided by what only a call knows takes many instructions, and each thread has it for all keys of a tile. Bounds
    that hold for every period are kept while all of them are swept, and a table of each token has its row computed for
    each pair. Scores `of_keys_alone` have no dot product: numbers of keys and their gradients are kept in its place.
    """

    of_pairs: bool
    of_masks: bool
    of_bounds: bool
    of_rows: bool
    many_divisions: bool
    quotients_of_pairs: bool
    ends_or_tables: bool
    is_sums: bool
    of_keys_alone: bool

    @property
    def much(self) -> bool:
        return self.of_pairs or self.many_divisions or self.is_sums

    @property
    def some(self) -> bool:
        return self.much or self.of_bounds

    @property
    def quotients(self) -> bool:
        return self.many_divisions or self.quotients_of_pairs

    @property
    def few_keys(self) -> bool:
        """Does it leave room for few keys in a tile?"""
        return self.of_masks or self.quotients


def find_tile_sizes(sweep: TiledSweep) -> Mapping[str, Kernels]:
    """Tiles by kind of GPU, kernel and head width."""
    kept = find_kept(sweep)
    return {"wgmma": _hopper(kept), "mma": _others(kept), "float32": _float32()}


def find_kept(sweep: TiledSweep) -> Kept:
    attention = sweep.attention
    bounds = [part for part in walk(attention.mask) if isinstance(part, Compare) and part.op in ("<", "<=")]
    reads = (part for bound in bounds for part in walk(bound) if isinstance(part, LOADS))
    of_pairs = reads_pairs(sweep)
    reads_tables = any(token_map.table is not None for token_map in sweep.tokens.maps)
    return Kept(
        of_pairs=of_pairs,
        of_masks=any(map(reads_pair, walk(attention.mask))),
        of_bounds=any(axes_of(part) & TOKENS and part.array not in sweep.ints.bounds for part in reads),
        of_rows=bool(sweep.row_arrays),
        many_divisions=divides_much(attention),
        quotients_of_pairs=of_pairs and count_divisions(attention) > 0,
        ends_or_tables=reads_tables or sweep.cover.keys.periods is not None,
        is_sums=isinstance(sweep.fold, Sums),
        of_keys_alone=not sweep.score.dots,
    )


def reads_pairs(sweep: TiledSweep) -> bool:
    """Is a number read for each pair, and kept until the pair is done?"""
    return any(map(reads_pair, (*walk(sweep.attention.score), *walk(sweep.attention.mask))))


def _hopper(kept: Kept) -> Kernels:
    """Data center Hopper and Blackwell: 227 KiB of shared memory, and products of four warps."""
    stages = 2 if kept.of_pairs else 3
    keys_64 = 16 if kept.many_divisions else 32 if kept.much or kept.of_rows or kept.of_keys_alone else 64
    queries_128 = 16 if kept.quotients_of_pairs else 32 if kept.some or kept.of_rows else 64
    wide = 32 if kept.few_keys or kept.ends_or_tables else 64
    return {
        "forward": {
            64: Tile(128, 32 if kept.few_keys else 64, 8, stages),
            128: Tile(128, wide, 8, stages),
            192: Tile(128, wide, 8, 2),
            256: Tile(128, 32, 8, 2),
        },
        "backward_keys": {
            64: Tile(keys_64, 128, 8, 3),
            128: Tile(16 if kept.some else 32, 128, 8, 3),
            256: Tile(16 if kept.much else 32, 64, 8, 2),
        },
        "backward_queries": {
            64: Tile(128, 32 if kept.of_pairs or kept.many_divisions else 64, 8, 2),
            128: Tile(128, queries_128, 8, 2),
            256: Tile(128, 16 if kept.much else 32, 8, 2),
        },
    }


def _others(kept: Kept) -> Kernels:
    """GPUs with products of single warps; some have no more than 64 KiB of shared memory."""
    small = Tile(32 if kept.quotients else 64, 32, 4, 2)
    return {
        "forward": {
            64: small if kept.few_keys else Tile(128, 64, 8, 2),
            128: small if kept.few_keys else Tile(128, 32, 8, 2),
            256: Tile(64, 32, 4, 1),
        },
        "backward_keys": {
            64: Tile(32, 32 if kept.much else 64, 4, 2),
            128: Tile(16 if kept.much else 32, 32, 4, 2),
            256: Tile(16, 32, 4, 1),
        },
        "backward_queries": {64: small, 128: small, 256: Tile(32, 32, 4, 1)},
    }


def _float32() -> Kernels:
    """Exact products of float32, without matrix units."""
    backward = {128: Tile(32, 32, 8, 1), 256: Tile(16, 16, 4, 1)}
    return {
        "forward": {128: Tile(32, 32, 8, 1), 256: Tile(16, 32, 8, 1)},
        "backward_keys": backward,
        "backward_queries": backward,
    }
