"""The figures of a kernel.

Enters: machine code and what the assembler said of it. Leaves: `Figures`: plain numbers, the same on every machine for
one version of Triton. A thread's registers; the bytes of its stack, or those it stores or loads because registers ran
out, whichever is most; a block's shared memory; and for every loop over tiles what it holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnc.inspect.instructions import Code, Language, find_loops, find_overlap, read_instructions

if TYPE_CHECKING:
    from attnc.inspect.build import Build

# Every kernel visits the tiles at the edge of the mask first, each pair tested, and then those that are seen in full.
LOOPS = ("edge", "full")


@dataclass(frozen=True)
class Part:
    """What stands in a loop over tiles, or in the whole kernel (`all`).

    `instructions` are those between the loop's label and its branch back, both included: what one thread issues for one
    tile, no branch within the loop taken. `per_pair` is that times the threads of a block over the pairs of a query
    and a key in a tile: what all threads together issue for one element of the score. `overlap` is the share of the
    exp2 that run while a matrix product is under way. A loop that the compiler unrolled holds several tiles. In PTX,
    which is read only where Triton has no disassembler, an instruction is not yet one of the machine's.
    """

    name: str
    instructions: int
    per_pair: float | None
    tcgen05: int
    wgmma: int
    mma: int
    cp_async: int
    tma: int
    loads: int
    local: int
    exp2: int
    special: int
    overlap: float | None


@dataclass(frozen=True)
class Figures:
    """One kernel. `tile` is queries and keys; `serialized`: the assembler made each `wgmma` wait for the last.

    `shared` is bytes, and `tensor` columns of the memory that tcgen05 computes in.
    """

    kernel: str
    tile: tuple[int, int] | None
    warps: int
    threads: int
    stages: int
    registers: int
    spilled: int
    shared: int
    tensor: int
    serialized: bool
    language: Language
    whole: Part
    loops: tuple[Part, ...]


def read_figures(build: Build) -> Figures:
    """The figures of one kernel."""
    code = read_instructions(build.text, build.language)
    loops = find_loops(code)
    threads, tile = build.warps * build.target.warp_size, build.launch.tile
    is_over_tiles = tile is not None and len(loops) <= len(LOOPS)
    names = LOOPS if is_over_tiles else [f"loop {n}" for n in range(1, len(loops) + 1)]
    share = threads / (tile[0] * tile[1]) if tile else None
    registers, spilled = _read_amd(build.text) if build.language == "AMDGCN" else read_log(build.log)
    return Figures(
        kernel=build.launch.name,
        tile=tile,
        warps=build.warps,
        threads=threads,
        stages=build.stages,
        registers=registers,
        spilled=spilled,
        shared=build.shared,
        tensor=build.tensor,
        serialized="serialized" in build.log,
        language=build.language,
        whole=count_part("all", code, None),
        loops=tuple(count_part(name, loop, share) for name, loop in zip(names, loops, strict=False)),
    )


def count_part(name: str, code: Code, share: float | None) -> Part:
    """What some code holds. `share` is the threads of a block for each pair of a tile."""
    overlap = find_overlap(code) if share else None
    return Part(
        name=name,
        instructions=code.size,
        per_pair=round(code.size * share, 2) if share else None,
        tcgen05=code.count("tcgen05"),
        wgmma=code.count("wgmma"),
        mma=code.count("mma"),
        cp_async=code.count("cp.async"),
        tma=code.count("tma"),
        loads=code.count("load"),
        local=code.count("local"),
        exp2=code.count("exp2"),
        special=code.count("special"),
        overlap=None if overlap is None else round(overlap, 2),
    )


def read_log(log: str) -> tuple[int, int]:
    """Registers and spilled bytes of a thread, as `ptxas -v` says them."""
    used = re.findall(r"Used (\d+) registers", log)
    stack = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    return max(map(int, used)), max((int(n) for sizes in stack for n in sizes), default=0)


def _read_amd(text: str) -> tuple[int, int]:
    """The same of AMDGCN: vector registers, those of matrix units included, and four bytes for each that spilled."""

    def field(word: str) -> int:
        return max(map(int, re.findall(rf"\.{word}:\s+(\d+)", text)))

    return field("vgpr_count"), 4 * field("vgpr_spill_count")
