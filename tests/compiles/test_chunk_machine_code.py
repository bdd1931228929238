"""Machine code of the kernels of chunked linear attention, and what Triton's versions make wrongly of such kernels.

On Hopper, Triton 3.4 to 3.7.0 store the transpose of a product wrongly (fla-org/flash-linear-attention#640); 3.7.1
reads outside of shared memory where a block of features is 32 wide (triton#11366); and ptxas before 13.3 may use
registers of a product again that is waited for in a later round of its loop (triton#9433). These kernels have none of
the three, so no version has to be refused.
"""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
from triton.runtime.jit import JITFunction
from turns import in_turn

from attnc.inspect.build import build
from attnc.inspect.figures import Figures, read_figures
from attnc.inspect.launches import Launch
from attnc.inspect.targets import SM_80, SM_90, Target
from attnc.run.loader import load_module

pytestmark = pytest.mark.compiles


def launches(monkeypatch: pytest.MonkeyPatch, width: int, gates: str, full: bool) -> list[Launch]:
    """Of a call in bfloat16: `full` has documents and sums."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "support"))
    from chunked_calls import Call, by_kernels, module_text

    found: list[Launch] = []

    def note(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        found.append(Launch(kernel, args, options))

    monkeypatch.setattr(JITFunction, "run", note)
    call = Call(
        N=256, M=256, F=width, DV=width, H=4, HG=2, gates=gates, dtypes=(torch.bfloat16,) * 3,
        documents=full, sums=full,
    )  # fmt: skip
    by_kernels(call, load_module("chunked", module_text()))
    return found


def built(monkeypatch: pytest.MonkeyPatch, launch: Launch, target: Target) -> tuple[Figures, str]:
    """Its figures, and its TTGIR."""
    kept: list[str] = []

    def keep(*args: Any, **options: Any) -> Any:
        kernel = compile_(*args, **options)
        kept.append(kernel.asm["ttgir"])
        return kernel

    compile_ = triton.compile
    with monkeypatch.context() as patch:
        patch.setattr(triton, "compile", keep)
        figures = read_figures(build(launch, target))
    return figures, kept[-1]


PRODUCT = re.compile(r"(%\S+) = ttng\.warp_group_dot (.*?) : (\S+<.*?) \* (\S+<.*?) -> (\S+<.*?)(?: loc|$)")


def find_hazards(ttgir: str) -> list[str]:
    """Lines of which some version of Triton or its assembler makes wrong code for Hopper."""
    lines = [line.strip() for line in ttgir.splitlines()]
    found = [line for line in lines if re.search(r"\btt\.trans\b", line)]
    for n, line in enumerate(lines):
        if product := PRODUCT.search(line):
            name, said, a, b, _ = product.groups()
            sizes = [
                int(size) for shape in re.findall(r"<([\dx]+)x[a-z]", a + b) for size in shape.split("x")
            ]
            if min(sizes) < 64:
                found.append(line)
            if a.startswith("tensor") and "isAsync = true" in said and not _is_awaited(name, lines[n + 1 :]):
                found.append(line)
    return found


def _is_awaited(name: str, later: list[str]) -> bool:
    """Is a product waited for before its loop begins anew?"""
    for line in later:
        if line.startswith("scf.yield"):
            return False
        if "warp_group_dot_wait" in line and "pendings = 0" in line:
            return name in line.split("{")[0]
    return False


KINDS = [(gates, full) for gates in ("none", "number", "channels") for full in (False, True)]
OF_16_ROWS = ("channel_weights", "channel_pairs")  # too few for wgmma
OF_PAIRS = ("pair_outputs", "pair_gradients", "pair_steps")  # which multiply no matrices


@pytest.mark.parametrize(("kind", "width", "target"), in_turn(product(KINDS, (64, 128), (SM_90, SM_80))))
def test_machine_code(
    monkeypatch: pytest.MonkeyPatch, kind: tuple[str, bool], width: int, target: Target
) -> None:
    """No spills; products by the matrix unit; nothing that Hopper gets wrong."""
    gates, full = kind
    for launch in launches(monkeypatch, width, gates, full):
        figures, ttgir = built(monkeypatch, launch, target)
        assert (launch.name, figures.spilled, figures.serialized) == (launch.name, 0, False)
        assert figures.shared <= target.shared_memory
        has_products = launch.name not in OF_PAIRS
        has_wgmma = has_products and target is SM_90 and launch.name not in OF_16_ROWS
        has_mma = has_products and not has_wgmma
        assert (figures.whole.wgmma > 0, figures.whole.mma > 0) == (has_wgmma, has_mma), launch.name
        assert find_hazards(ttgir) == [], launch.name


HAZARDS = """
%8 = tt.trans %7 {order = array<i32: 1, 0>} : tensor<64x64xbf16, #mma> -> tensor<64x64xbf16, #linear> loc(#1)
%1 = ttng.warp_group_dot %f, %g, %2 : !ttg.memdesc<64x32xbf16, #s, #smem> * !ttg.memdesc<32x64xbf16, #s, #smem> -> tensor<64x64xf32, #mma> loc(#1)
%3 = ttng.warp_group_dot %f, %g, %2 {isAsync = true} : tensor<64x64xbf16, #d> * !ttg.memdesc<64x64xbf16, #s, #smem> -> tensor<64x64xf32, #mma> loc(#1)
scf.yield %3 : tensor<64x64xf32, #mma>
""".strip()  # noqa: E501
HARMLESS = """
%8 = ttg.memdesc_trans %7 {order = array<i32: 1, 0>} : !ttg.memdesc<64x64xbf16, #s, #smem>
%3 = ttng.warp_group_dot %f, %g, %2 {isAsync = true} : tensor<64x64xbf16, #d> * !ttg.memdesc<64x64xbf16, #s, #smem> -> tensor<64x64xf32, #mma> loc(#1)
%4 = ttng.warp_group_dot_wait %3 {pendings = 0 : i32} : tensor<64x64xf32, #mma> loc(#1)
scf.yield %4 : tensor<64x64xf32, #mma>
""".strip()  # noqa: E501


def test_each_hazard_is_seen() -> None:
    assert find_hazards(HAZARDS) == HAZARDS.splitlines()[:3]
    assert find_hazards(HARMLESS) == []
