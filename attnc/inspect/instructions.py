"""Machine code as instructions.

Enters: SASS as `cuobjdump` prints it, PTX, or AMDGCN as LLVM writes it. Leaves: its instructions in order, each of a
kind that a gate knows, and its loops over tiles. A loop is the code from the goal of a backward branch to that
branch, both included, in the order in which instructions stand. What a loop over tiles has for a loop of its own, such
as a search in a row of a table, is part of it and stands there once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from attnc.errors import CompilerBug

Language = Literal["SASS", "PTX", "AMDGCN"]
Kind = Literal[
    "tcgen05",  # a product of matrices that one thread issues, in a memory of its own
    "wgmma",  # a product of matrices that a group of warps issues and waits for later
    "mma",  # one that a warp does at once
    "cp.async",  # global to shared memory, while the thread goes on
    "tma",  # the same by the copy engine, a whole tile at once
    "load",  # global memory to registers
    "local",  # numbers that did not fit the registers, to memory or back
    "exp2",
    "special",  # the special function unit otherwise: reciprocals, logarithms, tanh
    "wait",  # for all but so many groups of `wgmma`; read from SASS alone
    "other",
]

PRODUCTS: tuple[Kind, ...] = ("tcgen05", "wgmma", "mma")

# What a name begins with, and its kind; the first that fits decides.
_SASS: dict[str, Kind] = {
    r"UTC[A-Z]?MMA": "tcgen05",
    r"[HQI]GMMA": "wgmma",
    r"[HQID]MMA": "mma",
    r"LDGSTS": "cp.async",
    r"UTMALDG": "tma",
    r"LDG(\.|$)": "load",
    r"(LDL|STL)(\.|$)": "local",
    r"MUFU\.EX2": "exp2",
    r"MUFU": "special",
    r"WARPGROUP\.DEPBAR": "wait",
}
_PTX: dict[str, Kind] = {
    r"tcgen05\.mma": "tcgen05",
    r"wgmma\.mma_async": "wgmma",
    r"mma\.sync": "mma",
    r"cp\.async\.bulk\.tensor.*\.shared\S*\.global": "tma",
    r"cp\.async\.c[ag]\.": "cp.async",
    r"ld\.(global|relaxed|volatile\.global)": "load",
    r"(ld|st)\.local": "local",
    r"ex2\.": "exp2",
    r"(rcp|lg2|tanh|sqrt|rsqrt|sin|cos)\.approx": "special",
}
_AMDGCN: dict[str, Kind] = {
    r"v_(s?mfma|s?wmma|smfmac)": "mma",
    r"(global|buffer)_load_lds": "cp.async",
    r"(global|buffer|flat)_load": "load",
    r"scratch_(load|store)": "local",
    r"v_exp_f": "exp2",
    r"v_(rcp|log|sqrt|rsq|sin|cos)_f": "special",
}


@dataclass(frozen=True)
class Instruction:
    """One instruction, the place where it stands, and the place that it branches to, if it does."""

    at: int
    name: str
    operands: str
    kind: Kind
    goal: int | None = None


@dataclass(frozen=True)
class Code:
    """Instructions that stand beside each other."""

    instructions: tuple[Instruction, ...]

    def count(self, kind: Kind) -> int:
        return sum(each.kind == kind for each in self.instructions)

    @property
    def size(self) -> int:
        return len(self.instructions)


def read_instructions(text: str, language: Language) -> Code:
    """Every instruction of a text."""
    match language:
        case "SASS":
            return Code(tuple(_read_sass(text)))
        case "PTX":
            return Code(tuple(_read_labelled(_ptx_lines(text), _PTX, r"bra\b")))
        case "AMDGCN":
            return Code(tuple(_read_labelled(_amdgcn_lines(text), _AMDGCN, r"s_c?branch")))
        case _:
            raise CompilerBug(f"no language of machine code: {language!r}")


def find_loops(code: Code) -> list[Code]:
    """The loops over tiles: the innermost of those with matrix products, or of all loops where the code has none.

    A wait that stands behind all else branches back to the middle of its loop. From there to that branch is no loop:
    the end of a shorter one lies within, though not always its beginning.
    """
    ends = {
        (each.goal, each.at) for each in code.instructions if each.goal is not None and each.goal < each.at
    }
    loops = {
        (first, last): Code(tuple(each for each in code.instructions if first <= each.at <= last))
        for first, last in sorted(ends)
    }
    if _has_products(code):
        loops = {place: loop for place, loop in loops.items() if _has_products(loop)}
    return [
        loop
        for (first, last), loop in loops.items()
        if not any(first < b <= last and b - a < last - first for a, b in loops)
    ]


def _has_products(code: Code) -> bool:
    return any(code.count(kind) for kind in PRODUCTS)


def find_overlap(loop: Code) -> float | None:
    """The share of a loop's exp2 that stand where a matrix product is under way; None where it has not both.

    A group of products is under way from its first `wgmma` to the wait that leaves fewer groups than would include it.
    The loop is walked twice, as what one round starts the next may wait for. A `mma` keeps its warp waiting. In PTX
    nothing is under way yet: there the assembler has still to move instructions between a product and its wait.
    """
    if not (loop.count("wgmma") and loop.count("exp2") and loop.count("wait")):
        return None
    under_way, is_open, beside = 0, False, 0
    for _ in range(2):
        beside = 0
        for each in loop.instructions:
            match each.kind:
                case "wgmma":
                    under_way += not is_open
                    is_open = "gsb" not in each.operands  # what the last product of a group signals
                case "wait":
                    under_way = min(under_way, _left_over(each))
                case "exp2":
                    beside += under_way > 0
                case _:
                    pass
    return beside / loop.count("exp2")


def _left_over(wait: Instruction) -> int:
    """How many groups a wait leaves under way, as in `gsb0, 0x1`."""
    return int(wait.operands.split(",")[1], 0)


# ---- the languages ---------------------------------------------------------------------------------


def _kind(name: str, kinds: dict[str, Kind]) -> Kind:
    return next((kind for beginning, kind in kinds.items() if re.match(beginning, name)), "other")


_SASS_LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*([^;]*);", re.MULTILINE)


def _read_sass(text: str) -> Iterator[Instruction]:
    for at, name, operands in _SASS_LINE.findall(text):
        goal = re.search(r"0x([0-9a-f]+)", operands) if name.startswith("BRA") else None
        place = int(goal[1], 16) if goal else None
        yield Instruction(int(at, 16), name, operands.strip(), _kind(name, _SASS), place)


# A label alone, or a name and operands.
_Line = str | tuple[str, str]


def _read_labelled(lines: Iterable[_Line], kinds: dict[str, Kind], branch: str) -> Iterator[Instruction]:
    """Instructions whose branches go to labels; their place is their number."""
    items: Sequence[_Line] = list(lines)
    labels: dict[str, int] = {}
    number = 0
    for item in items:
        if isinstance(item, str):
            labels[item] = number
        else:
            number += 1
    instructions = (item for item in items if not isinstance(item, str))
    for at, (name, operands) in enumerate(instructions):
        goal = labels.get(operands.strip()) if re.match(branch, name) else None
        yield Instruction(at, name, operands.strip(), _kind(name, kinds), goal)


def _ptx_lines(text: str) -> Iterator[_Line]:
    for line in re.sub(r"//.*", "", text).splitlines():
        if label := re.fullmatch(r"\s*(\$?\w+):\s*", line):
            yield label[1]
        elif not line.lstrip().startswith("."):
            for part in line.split(";"):
                found = re.fullmatch(r"[\s{]*(?:@!?%?\w+\s+)?([a-z][\w.:]*)(?:\s+(.*))?", part.rstrip())
                if found:
                    yield found[1], found[2] or ""


def _amdgcn_lines(text: str) -> Iterator[_Line]:
    for line in re.sub(r"(;|//).*", "", text).splitlines():
        if label := re.fullmatch(r"([.\w$]+):\s*", line):
            yield label[1]
        elif found := re.fullmatch(r"\s+([a-z]\w*)(?:\s+(.*))?", line.rstrip()):
            yield found[1], found[2] or ""
