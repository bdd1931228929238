"""Prints the figures of docs/machine-code.md: `python tests/compiles/report.py`.

Enters: nothing. Leaves: one table for each GPU, of every kernel of every example, made by the Triton that is installed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from unittest.mock import patch

import triton
from cross import BF16, GFX942, SM_80, SM_90, Code, compile_launch, find_launches
from emitted import NAMES, call_of, emit
from triton.backends.compiler import GPUTarget


def tables(names: list[str]) -> Iterator[str]:
    """The lines of all tables."""
    for title, target in (("sm_90", SM_90), ("sm_80", SM_80), ("gfx942", GFX942)):
        yield f"### {title}, bfloat16, Triton {triton.__version__}\n"
        yield "| example | kernel | D | tile | registers | spilled bytes | shared KiB | loops |"
        yield "|---|---|---|---|---|---|---|---|"
        for name in names:
            yield from _rows(name, target)
        yield ""


def _rows(name: str, target: GPUTarget) -> Iterator[str]:
    for d in (64, 128):
        for launch in find_launches(emit(name), BF16, d, target=target, **call_of(name)):
            if launch.name == "delta":
                continue
            code = compile_launch(launch, target)
            tile = [launch.options[key] for key in ("BLOCK_Q", "BLOCK_K", "num_warps", "num_stages")]
            cells = [name, code.name, d, "{} x {}, {} warps, {} stages".format(*tile), code.registers]
            cells += [code.spills, -(-code.shared // 1024), _loops(code)]
            yield "| " + " | ".join(map(str, cells)) + " |"


def _loops(code: Code) -> str:
    """Instructions of each loop, those on matrix units, and special functions (exp2, reciprocals) among them."""
    return "; ".join(
        f"{loop.size} ({loop.count('HGMMA', 'HMMA')} matrix, {loop.count('MUFU')} special)"
        for loop in code.loops
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache, patch.dict("os.environ", {"TRITON_CACHE_DIR": cache}):
        for line in tables(sys.argv[1:] or NAMES):
            print(line, flush=True)
