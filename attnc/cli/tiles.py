"""The tiles that `attnc build --arch` writes into a module.

Enters: a compilation and the name of a GPU. Leaves: the tiles that were chosen for it; what is wrong with one, or what
each took by the clock, is said on stderr.
"""

from __future__ import annotations

import click

from attnc.cli.console import show_progress
from attnc.compiler import Compilation
from attnc.tiles import ChosenTiles


def choose_tiles(compilation: Compilation, arch: str) -> ChosenTiles:
    """The tiles for a GPU; what has a fault is said on stderr."""
    from attnc import inspect as room

    with show_progress("choosing tiles") as progress:
        tiles = room.choose(compilation, room.find_target(arch), progress=progress).tiles
    _say_faults(tiles)
    return tiles


def choose_by_clock(compilation: Compilation, arch: str) -> ChosenTiles:
    """The same, and of up to three that pass the fastest on the GPU at hand."""
    from attnc import bench, inspect

    target = inspect.find_target(arch)
    device = bench.find_device("cuda")
    bench.check_card(target.name, device)
    with show_progress("choosing tiles") as progress:
        choices = inspect.choose(compilation, target, wanted=3, progress=progress)
    candidates = {(choice.kernel, choice.width): choice.passing for choice in choices.choices}
    dtype = bench.find_dtype(None, device)

    def call_of(width: int) -> bench.Call:
        given = {"D": width, "DV": width}
        return bench.make_call(compilation.attention, compilation.facts, device, dtype, given)

    with show_progress("timing tiles") as progress:
        tiles, timed = bench.refine(
            compilation, choices.tiles, candidates, call_of, bench.find_clock(device), progress
        )
    for each in timed:
        click.echo(f"note: {each}", err=True)
    _say_faults(tiles)
    return tiles


def _say_faults(tiles: ChosenTiles) -> None:
    for row in tiles.rows:
        if row.fault:
            click.echo(
                f"note: heads {row.width} wide: {row.tile} is the best for {tiles.arch}, but {row.fault}",
                err=True,
            )
