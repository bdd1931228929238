"""Tiles for a GPU that need not be there: candidates in order of preference, and the first that passes the gate.

Enters: a compilation, a target and widths of heads. Leaves: `Choices`: for each kernel and width what was tried, the
faults of each, and the tile that was chosen. Where every candidate has a fault, it is the cheapest of those that a
card can start.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING

from attnc.errors import AttncError, Diagnostic
from attnc.inspect.candidates import TABLES, WIDTHS, find_candidates
from attnc.inspect.check import plan_launches
from attnc.inspect.report import write_table
from attnc.inspect.targets import Target
from attnc.tiles import ChosenTile, ChosenTiles, Tile

if TYPE_CHECKING:
    from attnc.compiler import Compilation
    from attnc.inspect.figures import Figures
    from attnc.inspect.gate import Verdict
    from attnc.run.settings import Number

Progress = Callable[[int, int], None]
HEADER = ("kernels", "D", "tile", "registers", "spilled bytes", "shared memory", "a pair", "verdict")


@dataclass(frozen=True)
class Trial:
    """A candidate: the figures of its kernels, as far as they build, and every limit that one of them does not hold."""

    tile: Tile
    figures: tuple[Figures, ...]
    faults: tuple[Verdict, ...]

    @property
    def can_start(self) -> bool:
        return not any(fault.limit in ("builds", "shared", "tensor") for fault in self.faults)

    @property
    def cost(self) -> float:
        """What a pair of a full tile takes. What goes to local memory takes as long as eight others."""
        loops = [(each, kernel) for kernel in self.figures for each in kernel.loops[-1:]]
        return sum(
            (loop.instructions + 7 * loop.local) * kernel.threads / prod(kernel.tile)
            for loop, kernel in loops
            if kernel.tile
        )

    @property
    def verdict(self) -> str:
        """One fault of each kernel, the worst."""
        worst = {fault.kernel: fault.what for fault in reversed(self.faults)}
        return "; ".join(f"{kernel} {what}" for kernel, what in worst.items()) or "passes"


@dataclass(frozen=True)
class Choice:
    """The choice of a tile for the kernels of one table, at one width: what was tried for them."""

    kernel: str
    width: int
    trials: tuple[Trial, ...]

    @property
    def passing(self) -> tuple[Tile, ...]:
        return tuple(trial.tile for trial in self.trials if not trial.faults)

    @property
    def best(self) -> Trial | None:
        """The first without a fault, else the cheapest, one that only spills before others; None if none can start."""
        able = [trial for trial in self.trials if trial.can_start]
        return next((trial for trial in able if not trial.faults), min(able, key=_badness, default=None))


@dataclass(frozen=True)
class Choices:
    """All that was chosen for one attention."""

    name: str
    arch: str
    dtype: str
    triton: str
    choices: tuple[Choice, ...]

    @property
    def holds(self) -> bool:
        return all(choice.best and not choice.best.faults for choice in self.choices)

    @property
    def tiles(self) -> ChosenTiles:
        """What a module is emitted with."""
        return ChosenTiles(self.arch, self.triton, tuple(map(_chosen, self.choices)))

    def __str__(self) -> str:
        head = f"{self.name} for {self.arch}: {self.dtype}, Triton {self.triton}"
        rows = [row for choice in self.choices for row in _rows(choice)]
        return "\n".join([head, "", *write_table(HEADER, rows)])

    def to_json(self) -> str:
        """All of it, and whether every choice is without a fault."""
        return json.dumps({**asdict(self), "holds": self.holds}, indent=2)


def choose(
    compilation: Compilation,
    target: Target,
    *,
    widths: Sequence[int] = WIDTHS,
    dtype: str = "bfloat16",
    numbers: Mapping[str, Number] | None = None,
    wanted: int = 1,
    progress: Progress | None = None,
) -> Choices:
    """The first candidate of each kernel and width that passes; `progress(done, of)` is told after every choice.

    Candidates are tried until as many as are `wanted` passed.
    """
    launches = plan_launches(compilation, target, widths[0], dtype, numbers or {})
    import triton

    launched = {TABLES.get(launch.table) for launch in launches}
    kernels = [kernel for kernel in dict.fromkeys(TABLES.values()) if kernel in launched]
    if not kernels:
        what = f"`{compilation.attention.name}` goes from chunk to chunk, in tiles that serve every GPU"
        helps = ('compile it with `schedule="tiled"`: tiles of queries and keys are chosen',)
        raise AttncError(Diagnostic("no-tile", what, helps=helps))
    choices: list[Choice] = []
    for kernel in kernels:
        for width in widths:
            trials: list[Trial] = []
            for tile in find_candidates(kernel, width, target):
                trials.append(_try(compilation, target, kernel, width, tile, dtype, numbers or {}))
                if sum(not trial.faults for trial in trials) == wanted:
                    break
            choices.append(Choice(kernel, width, tuple(trials)))
            if progress:
                progress(len(choices), len(kernels) * len(widths))
    return Choices(compilation.attention.name, target.name, dtype, triton.__version__, tuple(choices))


def _badness(trial: Trial) -> tuple[int, float]:
    return len({fault.limit for fault in trial.faults} - {"spills", "local"}), trial.cost


def _try(
    compilation: Compilation,
    target: Target,
    kernel: str,
    width: int,
    tile: Tile,
    dtype: str,
    numbers: Mapping[str, Number],
) -> Trial:
    """Build the kernels of a table with a tile."""
    from attnc.inspect.gate import Verdict, judge
    from attnc.inspect.remember import Refused, measure

    rows = {kernel: {width: tile}}
    figures: list[Figures] = []
    faults: list[Verdict] = []
    for launch in plan_launches(compilation, target, width, dtype, numbers, rows):
        if TABLES.get(launch.table) != kernel:
            continue
        found = measure(launch, target)
        if isinstance(found, Refused):
            faults.append(Verdict(launch.name, "builds", "does not build", found.why, is_failure=True))
        else:
            figures.append(found)
            faults += [verdict for verdict in judge(found, target, dtype, width) if verdict.is_failure]
    return Trial(tile, tuple(figures), tuple(faults))


def _chosen(choice: Choice) -> ChosenTile:
    if choice.best is None:
        what = f"no tile of `{choice.kernel}` starts, where heads are {choice.width} wide"
        faults = tuple(
            f"{trial.tile}: {fault.what} ({fault.why})" for trial in choice.trials for fault in trial.faults
        )
        raise AttncError(Diagnostic("no-tile", what, notes=faults))
    return ChosenTile(choice.kernel, choice.width, choice.best.tile, _worst(choice.best))


def _worst(trial: Trial) -> str | None:
    return next((f"{fault.kernel} {fault.what}" for fault in trial.faults), None)


def _rows(choice: Choice) -> list[list[str]]:
    """A line for each kernel of each candidate; the verdict stands in a candidate's first."""
    rows = []
    for trial in choice.trials:
        verdict = f"{trial.verdict}: chosen" if trial is choice.best else trial.verdict
        for figures in trial.figures:
            pairs = ", ".join(f"{loop.per_pair:.1f}" for loop in figures.loops if loop.per_pair)
            cells = [figures.registers, figures.spilled, f"{-(-figures.shared // 1024)} KiB", pairs or "-"]
            tile = trial.tile if figures is trial.figures[0] else ""
            rows.append([figures.kernel, str(choice.width), str(tile), *map(str, cells), verdict])
            verdict = ""
        if not trial.figures:
            rows.append([choice.kernel, str(choice.width), str(trial.tile), *"----", verdict])
    return rows
