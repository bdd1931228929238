"""Tiles by the clock, of those that hold all limits.

Enters: a compilation, the tiles that may be taken by kernel and width, calls, and a clock. Leaves: the milliseconds of
each, and the choice of those that took least. The tiles of a kernel take turns; all other kernels have theirs as
chosen. The forward kernel is timed in forward calls, the others in backward calls, which run all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from types import ModuleType

import torch

from attnc.bench.call import Call
from attnc.bench.timing import Clock, take_turns
from attnc.compiler import Compilation
from attnc.run.loader import load_module
from attnc.tiles import ChosenTile, ChosenTiles, Tile

Rows = dict[str, dict[int, Tile]]
ROUNDS = 7


@dataclass(frozen=True)
class Timed:
    """Medians of a kernel's tiles, in milliseconds, for heads of a width."""

    kernel: str
    width: int
    milliseconds: Mapping[Tile, float]

    @property
    def fastest(self) -> Tile:
        return min(self.milliseconds, key=lambda tile: self.milliseconds[tile])

    def __str__(self) -> str:
        found = ", ".join(f"{tile}: {ms:.3f} ms" for tile, ms in self.milliseconds.items())
        return f"{self.kernel}, heads {self.width} wide: {found}"


def refine(
    compilation: Compilation,
    chosen: ChosenTiles,
    candidates: Mapping[tuple[str, int], Sequence[Tile]],
    call_of: Callable[[int], Call],
    clock: Clock,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[ChosenTiles, list[Timed]]:
    """`chosen` with the fastest of the candidates, and what each took. `call_of(width)` is a call with such heads."""
    module = load_module(compilation.attention.name, compilation.module)
    found: list[Timed] = []
    for n, row in enumerate(chosen.rows, 1):
        tiles = candidates.get((row.kernel, row.width), ())
        if len(tiles) > 1:
            timed = _time(module, compilation.attention.name, chosen, row, tiles, call_of(row.width), clock)
            if timed:
                found.append(timed)
                rows = (replace(r, tile=timed.fastest) if r is row else r for r in chosen.rows)
                chosen = replace(chosen, rows=tuple(rows))
        progress(n, len(chosen.rows))
    return chosen, found


def _time(
    module: ModuleType,
    name: str,
    chosen: ChosenTiles,
    row: ChosenTile,
    tiles: Sequence[Tile],
    call: Call,
    clock: Clock,
) -> Timed | None:
    """The tiles of one kernel take turns; None where there is nothing to run, as no gradient."""
    is_forward = row.kernel == "forward"
    inputs = [x.detach().requires_grad_(not is_forward) for x in (call.q, call.k, call.v)]
    function = partial(getattr(module, name), *inputs, **call.arguments, backend="triton")
    if not is_forward and not function().requires_grad:
        return None
    usual = module._table

    def ready(tile: Tile) -> Callable[[], object]:
        rows: Rows = {each.kernel: dict(usual(call.q)[each.kernel]) for each in chosen.rows}
        for each in chosen.rows:
            rows[each.kernel][each.width] = each.tile
        rows[row.kernel][row.width] = tile
        module._table = lambda q: usual(q) | rows  # type: ignore[attr-defined]
        if is_forward:
            return function
        out = function()
        return partial(torch.autograd.grad, out, inputs, torch.ones_like(out))

    try:
        turns = take_turns({str(tile): partial(ready, tile) for tile in tiles}, ROUNDS, clock)
    finally:
        module._table = usual  # type: ignore[attr-defined]
    return Timed(row.kernel, row.width, {tile: median(turns[str(tile)]) for tile in tiles})
