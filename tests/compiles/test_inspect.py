"""`attnc inspect` on examples: the figures are those of the golden files, and what does not build is said.

The figures change with Triton, so every version has golden files of its own.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import triton
from compilations import EXAMPLES, MEASURED
from emitted import report

from attnc.cli import main
from attnc.inspect import build, remember

pytestmark = pytest.mark.compiles
Shell = pytest.CaptureFixture[str]


def run(capsys: Shell, *arguments: str) -> tuple[int, str, str]:
    code = main(["inspect", *arguments])
    out, err = capsys.readouterr()
    return code, out, err.removeprefix("building\n")


@pytest.mark.parametrize("name", MEASURED)
def test_figures(name: str, golden: Callable[[str, str], None], capsys: Shell) -> None:
    """Whether they all hold is a figure too."""
    code, out, err = run(capsys, str(EXAMPLES / f"{name}.attn"), "--head-dim", "64", "--json")
    assert (bool(code), err) == (not json.loads(out)["holds"], "")
    golden(f"machine_code/triton-{triton.__version__}/{name}.json", out)


def test_a_limit_that_does_not_hold_is_exit_code_1(tmp_path: Path, capsys: Shell) -> None:
    """A long row of a table is searched in a loop, which keeps Triton from copying ahead in the loop around it."""
    spec = tmp_path / "long_rows.attn"
    bigbird = (EXAMPLES / "bigbird.attn").read_text()
    spec.write_text(bigbird.replace("attention bigbird", "attention long_rows").replace(", 3]", ", 40]"))
    code, out, _ = run(capsys, str(spec), "--head-dim", "64")
    assert code == 1
    assert "FAIL: backward_keys: the edge loop copies nothing asynchronously" in out
    assert out.endswith(f"long_rows: 4 kernels, {out.count('FAIL: ')} FAIL\n")


@pytest.mark.skipif(triton.__version__ == "3.6.0", reason="that version builds it")
def test_a_kernel_that_does_not_build(capsys: Shell) -> None:
    code, out, err = run(capsys, str(EXAMPLES / "tree_decoding.attn"), "--arch", "gfx942", "--head-dim", "64")
    assert (code, out) == (1, "")
    assert err == (
        "error[does-not-build]: `backward_keys` does not build for gfx942 with tiles of 32 queries and 32 keys\n"
        f"= note: Triton {triton.__version__}: shared-memory element type bit width must be a multiple of 8; got 1\n"
    )


def test_kernels_are_read_one_at_a_time() -> None:
    """CPython 3.11.7 cannot read two beside each other: here, each collection of garbage lets other threads go on."""

    def let_others_go_on(phase: str, info: dict[str, int]) -> None:
        time.sleep(0)

    thresholds = gc.get_threshold()
    gc.callbacks.append(let_others_go_on)
    gc.set_threshold(20)
    try:
        assert report("alibi", d=64).failures == ()
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(let_others_go_on)


def test_numbers_of_a_call(tmp_path: Path, capsys: Shell) -> None:
    """Narrower values take less shared memory."""
    causal = str(EXAMPLES / "causal.attn")
    shared = []
    for more in ((), ("--at", "DV=16")):
        _, out, _ = run(capsys, causal, "--head-dim", "64", "--arch", "sm_80", "--json", *more)
        shared.append(json.loads(out)["kernels"][0]["shared"])
    assert shared[1] < shared[0]


def test_without_a_disassembler_ptx_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The assembler still says registers and spills, and each product is one of the machine's."""
    for room in (build, remember):
        monkeypatch.setattr(room, "find_disassembler", lambda: None)
    ptx = report("causal", d=64)
    monkeypatch.undo()
    sass = report("causal", d=64)
    assert {kernel.language for kernel in ptx.kernels} == {"PTX"}
    assert ptx.verdicts == ()
    for a, b in zip(ptx.kernels, sass.kernels, strict=True):
        assert (a.registers, a.spilled, a.shared) == (b.registers, b.spilled, b.shared)
        assert [(loop.name, loop.wgmma, loop.cp_async, loop.exp2) for loop in a.loops] == [
            (loop.name, loop.wgmma, loop.cp_async, loop.exp2) for loop in b.loops
        ]
