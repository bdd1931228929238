"""Which tiles a call visits where the mask has no closed form: those that hold a visible pair, found by looking.

Enters: an attention, its key ranges, tile sizes, and a value for everything that the mask speaks of. Leaves: for each
tile of queries the tiles of keys that are visited and those that are full. The kernels find the same tiles by a test
and look at fewer pairs; here every pair that the ranges leave is looked at, a tile of queries at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from attnc.analyze.facts import Ranges
from attnc.ir.nodes import Attention
from attnc.run.mask import exact_values, find_mask
from attnc.run.tiles import TileRow, find_tile_rows, join


def find_visited(
    attention: Attention, keys: Ranges, values: Mapping[str, Any], block_q: int, block_k: int
) -> Iterator[TileRow]:
    """The tiles that kernels visit: those of the ranges, or of the lists where the ranges are loose."""
    if keys.loose:
        return look_for_tile_rows(attention, keys, values, block_q, block_k)
    return find_tile_rows(keys, values, block_q, block_k)


def look_for_tile_rows(
    attention: Attention, keys: Ranges, values: Mapping[str, Any], block_q: int, block_k: int
) -> Iterator[TileRow]:
    """The tiles of `block_k` keys for each tile of `block_q` queries, from the first to the last."""
    values = exact_values(values)
    head, batch = int(values["h"]), int(values["b"])
    queries, size = int(values["N"]), int(values["M"])
    for number, row in enumerate(find_tile_rows(keys, values, block_q, block_k)):
        first = number * block_q
        rows = torch.arange(first, min(first + block_q, queries))
        some, every = list[tuple[int, int]](), list[tuple[int, int]]()
        for tile in (tile for lo, hi in row.visited for tile in range(lo, hi)):
            columns = torch.arange(tile * block_k, min((tile + 1) * block_k, size))
            seen = find_mask(attention, values, head, batch, {"i": rows, "j": columns})
            if seen.any():
                some.append((tile, tile + 1))
                if seen.all():
                    every.append((tile, tile + 1))
        yield TileRow(join(some), join(every))
