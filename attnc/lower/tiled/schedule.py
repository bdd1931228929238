"""The tiled schedule: tiles of queries against the tiles of keys that they see, in any fold.

Enters: a sweep. Leaves: its forward kernel, that of few queries and what merges their shares, the backward kernels, the
CPU path, what adds up the gradients of captured arrays, and what launches all of it. It fits every sweep.
"""

from __future__ import annotations

from collections.abc import Sequence

from attnc.algebra.fold import Largest
from attnc.kernel.module import Part, Support, TileTable
from attnc.kernel.nodes import Function
from attnc.lower.at_key import lower_at_key
from attnc.lower.collect import lower_adder
from attnc.lower.cpu import lower_cpu, lower_pairs
from attnc.lower.lists import lower_lists, lower_tile_lists
from attnc.lower.make_sweep import make_sweeps
from attnc.lower.per_row import lower_numbers
from attnc.lower.schedule import ReadChecks, Schedule, SweepKernels
from attnc.lower.split.combine import lower_combine
from attnc.lower.split.forward import lower_split
from attnc.lower.split.launch import lower_few_rows
from attnc.lower.taken import stop_if_taken
from attnc.lower.tile_sizes import find_tile_sizes
from attnc.lower.tiled.backward_keys import lower_backward_keys
from attnc.lower.tiled.backward_pairs import lower_backward_pairs
from attnc.lower.tiled.backward_queries import lower_backward_queries
from attnc.lower.tiled.chosen import lower_chosen_table
from attnc.lower.tiled.delta import lower_delta
from attnc.lower.tiled.forward import lower_forward
from attnc.lower.tiled.launch import TiledKernels
from attnc.lower.tiled.launch_backward import lower_backward_launch
from attnc.lower.tiled.launch_forward import lower_forward_launch
from attnc.lower.tiled.per_token import lower_per_token
from attnc.lower.tiled.pipeline import pipeline_values
from attnc.lower.tiled.sweep import TiledSweep
from attnc.tiles import ChosenTiles

OF_LAUNCHERS = ("_looks", "_ahead", "_strip_rows", "_shares")


def lower_tiled(sweep: TiledSweep, checks: ReadChecks) -> SweepKernels:
    """Every function of a sweep."""
    lists = lower_lists(sweep)
    forward, split = _lower_forward(sweep)
    stop_if_taken((*forward, *split), sweep)
    kinds = lists[-1] if "j" in sweep.cover.listed else None
    cpu = lower_cpu(sweep, checks.cpu, kinds)
    stop_if_taken(cpu, sweep)
    kernels = TiledKernels(
        forward=forward,
        split=split,
        combine=(lower_combine(sweep),) if sweep.variants.split else (),
        delta=(lower_delta(sweep),) if sweep.weighs_twice else (),
        keys=lower_backward_keys(sweep) if sweep.has_gradient else (),
        queries=lower_backward_queries(sweep) if sweep.has_gradient else (),
        pairs=lower_backward_pairs(sweep) if sweep.has_gradient else (),
        lists=lower_tile_lists(sweep, lists),
    )
    adders = tuple(lower_adder(sweep, gradient) for gradient in sweep.gradients.arrays)
    launch = [lower_forward_launch(sweep, kernels, checks.gpu)]
    if sweep.has_gradient:
        launch.append(lower_backward_launch(sweep, kernels, adders))
    return SweepKernels(
        sweep=sweep,
        signature=sweep.signature,
        per_token=lower_per_token(sweep) if sweep.weighs_values else None,
        triton=kernels.all,
        launch=tuple(launch),
        cpu=cpu,
        adders=adders,
        lists=lists,
        tile_lists=tuple(kernels.lists.values()),
        numbers=_lower_row_numbers(sweep),
        pairs=lower_pairs(sweep, cpu[0], kinds) if sweep.weighs_values else None,
    )


def _lower_forward(sweep: TiledSweep) -> tuple[tuple[Function, ...], tuple[Function, ...]]:
    """The kernel, and that of few queries, each behind its helper."""
    helper, kernel = lower_forward(sweep)
    split = [fn for fn in lower_split(sweep) if fn != helper] if sweep.variants.split else []
    if sweep.variants.pipelines_values:
        helper, kernel, *split = pipeline_values(helper, kernel, split)
    return (helper, kernel), tuple(split)


def _lower_row_numbers(sweep: TiledSweep) -> Function | None:
    if sweep.weighs_values:
        return None
    return lower_at_key(sweep) if isinstance(sweep.fold, Largest) else lower_numbers(sweep)


def _lower_common(sweeps: Sequence[TiledSweep], tiles: ChosenTiles | None) -> tuple[Part, ...]:
    """The table of tiles, what reads it, and what else launchers call."""
    last = sweeps[-1]
    return (
        TileTable(find_tile_sizes(last), tiles),
        *((lower_chosen_table(tiles),) if tiles else ()),
        Support("tiles"),
        Support("launch", OF_LAUNCHERS),
        *((lower_few_rows(last),) if any(each.variants.split for each in sweeps) else ()),
        Support("launch"),
    )


TILED = Schedule(
    name="tiled",
    says="forward, dK/dV and dQ kernels over tiles of queries and keys, and a CPU path",
    make=make_sweeps,
    sign=lambda sweep: sweep.signature,
    lower=lower_tiled,
    common=_lower_common,
    constants=("TILE = 128  # queries in a tile of the CPU path, unless fewer or more are faster",),
)
