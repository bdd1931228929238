"""The report of an inspection, for people and for programs.

Enters: figures and verdicts. Leaves: a `Report`, its table and its JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnc.inspect.figures import Figures, Part
    from attnc.inspect.gate import Verdict

KERNELS = ("kernel", "tile", "warps", "stages", "registers", "spilled bytes", "shared memory")
LOOPS = (
    "kernel", "loop", "instructions", "a pair", "matrix", "copies", "loads", "exp2", "special", "overlap",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """Every kernel that a forward and a backward call of an attention launch, in their order."""

    name: str
    arch: str
    dtype: str
    head_dim: int
    triton: str
    kernels: tuple[Figures, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def failures(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.is_failure)

    @property
    def holds(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        languages = " and ".join(sorted({kernel.language for kernel in self.kernels}))
        head = (
            f"{self.name} for {self.arch}: {self.dtype}, heads {self.head_dim} wide; "
            f"{languages} of Triton {self.triton}"
        )
        verdicts = [
            f"{'FAIL' if v.is_failure else 'note'}: {v.kernel}: {v.what} ({v.why})" for v in self.verdicts
        ]
        kernels = write_table(KERNELS, [_kernel_row(kernel) for kernel in self.kernels])
        loops = write_table(LOOPS, [row for kernel in self.kernels for row in _loop_rows(kernel)])
        return "\n".join([head, "", *kernels, "", *loops, "", *verdicts, self.summary])

    @property
    def summary(self) -> str:
        kernels = f"{len(self.kernels)} kernel{'s' * (len(self.kernels) != 1)}"
        verdict = f"{len(self.failures)} FAIL" if self.failures else "all limits hold"
        return f"{self.name}: {kernels}, {verdict}"

    def to_json(self) -> str:
        """All of it, and whether it holds."""
        return json.dumps({**asdict(self), "holds": self.holds}, indent=2)


def write_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are as wide as their widest cell."""
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]
    return [
        "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]


def _kernel_row(kernel: Figures) -> list[str]:
    tile = "{} x {}".format(*kernel.tile) if kernel.tile else "-"
    sizes = [kernel.warps, kernel.stages, kernel.registers, kernel.spilled]
    return [kernel.kernel, tile, *map(str, sizes), f"{-(-kernel.shared // 1024)} KiB"]


def _loop_rows(kernel: Figures) -> Iterator[list[str]]:
    """A line for each loop, or for all of a kernel that has none."""
    name = kernel.kernel
    for part in kernel.loops or (kernel.whole,):
        yield [name, *_cells(part)]
        name = ""


def _cells(part: Part) -> list[str]:
    matrix = _sum_of(("tcgen05", part.tcgen05), ("wgmma", part.wgmma), ("mma", part.mma))
    copies = _sum_of(("cp.async", part.cp_async), ("tma", part.tma))
    per_pair = "-" if part.per_pair is None else f"{part.per_pair:.1f}"
    overlap = "-" if part.overlap is None else f"{part.overlap:.0%}"
    counts = map(str, (part.loads, part.exp2, part.special))
    return [part.name, str(part.instructions), per_pair, matrix, copies, *counts, overlap]


def _sum_of(*counts: tuple[str, int]) -> str:
    return " + ".join(f"{count} {name}" for name, count in counts if count) or "-"
