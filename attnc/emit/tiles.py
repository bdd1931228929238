"""The table of tiles: how large they are for each kernel, kind of GPU and head width.

Enters: the last sweep, and tiles that were chosen for one GPU, where they were. Leaves: TILES, and what reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

from attnc.emit.support import text_of
from attnc.emit.writer import Writer
from attnc.lower.sweep import Sweep
from attnc.lower.tile_sizes import find_tile_sizes
from attnc.tiles import ChosenTile, ChosenTiles, Tile

NOTES = {
    "wgmma": "  # data center Hopper and Blackwell: 227 KiB of shared memory",
    "mma": "  # other GPUs: some have no more than 64 KiB",
    "float32": "  # exact products of float32, without matrix units",
}
# More rows than this stand on a line of their own.
ON_A_LINE = 3


def write_tile_table(writer: Writer, sweep: Sweep, tiles: ChosenTiles | None) -> None:
    """TILES and what reads it: the usual tiles, and those that were chosen for one GPU."""
    writer.line(
        "# Queries and keys of a tile, warps, pipeline stages: of each kernel, by the widest head they serve."
    )
    with writer.block("TILES = {"):
        if tiles:
            _write_chosen(writer, tiles)
        for unit, kernels in find_tile_sizes(sweep).items():
            with writer.block(f'"{unit}": {{{NOTES[unit]}'):
                for kernel, widths in kernels.items():
                    _write_widths(writer, kernel, widths)
            writer.line("},")
    writer.line("}")
    writer.line()
    writer.line()
    if tiles:
        _write_table(writer, tiles)
        writer.line()
        writer.line()
    writer.lines(text_of("tiles", *(() if tiles else ("_table",)), "_generation", "_tiles", "_parts_of"))


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


def _write_table(writer: Writer, tiles: ChosenTiles) -> None:
    """The function that finds the rows of a card. Another version of Triton makes other code of the same tiles."""
    with writer.block("def _table(q):"):
        writer.line('"""The rows of TILES for tensors like q."""')
        with writer.block("if q.element_size() > 2:"):
            writer.line('return TILES["float32"]')
        _write_card(writer, tiles)
        writer.line('return TILES["wgmma" if _generation(q) in (9, 10) else "mma"]')


def _write_card(writer: Writer, tiles: ChosenTiles) -> None:
    if tiles.arch.startswith("sm_"):
        capability = divmod(int(tiles.arch.removeprefix("sm_")), 10)
        writer.line("is_cuda = q.is_cuda and torch.version.hip is None")
        writer.line("capability = torch.cuda.get_device_capability(q.device) if is_cuda else None")
        is_it = f"capability == {capability}"
    else:
        writer.line("is_amd = q.is_cuda and torch.version.hip is not None")
        writer.line('name = torch.cuda.get_device_properties(q.device).gcnArchName if is_amd else ""')
        is_it = f'name.startswith("{tiles.arch}")'
    with writer.block(f'if {is_it} and triton.__version__ == "{tiles.triton}":'):
        writer.line(f'return TILES["{tiles.arch}"]')
