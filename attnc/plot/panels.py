"""What a picture of a mask shows, before it is drawn.

Enters: an attention, its key ranges, and a small call by name. Leaves: a `Plot`: for each head asked for, every pair of
a query and a key in one of four classes. Whether a pair is visible says the interpreter; what becomes of its tile says
whoever found the tiles.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnc.analyze.facts import Ranges
from attnc.errors import AttncError, CompilerBug, Diagnostic
from attnc.ir.nodes import Attention
from attnc.plot.call import make_call
from attnc.run.look import find_visited
from attnc.run.mask import find_mask
from attnc.run.settings import say_call
from attnc.run.tiles import TileRow, Tiles, count_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The classes of a pair. An edge tile is visited and masked pair by pair.
SKIPPED, HIDDEN, VISIBLE, FULL = range(4)
MEANINGS = {
    FULL: "full tile, no mask",
    VISIBLE: "edge tile, visible",
    HIDDEN: "edge tile, hidden",
    SKIPPED: "skipped tile",
}
TOKENS, TILE = 256, 16
MOST_PAIRS = 2**20
GLUE = "\0=\0"

Classes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Panel:
    """One head of one batch entry: a class for every pair, queries by keys."""

    head: int
    batch: int
    classes: Classes
    tiles: Tiles


@dataclass(frozen=True, eq=False)
class Plot:
    """Panels of one call. `call` says at which sizes and arguments, `made_up` which arrays nobody gave."""

    name: str
    call: str
    tile: tuple[int, int]
    panels: tuple[Panel, ...]
    made_up: tuple[str, ...] = ()

    def heading(self, width: int) -> list[str]:
        """What all panels share, in lines that do not break inside `N = 256`."""
        parts = [self.call, *(f"{name}: made-up documents" for name in self.made_up)]
        glued = ", ".join(parts).replace(" = ", GLUE)
        return [line.replace(GLUE, " = ") for line in textwrap.wrap(glued, width, break_on_hyphens=False)]

    @property
    def classes(self) -> list[int]:
        """The classes that occur, in the order of a legend."""
        return [kind for kind in MEANINGS if any((panel.classes == kind).any() for panel in self.panels)]

    def title(self, panel: Panel) -> str:
        """What sets a panel apart."""
        batches = {each.batch for each in self.panels}
        place = [f"batch {panel.batch}"] if batches != {0} else []
        place += [f"head {panel.head}"] if len(self.panels) > len(batches) or panel.head else []
        tiles = panel.tiles
        return ", ".join([*place, f"{tiles.visited} of {tiles.total} tiles, {tiles.full} full"])

    def figure(self, path: str | PathLike[str] | None = None) -> Figure:
        """The picture, written to `path` where one is given."""
        from attnc.plot.figure import check_format, draw_figure, write_figure

        if path is None:
            return draw_figure(self)
        metadata = check_format(Path(path))
        figure = draw_figure(self)
        write_figure(figure, Path(path), metadata)
        return figure

    def text(self, width: int, plain: bool = False) -> str:
        """The same in characters, no line wider than `width`; `plain` ones are ASCII."""
        from attnc.plot.text import draw_text

        return draw_text(self, width, plain)


def find_plot(
    attention: Attention,
    keys: Ranges,
    given: Mapping[str, Any],
    tile: tuple[int, int] = (TILE, TILE),
    heads: Sequence[int] = (0,),
    batches: Sequence[int] = (0,),
) -> Plot:
    """A panel for each of `batches` and `heads`; `given` has sizes and arguments by name, arrays as tensors."""
    call = make_call(attention, keys, given, TOKENS, heads, batches)
    pairs = call.values["N"] * call.values["M"]
    if pairs > MOST_PAIRS:
        what = f"a plot shows at most {MOST_PAIRS} pairs of a query and a key, and this call has {pairs}"
        raise AttncError(Diagnostic("wrong-size", what, helps=("give a smaller `N`",)))
    panels: list[Panel] = []
    for batch in batches:
        for head in heads:
            at = {**call.values, "h": head, "b": batch}
            rows = tuple(find_visited(attention, keys, at, *tile))
            mask = find_mask(attention, call.values, head, batch).numpy()
            total = -(-mask.shape[0] // tile[0]) * -(-mask.shape[1] // tile[1])
            panels.append(Panel(head, batch, classify(mask, rows, tile), count_rows(rows, total)))
    return Plot(attention.name, say_call(call.numbers, tile), tile, tuple(panels), call.made_up)


def classify(mask: NDArray[np.bool_], rows: Iterable[TileRow], tile: tuple[int, int]) -> Classes:
    """The class of every pair, from what is visible and from the tiles that each tile of queries visits."""
    height, width = tile
    classes = np.full(mask.shape, SKIPPED, np.uint8)
    for number, row in enumerate(rows):
        queries = slice(number * height, (number + 1) * height)
        for kind, runs in ((HIDDEN, row.visited), (FULL, row.full)):
            for lo, hi in runs:
                classes[queries, lo * width : hi * width] = kind
    if (mask & (classes == SKIPPED)).any():
        raise CompilerBug("a tile that is skipped holds a visible pair")
    if (~mask & (classes == FULL)).any():
        raise CompilerBug("a tile that is full hides a pair")
    classes[mask & (classes == HIDDEN)] = VISIBLE
    return classes
