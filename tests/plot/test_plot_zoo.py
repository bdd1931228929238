"""Tiles of masks that people use, against the interpreter: what is skipped is empty and what is full is whole."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from mask_zoo import ALL, attention_of, usual

from attnc.analyze.ranges import find_ranges
from attnc.plot.panels import HIDDEN, classify
from attnc.run.mask import find_mask
from attnc.run.tiles import count_rows, find_density, find_tile_rows


@pytest.mark.parametrize("name", ALL)
def test_tiles_and_mask_agree(name: str) -> None:
    """`classify` refuses a tile that contradicts the mask; counts and density are those of its classes."""
    attention = attention_of(ALL[name])
    keys, random = find_ranges(attention, "j"), Random(name)
    for _ in range(4):
        call = usual(random).values
        tensors = {
            each: torch.tensor(value) if isinstance(value, list) else value for each, value in call.items()
        }
        tile = random.choice([(1, 1), (4, 4), (3, 8), (16, 5)])
        for h, b in ((0, 0), (2, 1)):
            at: dict[str, Any] = {**call, "h": h, "b": b}
            rows = tuple(find_tile_rows(keys, at, *tile))
            mask = find_mask(attention, tensors, h, b).numpy()
            classes = classify(mask, rows, tile)
            total = -(-mask.shape[0] // tile[0]) * -(-mask.shape[1] // tile[1])
            counts = count_rows(rows, total)
            blocks = [
                classes[y : y + tile[0], x : x + tile[1]]
                for y in range(0, mask.shape[0], tile[0])
                for x in range(0, mask.shape[1], tile[1])
            ]
            assert counts.total == len(blocks)
            assert counts.visited == sum(bool((block >= HIDDEN).any()) for block in blocks)
            least, most = find_density(keys, at)
            assert least <= mask.mean() <= most
