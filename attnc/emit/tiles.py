"""The table of tiles: how large they are for each kernel, kind of GPU and head width.

Enters: tiles, and those that were chosen for one GPU, where they were. Leaves: TILES.
"""

from __future__ import annotations

from collections.abc import Mapping

from attnc.emit.writer import Writer
from attnc.tiles import ChosenTile, ChosenTiles, Tile

Usual = Mapping[str, Mapping[str, Mapping[int, Tile]]]
NOTES = {
    "wgmma": "  # data center Hopper and Blackwell: 227 KiB of shared memory",
    "mma": "  # other GPUs: some have no more than 64 KiB",
    "float32": "  # exact products of float32, without matrix units",
}
# More rows than this stand on a line of their own.
ON_A_LINE = 3


def write_tile_table(writer: Writer, usual: Usual, chosen: ChosenTiles | None) -> None:
    """TILES: the usual tiles, and those that were chosen for one GPU."""
    writer.line(
        "# Queries and keys of a tile, warps, pipeline stages: of each kernel, by the widest head they serve."
    )
    with writer.block("TILES = {"):
        if chosen:
            _write_chosen(writer, chosen)
        for unit, kernels in usual.items():
            with writer.block(f'"{unit}": {{{NOTES[unit]}'):
                for kernel, widths in kernels.items():
                    _write_widths(writer, kernel, widths)
            writer.line("},")
    writer.line("}")


def _write_widths(writer: Writer, kernel: str, widths: Mapping[int, Tile]) -> None:
    rows = ", ".join(f"{width}: {tuple(tile)}" for width, tile in widths.items())
    if len(widths) <= ON_A_LINE:
        writer.line(f'"{kernel}": {{{rows}}},')
        return
    with writer.block(f'"{kernel}": {{'):
        writer.line(f"{rows},")
    writer.line("},")


def _write_chosen(writer: Writer, tiles: ChosenTiles) -> None:
    note = f"  # the first that pass the static gate, of code that Triton {tiles.triton} makes"
    with writer.block(f'"{tiles.arch}": {{{note}'):
        for kernel in dict.fromkeys(row.kernel for row in tiles.rows):
            with writer.block(f'"{kernel}": {{'):
                for row in tiles.of(kernel):
                    writer.line(f"{row.width}: {tuple(row.tile)},{_fault(row)}")
            writer.line("},")
    writer.line("},")


def _fault(row: ChosenTile) -> str:
    return f"  # none passes: {row.fault}" if row.fault else ""
