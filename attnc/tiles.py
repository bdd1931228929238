"""Tiles: how many queries and keys a block of a kernel takes at a time, and a choice of them for one GPU.

Enters and leaves: plain values. Who chooses is `attnc/inspect/choose.py`; the emitted module holds what was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Tile(NamedTuple):
    """Queries and keys of a tile, warps of a block, and stages of its pipeline."""

    queries: int
    keys: int
    warps: int
    stages: int

    def __str__(self) -> str:
        return f"{self.queries} x {self.keys}, {self.warps} warps, {self.stages} stages"


@dataclass(frozen=True)
class ChosenTile:
    """The tile of a kernel, for heads up to a width. `fault` is what is wrong with the best that there is."""

    kernel: str
    width: int
    tile: Tile
    fault: str | None = None


@dataclass(frozen=True)
class ChosenTiles:
    """Tiles for one GPU and one version of Triton, whose compiler decides what fits the registers."""

    arch: str
    triton: str
    rows: tuple[ChosenTile, ...]

    def of(self, kernel: str) -> tuple[ChosenTile, ...]:
        return tuple(row for row in self.rows if row.kernel == kernel)
