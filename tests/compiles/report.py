"""Prints the figures of docs/machine-code.md: `python tests/compiles/report.py`.

Enters: nothing. Leaves: one table for each GPU, of every kernel of every example, made by the Triton that is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import triton
from emitted import NAMES, report

from attnc.inspect.figures import Figures
from attnc.inspect.targets import GFX942, SM_80, SM_90, Target


def tables(names: list[str]) -> Iterator[str]:
    """The lines of all tables."""
    for target in (SM_90, SM_80, GFX942):
        yield f"### {target.name}, bfloat16, Triton {triton.__version__}\n"
        yield "| example | kernel | D | tile | registers | spilled bytes | shared KiB | loops |"
        yield "|---|---|---|---|---|---|---|---|"
        for name in names:
            yield from _rows(name, target)
        yield ""


def _rows(name: str, target: Target) -> Iterator[str]:
    for d in (64, 128):
        for kernel in report(name, target, d).kernels:
            if kernel.tile is None:
                continue
            tile = "{} x {}, {} warps, {} stages".format(*kernel.tile, kernel.warps, kernel.stages)
            cells = [name, kernel.kernel, d, tile, kernel.registers, kernel.spilled]
            cells += [-(-kernel.shared // 1024), _loops(kernel)]
            yield "| " + " | ".join(map(str, cells)) + " |"


def _loops(kernel: Figures) -> str:
    """Instructions of each loop, those on matrix units, and special functions (exp2, reciprocals) among them."""
    return "; ".join(
        f"{loop.instructions} ({loop.wgmma + loop.mma} matrix, {loop.exp2 + loop.special} special)"
        for loop in kernel.loops
    )


if __name__ == "__main__":
    for line in tables(sys.argv[1:] or NAMES):
        print(line, flush=True)
