"""What an attention costs beside one without a mask, at given sizes and arguments.

Enters: an attention, its facts, and the sizes and arguments that a person gives. Leaves: a `Cost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnc.analyze.facts import Facts, Ranges
from attnc.analyze.grid_facts import Grid
from attnc.errors import AttncError
from attnc.ir.nodes import Attention, Index
from attnc.ir.walk import Axis, axes_of
from attnc.run.settings import check_place, complete

if TYPE_CHECKING:
    from attnc.run.boxes import Box, Boxes
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
    those of one of the `passes` over the keys; `longest` is how many tiles of keys the tile of queries visits that
    visits most. Where tokens lie on a grid, `boxes` are what tiles of other shapes would visit.
    """

    values: dict[str, Any]
    tile: tuple[int, int]
    tiles: Tiles
    density: tuple[float, float]
    passes: int
    longest: int
    boxes: Boxes | None = None

    @property
    def work(self) -> float:
        """Visits of tiles in all passes as a share of all tiles, which dense attention visits once."""
        return self.passes * self.tiles.visited / self.tiles.total

    @property
    def place(self) -> str:
        """Whose cost it is, where not every head and batch entry has the same: `head 1 of batch entry 0`."""
        parts = [f"{name} {self.values[at]}" for name, at in PLACES.items() if at in self.values]
        return " of ".join(parts)

    # ---- of one pass -------------------------------------------------------------------------------

    @property
    def pairs(self) -> int:
        return int(self.values["N"]) * int(self.values["M"])

    @property
    def needed(self) -> int | None:
        """Pairs that are visible, where somebody knows how many."""
        least, most = self.density
        if least == most:
            return round(least * self.pairs)
        return self.boxes.needed if self.boxes else None

    @property
    def visited(self) -> int:
        """Pairs of all tiles that are visited, also those beyond the last token."""
        return self.tiles.visited * self.tile[0] * self.tile[1]

    def per_needed(self, visited: int) -> float | None:
        return visited / self.needed if self.needed else None

    def dense_per(self, visited: int) -> float | None:
        """At best so many times faster than dense attention."""
        return self.pairs / visited if visited else None

    @property
    def worst(self) -> float:
        """The share of all keys that the worst tile of queries visits."""
        return self.longest * self.tile[1] / int(self.values["M"])

    def worst_box(self, box: Box) -> float:
        return box.longest / int(self.values["M"])


def complete_setting(
    attention: Attention, keys: Ranges, setting: Setting, grid: Grid | None = None
) -> dict[str, Any]:
    """All values of a setting; a head or a batch entry is among them where the ranges, or boxes, depend on it."""
    values = complete(attention, setting.numbers, TOKENS)
    check_place(values, setting.head, setting.batch)
    places: dict[Axis, int] = {"h": setting.head, "b": setting.batch}
    parts = {part for part in keys.parts if isinstance(part, Index)}
    of_boxes = axes_of(attention.mask) if grid else frozenset[Axis]()
    return values | {name: at for name, at in places.items() if Index(name) in parts or name in of_boxes}


def find_cost(facts: Facts, values: dict[str, Any], setting: Setting, grid: Grid | None = None) -> Cost:
    """The cost at these values. Raises an `AttncError` where the ranges speak of something that has none."""
    from attnc.run.tiles import count_tiles, find_density, longest_row

    keys, passes, tile = facts.keys, len(facts.weights.before) + 1, setting.tile
    tiles, density = count_tiles(keys, values, *tile), find_density(keys, values)
    return Cost(
        values, tile, tiles, density, passes, longest_row(keys, values, *tile), _boxes(grid, values, setting)
    )


def _boxes(grid: Grid | None, values: dict[str, Any], setting: Setting) -> Boxes | None:
    """None where there is no grid, or where it speaks of something that has no value."""
    from attnc.run.boxes import count_boxes

    if grid is None:
        return None
    try:
        return count_boxes(grid, {"h": setting.head, "b": setting.batch, **values}, setting.tile)
    except AttncError:
        return None
