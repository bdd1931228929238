"""What an attention costs beside one without a mask, at given sizes and arguments.

Enters: an attention, its key ranges, and the sizes and arguments that a person gives. Leaves: a `Cost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnc.analyze.facts import Ranges
from attnc.ir.nodes import Attention, Index
from attnc.ir.walk import Axis
from attnc.run.settings import check_place, complete
from attnc.run.tiles import Tiles, count_tiles, find_density

# Long enough to tell a window from the whole; a tile as kernels have it.
TOKENS, TILE = 8192, 128


@dataclass(frozen=True)
class Setting:
    """What a person gives: numbers by name, the size of a tile (queries, keys), and which head of which batch entry."""

    numbers: Mapping[str, Any]
    tile: tuple[int, int] = (TILE, TILE)
    head: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Cost:
    """`density` is the least and the greatest share of pairs that can be visible: equal where it is known."""

    values: dict[str, Any]
    tile: tuple[int, int]
    tiles: Tiles
    density: tuple[float, float]

    @property
    def work(self) -> float:
        """Visited tiles as a share of all, which dense attention visits."""
        return self.tiles.visited / self.tiles.total


def complete_setting(attention: Attention, keys: Ranges, setting: Setting) -> dict[str, Any]:
    """All values of a setting; a head or a batch entry is among them where the ranges depend on it."""
    values = complete(attention, setting.numbers, TOKENS)
    check_place(values, setting.head, setting.batch)
    places: dict[Axis, int] = {"h": setting.head, "b": setting.batch}
    parts = list(keys.parts)
    return values | {name: at for name, at in places.items() if any(p == Index(name) for p in parts)}


def find_cost(keys: Ranges, values: dict[str, Any], tile: tuple[int, int]) -> Cost:
    """The cost at these values. Raises an `AttncError` where the ranges speak of something that has none."""
    return Cost(values, tile, count_tiles(keys, values, *tile), find_density(keys, values))
