"""What an attention costs beside one without a mask, at given sizes and arguments.

Enters: an attention, its facts, and the sizes and arguments that a person gives. Leaves: a `Cost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnc.analyze.facts import Facts, Ranges
from attnc.ir.nodes import Attention, Index
from attnc.ir.walk import Axis
from attnc.run.settings import check_place, complete

if TYPE_CHECKING:
    from attnc.run.tiles import Tiles

# Long enough to tell a window from the whole; a tile as kernels have it.
TOKENS, TILE = 8192, 128

PLACES = {"head": "h", "batch entry": "b"}


@dataclass(frozen=True)
class Setting:
    """The setting of an estimate: numbers by name, the size of a tile (queries, keys), a head, and a batch entry."""

    numbers: Mapping[str, Any]
    tile: tuple[int, int] = (TILE, TILE)
    head: int = 0
    batch: int = 0


@dataclass(frozen=True)
class Cost:
    """The cost of an attention.

    `density` is the least and the greatest share of pairs that can be visible: equal where it is known. `tiles` are
    those of one of the `passes` over the keys.
    """

    values: dict[str, Any]
    tile: tuple[int, int]
    tiles: Tiles
    density: tuple[float, float]
    passes: int

    @property
    def work(self) -> float:
        """Visits of tiles in all passes as a share of all tiles, which dense attention visits once."""
        return self.passes * self.tiles.visited / self.tiles.total

    @property
    def place(self) -> str:
        """Whose cost it is, where not every head and batch entry has the same: `head 1 of batch entry 0`."""
        parts = [f"{name} {self.values[at]}" for name, at in PLACES.items() if at in self.values]
        return " of ".join(parts)


def complete_setting(attention: Attention, keys: Ranges, setting: Setting) -> dict[str, Any]:
    """All values of a setting; a head or a batch entry is among them where the ranges depend on it."""
    values = complete(attention, setting.numbers, TOKENS)
    check_place(values, setting.head, setting.batch)
    places: dict[Axis, int] = {"h": setting.head, "b": setting.batch}
    parts = list(keys.parts)
    return values | {name: at for name, at in places.items() if any(p == Index(name) for p in parts)}


def find_cost(facts: Facts, values: dict[str, Any], tile: tuple[int, int]) -> Cost:
    """The cost at these values. Raises an `AttncError` where the ranges speak of something that has none."""
    from attnc.run.tiles import count_tiles, find_density

    keys, passes = facts.keys, len(facts.weights.before) + 1
    return Cost(values, tile, count_tiles(keys, values, *tile), find_density(keys, values), passes)
