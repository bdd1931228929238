"""Coordinates: the named numbers at which terms are evaluated, for many places at once.

Enters: positions and the ends of tiles and of periods, as arrays by name. Leaves: `Coordinates`, which keep what was
found at them: a term that is asked for twice, or at some of the places again, is evaluated once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attnc.run.arithmetic import Array, broadcast

Places = Mapping[str, NDArray[np.int64]]


def tile_end(axis: Literal["i", "j"], end: Literal["first", "last"]) -> str:
    """The key of a tile's end among the values: no parameter can be called this."""
    return f"{end} {axis}"


def period_end(end: Literal["first", "last"]) -> str:
    """The key of the number of a period among the values: no parameter can be called this."""
    return f"{end} period"


PERIODS = period_end("first"), period_end("last")

# The key of the residue of a class.
RESIDUE = "the residue"


class Coordinates:
    """Several places at once: arrays of numbers by name, which broadcast to one shape, and what was found there."""

    def __init__(self, places: Places, shape: tuple[int, ...]) -> None:
        self.places, self.shape = places, shape
        self.found: dict[int, Array] = {}
        self._chosen: tuple[Coordinates, Array] | None = None

    def where(self, which: Array) -> Coordinates:
        """The places at which it holds, in a row."""
        chosen = Coordinates(
            {name: self._choose(x, which) for name, x in self.places.items()}, (int(which.sum()),)
        )
        chosen._chosen = self, which
        return chosen

    def known(self, number: int) -> Array | None:
        """What was found before, here or at all of the places that these were chosen from."""
        if number not in self.found and self._chosen:
            whole, which = self._chosen
            if (entries := whole.known(number)) is not None:
                self.found[number] = whole._choose(entries, which)
        return self.found.get(number)

    def _choose(self, entries: Array, which: Array) -> Array:
        return broadcast(entries, self.shape)[which]
