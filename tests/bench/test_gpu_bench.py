"""The benchmark for GPUs runs, on a CPU at tiny sizes; it keeps to its time, and says what its figures mean."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from attnc.bench.call import make_call
from attnc.bench.contenders import Flex, LeftOut
from attnc.bench.exact import choose_parts, find_errors
from attnc.bench.flex import write_functions
from attnc.bench.report import Row
from attnc.compiler import Compilation
from attnc.ir.walk import axes_of
from attnc.run.interpreter import interpret
from attnc.run.loader import load_module
from attnc.source import Source

BENCH = Path(__file__).parent.parent.parent / "bench"
sys.path.insert(0, str(BENCH))
gpu, cases, report = map(importlib.import_module, ("gpu", "gpu_cases", "gpu_report"))
linear = importlib.import_module("gpu_linear")
FEW = ["causal D128 8k", "documents", "retention", "decode", "sinks"]


def dry_run(path: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    command = [
        sys.executable,
        str(BENCH / "gpu.py"),
        "--dry",
        "--rounds",
        "1",
        "--output",
        str(path),
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done, json.loads(path.read_text())


def check(done: subprocess.CompletedProcess[str], saved: dict[str, Any]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert saved["no_time_for"] == [] and saved["versions"].keys() >= {"attnc", "torch", "cuda"}
    for case in saved["cases"]:
        assert case["holds"] and case["problem"] == "", case
        wanted = ["out"] if case["case"].startswith(("decode", "last")) else ["out", "dq", "dk", "dv"]
        assert list(case["against_float64"]) == wanted
        directions = {row["direction"] for row in case["rows"] if row["contender"] == "attnc"}
        assert directions == ({"forward"} if wanted == ["out"] else {"forward", "backward"})
        assert all(row["agrees"] and min(row["rounds"]) > 0 for row in case["rows"])


def test_a_dry_run(tmp_path: Path) -> None:
    done, saved = dry_run(tmp_path / "gpu.json", "--only", *FEW)
    check(done, saved)
    assert [case["case"].split()[0] for case in saved["cases"]] == [name.split()[0] for name in FEW]
    assert {row["contender"] for row in saved["cases"][0]["rows"]} == {"attnc", "sdpa"}
    table = (tmp_path / "gpu.txt").read_text()
    assert done.stdout.splitlines()[-1] == f"saved in {tmp_path / 'gpu.json'} and {tmp_path / 'gpu.txt'}"
    assert "left out: sdpa, both: its normalization is more than softmax" in table
    assert "left out: fla, both: flash-linear-attention needs a GPU" in table


@pytest.mark.slow
def test_all_cases_dry(tmp_path: Path) -> None:
    done, saved = dry_run(tmp_path / "gpu.json")
    check(done, saved)
    assert [case["case"] for case in saved["cases"]] == [case.name for case in cases.CASES]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["causal 8:1 D128 8k", "documents D128 16k", "sinks 128 8:1 D64 8k", "alibi D128 8k"]
)
def test_flex_traces_and_differentiates(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, but for the code that comes out in the end; a CPU has no backward pass otherwise."""
    case = next(cases.make_small(case) for case in cases.CASES if case.name == name)
    compilation = Compilation(Source("<string>", case.spec))
    call = make_call(
        compilation.attention, compilation.facts, torch.device("cpu"), torch.float32, case.values
    )
    text = write_functions(compilation.attention, compilation.facts.weights, False)
    compiled = torch.compile
    monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *_: None)
    monkeypatch.setattr("torch.compile", lambda f, **options: compiled(f, backend="aot_eager", **options))
    torch.compiler.reset()
    flex = Flex(call, load_module("flex", text).bind, axes_of(compilation.attention.mask))
    for attend in (flex.attend, flex.attend_anew):
        errors = find_errors(compilation.attention, attend, call, choose_parts(call), True)
        assert max(errors.values()) < 1e-5


def test_what_there_is_no_time_for_is_said(tmp_path: Path) -> None:
    done, saved = dry_run(tmp_path / "gpu.json", "--seconds", "0", "--only", "causal")
    assert done.returncode == 0 and saved["cases"] == []
    assert saved["no_time_for"][0] == "causal D128 8k"
    assert "no time for: causal D128 8k" in done.stdout


def test_a_step_starts_where_the_longest_before_would_fit() -> None:
    now = [0.0]
    budget = gpu.Budget(100.0, lambda: now[0])
    assert budget.has_room
    budget.took(30.0)
    now[0] = 63.0
    assert budget.has_room
    now[0] = 65.0
    assert not budget.has_room


def test_who_takes_too_long_is_interrupted() -> None:
    with pytest.raises(TimeoutError), gpu.Budget(0.2).limit():
        time.sleep(3600)


def test_a_case_that_fails_ends_no_other(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("CUDA error: misaligned address\nand more")

    monkeypatch.setattr(gpu, "find_errors", fail)
    assert gpu.main(["--dry", "--only", "decode", "last"]) == 1
    out = capsys.readouterr().out
    assert out.count("FAIL: RuntimeError: CUDA error: misaligned address\n") == 2


def test_sizes_of_a_dry_run_are_small() -> None:
    for case in map(cases.make_small, cases.CASES):
        assert max(case.given.values()) <= 96
        assert case.given["H"] % case.given["HKV"] == 0
    grouped = [case.name for case in cases.CASES if case.given["H"] != case.given["HKV"]]
    assert grouped == [case.name for case in cases.CASES if "8:1" in case.name]


# ---- flash-linear-attention ------------------------------------------------------------------------


def recurrence(q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float) -> tuple[Tensor, None]:
    """What its operators say that they compute, token by token: [B, N, H, D], and log gates that fit k."""
    state, rows = q.new_zeros(*q.shape[::2], k.shape[3], v.shape[3]), []
    for t in range(q.shape[1]):
        state = state * g[:, t].exp().unsqueeze(3) + k[:, t].unsqueeze(3) * v[:, t].unsqueeze(2)
        rows.append(scale * (q[:, t].unsqueeze(2) @ state).squeeze(2))
    return torch.stack(rows, 1), None


def gated(q: Tensor, k: Tensor, v: Tensor, g: Tensor | None = None, g_gamma: Tensor | None = None) -> Any:
    steps = g_gamma.expand(q.shape[:3]) if g is None and g_gamma is not None else g
    assert steps is not None
    return recurrence(q, k, v, steps if steps.ndim == 4 else steps.unsqueeze(3), q.shape[3] ** -0.5)


def normalized(q: Tensor, k: Tensor, v: Tensor) -> Any:
    none = torch.zeros_like(k)
    return recurrence(q, k, v, none, 1.0)[0] / recurrence(q, k, torch.ones_like(v), none, 1.0)[0], None


@pytest.mark.parametrize("case", [case for case in cases.CASES if case.linear], ids=lambda case: case.linear)
def test_linear_attention_of_others_is_the_same_call(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    small = cases.make_small(case)
    compilation = Compilation(Source("<string>", small.spec))
    device = torch.device("cpu")
    call = make_call(compilation.attention, compilation.facts, device, torch.float64, small.values)
    ops = {"simple_gla": {"chunk_simple_gla": gated}, "gla": {"chunk_gla": gated}}
    ops["linear_attn"] = {"chunk_linear_attn": normalized}
    for name in ("fla", "fla.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, functions in ops.items():
        module = ModuleType(f"fla.ops.{name}")
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    theirs = linear.MAKE[small.linear](call)
    ours = interpret(compilation.attention, call.q, call.k, call.v, call.arguments)
    torch.testing.assert_close(theirs(call.q, call.k, call.v), ours, rtol=1e-9, atol=1e-9)


def test_linear_attention_of_others_may_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class OfGPU:
        device = torch.device("cuda")

    monkeypatch.setitem(sys.modules, "fla", None)
    found = linear.find_linear("linear_attn", OfGPU())
    assert found.why.startswith("ModuleNotFoundError: ")


# ---- what its figures mean -------------------------------------------------------------------------


def a_result(*rows: Row) -> Any:
    """Half of all pairs of 1000 queries and keys, 16 heads, D and DV of 100."""
    work = report.Work(16 * 500_000.0, 16 * 600_000.0, 2 * 10**9, (100, 100))
    found = report.Result(cases.CASES[0], {}, work, {"out": 0.003, "dq": 0.02}, list(rows), seconds=12.4)
    found.left_out.append(LeftOut("flex", "backward", "ValueError: no"))
    return found


ROWS = (
    Row("forward", "attnc", 0.0, 0.06, (0.5, 2.0, 1.0)),
    Row("forward", "sdpa", 0.001, 0.06, (2.5,)),
    Row("forward", "flex", 0.5, 0.06),
    Row("backward", "attnc", 0.0, 0.06, (4.0,)),
)


def test_rates() -> None:
    """Two operations for each of 2 products of 100 numbers, for 8 million pairs, are 3.2e9; backward 2.5 times that."""
    result = a_result(*ROWS)
    assert report.figures(result, ROWS[0]) == {
        "ratio": 1.0, "tflops": pytest.approx(3.2), "tile_tflops": pytest.approx(3.84),
        "read_tb_s": pytest.approx(2.0),
    }  # fmt: skip
    assert report.figures(result, ROWS[1])["ratio"] == 2.5
    assert report.figures(result, ROWS[2])["tflops"] is None
    assert report.figures(result, ROWS[3])["tflops"] == pytest.approx(2.0)


def test_the_lines_of_a_case() -> None:
    result = a_result(*ROWS)
    assert not result.holds
    assert (
        "\n".join(report.show(result))
        == """\
causal D128 8k  (12 s; against float64: out 3e-03, dq 2e-02)
    FAIL: dq differs from float64 by 2e-02 of its norm (limit 1e-02)
    forward   attnc            1.00 ms    1.00x       3 TFLOP/s       4 by tiles     2.00 TB/s
    forward   sdpa             2.50 ms    2.50x       1 TFLOP/s       2 by tiles     0.80 TB/s
    forward   flex         FAIL: differs from attnc by 5e-01 of the largest number, and is not timed
    backward  attnc            4.00 ms    1.00x       2 TFLOP/s       2 by tiles     0.50 TB/s
    left out: flex, backward: ValueError: no"""
    )
