"""Contenders are compared before they are timed, take turns, and are reported in one layout."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from compilations import compiled
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnc.bench.call import make_call
from attnc.bench.compare import find_difference
from attnc.bench.contenders import Contender, LeftOut, find_contenders
from attnc.bench.figure import draw_report
from attnc.bench.machine import name_device
from attnc.bench.measure import Measurement, bench
from attnc.bench.report import Report, Row, say_milliseconds, say_numbers
from attnc.bench.timing import take_turns
from attnc.cli import main
from attnc.compiler import Compilation
from attnc.source import Source

CAUSAL = "attention causal():\n    mask j <= i\n"
SUMS = "attention sums(window: int = 5):\n    mask j <= i and i - j < window\n    normalize sigmoid(s)\n"
TEMPERED = "attention tempered(t: float[H]):\n    score dot(q, k) * t[h]\n"
CPU = torch.device("cpu")
Shell = pytest.CaptureFixture[str]


def a_clock() -> Callable[[Callable[[], Any]], float]:
    """Each call takes a millisecond longer than the one before."""
    ticks = iter(range(1, 1000))

    def clock(call: Callable[[], Any]) -> float:
        call()
        return float(next(ticks))

    return clock


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return scaled_dot_product_attention(q, k, v, is_causal=True)


def full(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return scaled_dot_product_attention(q, k, v)


def other_gradient(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return causal(q, k.detach() + 0 * k, v)


def broken(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    raise NotImplementedError("not for these heads\nand much more")


# ---- turns -----------------------------------------------------------------------------------------


def test_calls_take_turns_and_the_first_round_is_not_counted() -> None:
    seen: list[str] = []

    def ready(name: str) -> Callable[[], Callable[[], Any]]:
        def make() -> Callable[[], Any]:
            seen.append(f"make {name}")
            return lambda: seen.append(name)

        return make

    times = take_turns({"a": ready("a"), "b": ready("b")}, 2, a_clock())
    assert seen == ["make a", "a", "make b", "b"] * 3
    assert times == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


# ---- who computes something else -------------------------------------------------------------------


def measurement(*contenders: Contender) -> Measurement:
    compilation = compiled(CAUSAL)
    call = make_call(compilation.attention, compilation.facts, CPU, torch.float32, {"N": 24, "D": 8})
    return Measurement(call, contenders, [], a_clock(), 2)


def test_who_computes_something_else_is_not_timed() -> None:
    own = Contender("attnc", causal)
    rows = measurement(own, Contender("full", full), Contender("same", causal)).run("forward")
    assert [(row.contender, row.agrees, len(row.rounds)) for row in rows] == [
        ("attnc", True, 2), ("full", False, 0), ("same", True, 2),
    ]  # fmt: skip
    assert rows[1].difference > 0.1


def test_gradients_are_compared_too() -> None:
    run = measurement(Contender("attnc", causal), Contender("other", other_gradient))
    assert [row.agrees for row in run.run("forward")] == [True, True]
    assert [row.agrees for row in run.run("backward")] == [True, False]


def test_the_interpreter_judges_where_it_takes_part() -> None:
    run = measurement(Contender("attnc", full), Contender("reference", causal), Contender("same", causal))
    rows = run.run("forward")
    assert [row.contender for row in rows if not row.agrees] == ["attnc"]


def test_who_cannot_is_left_out_with_the_reason() -> None:
    run = measurement(
        Contender("attnc", causal), Contender("broken", broken), Contender("half", causal, "it has none")
    )
    assert [row.contender for row in run.run("forward")] == ["attnc", "half"]
    assert [row.contender for row in run.run("backward")] == ["attnc"]
    why = "NotImplementedError: not for these heads"
    assert run.left_out == [
        LeftOut("broken", "forward", why),
        LeftOut("broken", "backward", why),
        LeftOut("half", "backward", "it has none"),
    ]


def test_what_the_judge_refuses_is_the_callers_mistake(capsys: Shell, here: Path) -> None:
    Path("far.attn").write_text("attention far(x: float[N]):\n    score dot(q, k) * scale + x[j + 1]\n")
    code, out, err = run(capsys, "far.attn", "--at", "N=40", "--reference", "--direction", "forward")
    assert (code, out) == (1, "")
    assert "error[index-out-of-range]: `x` has size 40 along axis 0, and index 40 is read" in err


def test_what_goes_wrong_in_making_a_contender_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("integer modulo by zero")

    monkeypatch.setattr("attnc.bench.contenders._make_sdpa", fail)
    compilation = compiled(CAUSAL)
    call = make_call(compilation.attention, compilation.facts, CPU, torch.float32, {"N": 24})
    contenders, left_out = find_contenders(compilation, call, False, with_flex=False)
    assert [each.name for each in contenders] == ["attnc"]
    assert left_out == [LeftOut("sdpa", "both", "ZeroDivisionError: integer modulo by zero")]


def test_differences_are_shares_of_the_largest_number() -> None:
    expected = torch.tensor([1.0, -4.0])
    assert find_difference([expected], [expected]) == 0
    assert find_difference([expected + 1], [expected]) == 0.25
    assert find_difference([expected, expected + 2], [expected, expected]) == 0.5
    assert find_difference([expected * torch.nan], [expected]) == float("inf")
    assert find_difference([torch.ones(1)], [torch.zeros(1)]) == float("inf")


def test_a_real_run() -> None:
    """Also of progress: it ends where it says that it ends."""
    compilation = compiled(SUMS)
    given = {"N": 33, "M": 40, "H": 2, "HKV": 1, "D": 8, "window": 7}
    call = make_call(compilation.attention, compilation.facts, CPU, torch.float32, given)
    seen: list[tuple[int, int]] = []
    report = bench(
        compilation, call, rounds=2, with_reference=True, clock=a_clock(), progress=lambda *at: seen.append(at)
    )  # fmt: skip
    assert report.holds and report.judge == "reference"
    assert [(row.direction, row.contender) for row in report.rows] == [
        (direction, name) for direction in ("forward", "backward") for name in ("attnc", "reference")
    ]
    assert [each.contender for each in report.left_out] == ["sdpa", "flex"]
    assert seen == [(n, 16) for n in range(1, 17)]


# ---- the report ------------------------------------------------------------------------------------

REPORT = Report(
    name="alibi",
    device="A processor, 2 threads",
    versions={"attnc": "0.1", "torch": "2.13"},
    dtype="float32",
    numbers={"B": 1, "H": 8, "HKV": 2, "N": 128, "M": 128, "D": 64, "DV": 64, "window": 5, "on": True},
    made_up=(("slope", "numbers from 0.1 to 1"),),
    judge="attnc",
    rows=(
        Row("forward", "attnc", 0.0, 1e-4, (2.0, 1.0, 4.0)),
        Row("forward", "sdpa", 2e-7, 1e-4, (5.0, 30.0, 25.5)),
        Row("forward", "flex", float("inf"), 1e-4),
        Row("backward", "attnc", 0.0, 1e-4, (0.5, 0.4, 0.6)),
    ),
    left_out=(
        LeftOut("flex + mask", "both", "it has no mask"),
        LeftOut("sdpa", "backward", "ValueError: no"),
    ),
    rounds=3,
)


def test_the_table() -> None:
    assert (
        str(REPORT)
        == """\
alibi: float32, N = M = 128, B = 1, H = 8, HKV = 2, D = DV = 64, window = 5, on = true
A processor, 2 threads; attnc 0.1, torch 2.13
milliseconds, 3 rounds; values against those of attnc

                 median  fastest  slowest  to attnc's  difference
forward   attnc    2.00     1.00     4.00        1.00           -
          sdpa     25.5     5.00     30.0       12.75       2e-07
          flex        -        -        -           -         inf
backward  attnc   0.500    0.400    0.600        1.00           -

note: made up: `slope`, numbers from 0.1 to 1
FAIL: flex, forward: differs by inf of the largest number (limit 1e-04); it is not timed
left out: flex + mask: it has no mask
left out: sdpa, backward: ValueError: no"""
    )
    assert not REPORT.holds


def test_the_json() -> None:
    found = json.loads(REPORT.to_json())
    assert list(found) == [
        "name", "device", "versions", "dtype", "numbers", "made_up", "judge", "rows", "left_out", "rounds",
        "holds",
    ]  # fmt: skip
    assert found["made_up"] == {"slope": "numbers from 0.1 to 1"}
    assert found["rows"][1:3] == [
        {"direction": "forward", "contender": "sdpa", "difference": 2e-7, "limit": 1e-4,
         "rounds": [5.0, 30.0, 25.5], "agrees": True, "median": 25.5, "ratio": 12.75},
        {"direction": "forward", "contender": "flex", "difference": None, "limit": 1e-4,
         "rounds": [], "agrees": False, "median": None, "ratio": None},
    ]  # fmt: skip
    assert found["left_out"][0] == {"contender": "flex + mask", "direction": "both", "why": "it has no mask"}
    assert found["holds"] is False


def test_numbers_as_people_say_them() -> None:
    sizes = {"B": 2, "H": 8, "HKV": 8, "N": 1, "M": 9, "D": 64, "DV": 32}
    assert say_numbers(sizes) == "N = 1, M = 9, B = 2, H = HKV = 8, D = 64, DV = 32"
    assert [say_milliseconds(x) for x in (None, 0.1234, 1.234, 12.34, 123.4)] == [
        "-", "0.123", "1.23", "12.3", "123",
    ]  # fmt: skip


def test_the_picture_has_a_bar_for_every_median() -> None:
    figure = draw_report(REPORT)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "forward, milliseconds",
        "backward, milliseconds",
    ]
    labels = [[label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes]
    assert labels == [["attnc  2.00", "sdpa  25.5"], ["attnc  0.500"]]
    widths = [[bar.get_width() for bar in axes.patches] for axes in figure.axes]  # type: ignore[attr-defined]
    assert widths == [[2.0, 25.5], [0.5]]


# ---- the call --------------------------------------------------------------------------------------


def test_what_nobody_gave_is_made_up_and_said() -> None:
    compilation = Compilation(
        Source("<string>", "attention a(doc: sorted int[N], t: float[H]):\n"
               "    mask doc[i] == doc[j]\n    score dot(q, k) * t[h]\n")
    )  # fmt: skip
    call = make_call(compilation.attention, compilation.facts, CPU, torch.bfloat16, {"N": 100})
    assert call.made_up == (("doc", "documents"), ("t", "numbers from 0.1 to 1"))
    assert call.sizes == {"B": 1, "H": 8, "HKV": 8, "N": 100, "M": 100, "D": 64, "DV": 64}
    assert call.arguments["t"].dtype == torch.float32 and float(call.arguments["t"].min()) >= 0.1
    given = {"t": torch.ones(6, dtype=torch.float64), "D": 16}
    call = make_call(compilation.attention, compilation.facts, CPU, torch.float64, given)
    assert (call.sizes["H"], call.sizes["DV"], call.sizes["N"]) == (6, 16, 2048)
    assert call.arguments["t"].dtype == torch.float64


# ---- the command -----------------------------------------------------------------------------------


def run(capsys: Shell, *arguments: str) -> tuple[int, str, str]:
    code = main(["bench", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("causal", CAUSAL), ("sums", SUMS), ("tempered", TEMPERED)):
        Path(f"{name}.attn").write_text(text)
    return tmp_path


def test_what_a_person_sees(capsys: Shell, here: Path) -> None:
    sizes = [word for size in ("N=40", "H=2", "D=8", "window=3") for word in ("--at", size)]
    code, out, _ = run(
        capsys, "sums.attn", *sizes, "--rounds", "1", "--plot", "out.png", "--dtype", "float64"
    )
    assert code == 0
    lines = re.sub(r"\d+\.\d+", "#", out).splitlines()
    assert lines[0] == "sums: float64, N = M = 40, B = 1, H = HKV = 2, D = DV = 8, window = 3"
    assert lines[2] == "milliseconds, 1 round; values against those of attnc"
    assert [line.split()[0] for line in lines[5:7]] == ["forward", "backward"]
    assert lines[-2:] == [
        "left out: sdpa: its normalization is no softmax of the score",
        "left out: flex: its normalization is no softmax of the score",
    ]
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_gives_json(capsys: Shell, here: Path) -> None:
    code, out, _ = run(
        capsys, "sums.attn", "--at", "N=40", "--rounds", "2", "--json", "--direction", "backward", "--reference"
    )  # fmt: skip
    found = json.loads(out)
    assert (code, found["holds"], found["judge"]) == (0, True, "reference")
    assert [(row["direction"], row["contender"], len(row["rounds"])) for row in found["rows"]] == [
        ("backward", "attnc", 2),
        ("backward", "reference", 2),
    ]


def test_the_exit_code_tells_of_a_difference(
    capsys: Shell, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attnc.bench.contenders._make_flex", lambda *_: [Contender("flex", full)])
    code, out, _ = run(capsys, "causal.attn", "--at", "N=40", "--rounds", "1", "--direction", "forward")
    assert code == 1 and "FAIL: flex, forward: differs by" in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["causal.attn", "--at", "w=3"], "error[unknown-argument]: `causal` has no parameter `w`\n"),
        (["causal.attn", "--at", "N=0"], "error[wrong-size]: `N` needs 1 or more, got 0\n"),
        (["causal.attn", "--at", "N=10000000000"], "error[wrong-size]: `q`, `k` and `v` take "),
        (["causal.attn", "--at", "H=6", "--at", "HKV=4"], "error[wrong-heads]: "),
        (["causal.attn", "--plot", "x.txt"], "error[bad-option]: a plot cannot be written to `x.txt`\n"),
        (["tempered.attn", "--at", "t=3"], "error[wrong-type]: `t` is an array, a float[H], and no number\n"),
        (["tempered.attn", "--array", "t=1,x"], "error[wrong-type]: `t` needs a float, got `x`\n"),
        (["tempered.attn", "--array", "t=1,2", "--at", "H=4"], "error[wrong-shape]: `t` needs shape [H] = [4]"),
        (["missing.attn"], "error[unreadable-file]: cannot read `missing.attn`"),
    ],
)  # fmt: skip
def test_calls_that_mean_nothing(capsys: Shell, here: Path, arguments: list[str], text: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "") and err.startswith(text), err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(capsys: Shell, here: Path) -> None:
    assert run(capsys, "causal.attn", "--device", "cuda") == (
        1, "", "error[wrong-device]: there is no GPU here that torch can use\n"
    )  # fmt: skip


@pytest.mark.slow
def test_flex_attention_itself(capsys: Shell, here: Path) -> None:
    """Compiled, on a CPU, which needs g++."""
    code, out, _ = run(capsys, "causal.attn", "--at", "N=200", "--rounds", "1", "--json")
    found = json.loads(out)
    assert (code, found["holds"]) == (0, True)
    assert [row["contender"] for row in found["rows"]] == [
        "attnc", "sdpa", "flex", "flex + mask", "attnc", "sdpa",
    ]  # fmt: skip
    none = "FlexAttention has no backward pass on a CPU"
    assert found["left_out"] == [
        {"contender": name, "direction": "backward", "why": none} for name in ("flex", "flex + mask")
    ]


@pytest.mark.gpu
def test_on_a_gpu(capsys: Shell, here: Path) -> None:
    code, out, _ = run(capsys, "causal.attn", "--at", "N=512", "--rounds", "2", "--json")
    found = json.loads(out)
    assert (code, found["holds"], found["dtype"]) == (0, True, "bfloat16")
    names = {row["contender"] for row in found["rows"] if row["direction"] == "backward"}
    assert {"attnc", "sdpa", "sdpa flash", "flex"} <= names
    assert all(min(row["rounds"]) > 0 for row in found["rows"])


def test_a_busy_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (6.25, 1.0, 1.0))
    assert name_device(torch.device("cpu")).endswith(", at a load of 6.2 on 2 processors")
    monkeypatch.setattr(os, "getloadavg", lambda: (2.0, 9.0, 9.0))
    assert "load" not in name_device(torch.device("cpu"))
