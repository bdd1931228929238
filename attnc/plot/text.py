"""A plot as characters.

Enters: a `Plot` and how wide a line may be. Leaves: text. A character stands for a few queries and keys; it is about
twice as high as wide, so it holds twice as many queries.
"""

from __future__ import annotations

import textwrap

import numpy as np
from numpy.typing import NDArray

from attnc.plot.panels import FULL, SKIPPED, VISIBLE, Panel, Plot

# Full tile, edge tile: visible, in part, hidden; skipped tile. The second set is for what knows only ASCII.
BLOCKS, ASCII = "█▓▒░·", "#%+-."
MEANINGS = ("full tile", "edge tile, visible", "visible in part", "edge tile, hidden", "skipped tile")
LEAST_WIDTH = 20


def draw_text(plot: Plot, width: int, plain: bool) -> str:
    """The name and the call, every panel, and what its characters mean."""
    width = max(width, LEAST_WIDTH)
    shades = ASCII if plain else BLOCKS
    lines = [*textwrap.wrap(plot.name, width), *plot.heading(width)]
    seen = ""
    for panel in plot.panels:
        drawn = _draw(panel, plot.tile, width, shades)
        seen += "".join(drawn)
        lines += ["", *textwrap.wrap(f"{plot.title(panel)}; query i down, key j across", width), *drawn]
    meanings = [
        f"{shade} {meaning}".replace(" ", "\0")
        for shade, meaning in zip(shades, MEANINGS, strict=True)
        if shade in seen
    ]
    lines += ["", *(line.replace("\0", " ") for line in textwrap.wrap("  ".join(meanings), width))]
    return "\n".join(lines)


def _draw(panel: Panel, tile: tuple[int, int], width: int, shades: str) -> list[str]:
    classes = panel.classes
    keys = _cell(classes.shape[1], tile[1], width, 1)
    queries = _cell(classes.shape[0], tile[0], classes.shape[0], 2 * keys)
    drawn: list[str] = []
    for top in range(0, classes.shape[0], queries):
        band = classes[top : top + queries]
        drawn.append(
            "".join(_shade(band[:, left : left + keys], shades) for left in range(0, band.shape[1], keys))
        )
    return drawn


def _cell(size: int, block: int, most: int, least: int) -> int:
    """How many tokens a character holds: a part of a tile or some whole tiles; at least `least`, at most `most` fit."""
    parts = [n for n in range(1, block + 1) if block % n == 0]
    cell = next((n for n in parts if n >= least and -(-size // n) <= most), None)
    if cell is None:
        tiles = max(-(-least // block), -(-size // (most * block)))
        cell = tiles * block
    return cell


def _shade(cell: NDArray[np.uint8], shades: str) -> str:
    """The character for some pairs of one or of several classes."""
    full, visible, partly, hidden, skipped = tuple(shades)
    if (cell == FULL).all():
        return full
    if (cell == SKIPPED).all():
        return skipped
    if (cell >= VISIBLE).all():
        return visible
    return partly if (cell >= VISIBLE).any() else hidden
