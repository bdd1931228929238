"""Why a kernel does not build, found among all that Triton and its tools say."""

from __future__ import annotations

import pytest

from attnc.inspect.build import find_reason

PASS = """<unknown>:0: error: shared-memory element type bit width must be a multiple of 8; got 1
#blocked = #ttg.blocked<{sizePerThread = [1, 1], threadsPerWarp = [64, 1], warpsPerCTA = [4, 1], order = [1, 0]}>
module attributes {"ttg.num-ctas" = 1 : i32} {
}
tree_decoding.py:227:1: error: Failures have been detected while processing an MLIR pass pipeline
RuntimeError: PassManager::run failed
"""
FRONT_END = """CompilationError: at 29:4:
    for t in range(full_hi, live_hi):
    ^
AssertionError('Loop-carried variable acc has initial type <[64, 128], fp32> but is re-assigned to <[128, 64], fp32>')
"""
ASSEMBLER = """PTXASError: PTXAS error: Internal Triton PTX codegen error
`ptxas` stderr:
ptxas /tmp/k.ptx, line 512; error   : Unexpected instruction types specified for 'mma'
ptxas fatal   : Ptx assembly aborted due to errors

Repro command: ptxas -lineinfo -v --gpu-name=sm_90a /tmp/k.ptx -o /tmp/k.ptx.o
"""
NO_REGISTERS = """PTXASError: PTXAS error: Internal Triton PTX codegen error
`ptxas` stderr:
ptxas fatal   : (C7600) Register allocation failed with register count of '32'.

Repro command: ptxas -lineinfo -v --gpu-name=sm_90a /tmp/k.ptx -o /tmp/k.ptx.o
"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (PASS, "shared-memory element type bit width must be a multiple of 8; got 1"),
        (FRONT_END, FRONT_END.splitlines()[-1]),
        (ASSEMBLER, "Unexpected instruction types specified for 'mma'"),
        (NO_REGISTERS, "(C7600) Register allocation failed with register count of '32'."),
        ("\nAssertionError: ", "AssertionError:"),
    ],
)
def test_reason(said: str, reason: str) -> None:
    assert find_reason(said) == reason
