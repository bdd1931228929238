"""`attnc verify`: it finds what is wrong, passes what is right, and its limits are those of rounding."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
import torch

import attnc
from attnc.cli import main
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.source import Source
from attnc.syntax.reading import read_source
from attnc.verify import BACKENDS, Report, verify
from attnc.verify import rounding as rounding_room
from attnc.verify.cases import Case, cover, plan_cases
from attnc.verify.inputs import is_square
from attnc.verify.measure import emitted, find_calls, measure, reference, run
from attnc.verify.precision import Precision, finite_part
from attnc.verify.replay import compute_rounded
from attnc.verify.report import Measurement, Quantity, from_json, to_json
from attnc.verify.rounding import RUNS, find_limits

EXAMPLES = Path(__file__).parent.parent / "examples"
WINDOW = """
attention window(w: int = 9, bias: float[H, N, M]):
    query l2(q)
    mask  j <= i and i - j < w
    score 4 * dot(q, k) * scale + bias[h, i, j]
"""
CENTERED = "attention centered():\n    mask j <= i\n    normalize exp(s) / sum(exp(2 * s))\n"
CASE = Case("cpu", "float64", 150, 140, 16, 24, 2, 1, 1, "transposed", 0.3, 2, numbers=(("w", 9),))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors on many threads, beside other tests, wait for each other more than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def of(text: str) -> Compilation:
    return Compilation(Source("spec.attn", text))


class Broken(Compilation):
    """A compilation whose module was spoiled: `pattern` in its text is replaced."""

    pattern, put = "", ""

    @property
    def module(self) -> str:  # type: ignore[override]
        text = Compilation(self.source, self.options).module
        changed, count = re.subn(self.pattern, self.put, text)
        assert count, self.pattern
        return changed


# One small mistake each, as a wrong compiler would make it, in the CPU path.
MISTAKES = {
    "one key too many": (r"visible = \(j <= i\)", "visible = (j <= i + 1)"),
    "one key too few": (r"i - j < w\)", "i - j < w - 1)"),
    "a scale that is a little off": (r"score = qk \+ bias_ij", "score = (qk + bias_ij) * (1 + 1e-7)"),
    "a forgotten delta": (r"dp\.sub_\(delta\)", "dp"),
    "a gradient of lse that is lost": (r"- dlse", "- 0 * dlse"),
    "half a gradient": (r"return dq, ", "return dq / 2, "),
    "a value of the next key": (
        r"p_narrow, v\[:, kv_heads, seen\]\.to\(narrow\)\)$",
        "p_narrow, v.roll(1, 2)[:, kv_heads, seen].to(narrow))",
    ),
    "a gradient with the wrong sign": (r"seen, ds_narrow", "seen, -ds_narrow"),
    "a tile that is skipped": (r"_join\(M, \(i_first - w \+ 1", "_join(M, (i_first"),
    "an exception": (r'"""Forward on the CPU', 'raise ValueError("no")\n    """'),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_mistakes_are_found(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern, put = MISTAKES[what]
    monkeypatch.setattr(Broken, "pattern", f"(?m){pattern}")
    monkeypatch.setattr(Broken, "put", put)
    broken = Broken(Source("spec.attn", WINDOW))
    assert broken.module  # where the pattern is not found, this fails, and what follows could not
    assert measure(of(WINDOW), CASE).holds
    assert not measure(broken, CASE).holds


def test_rounding_without_error_is_the_interpreter() -> None:
    """What is replayed with errors is, without them, what the interpreter computes."""
    exact = Precision(0.0, 0.0, 0.0, torch.Generator())
    for path in sorted(EXAMPLES.glob("*.attn")):
        compilation = Compilation(Source(path.name, path.read_text(encoding="utf-8")))
        try:
            _ = compilation.plan
        except AttncError:
            continue
        case = Case("cpu", "float64", 40, 40, 16, 24, 4, 2, 2, "sliced", 0.3, 1)
        found = next(find_calls(compilation, case), None)
        assert found is not None
        inputs, expected = found
        replay = compute_rounded(compilation.attention, inputs, exact)
        for name, x in expected.items():
            torch.testing.assert_close(finite_part(replay[name]), finite_part(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_limits_are_near_what_rounding_does(dtype: str) -> None:
    """A limit that nothing comes near would hide mistakes."""
    measurement = measure(of(WINDOW), Case("cpu", dtype, 129, 129, 64, 64, 4, 2, 1, variant=0))
    assert measurement.holds
    largest = {q.name: q.error / q.limit for q in measurement.quantities}
    assert all(share > 1 / 60 for share in largest.values()), largest


def test_two_kernels_may_see_a_jump_on_two_sides() -> None:
    """With one key, `count() * a - 1` is 0 but for rounding: `relu` of it may have a slope in one kernel alone.

    The slope of the score, and that of the sum of the row, are 3e4 then, and cancel only where both kernels see it.
    """
    lssar = Compilation(read_source(EXAMPLES / "lssar.attn"))
    case = Case("triton", "float32", 7, 1, 40, 24, 2, 2, 2, numbers=(("p", 1.5),))
    limits = find_limits(lssar.attention, *next(find_calls(lssar, case)), {})
    assert limits["k"] > 1e4 > 1 > limits["v"]


@pytest.mark.parametrize("normalize", ["none", "softmax"])
def test_sums_for_queries_and_for_keys_round_apart(normalize: str) -> None:
    """The gradient of a number of a token, read at query and key, is 0 for one pair but for two roundings of dp."""
    decay = of(
        "attention decay(A: float[B, H, N]):\n    score dot(q, k) * exp(A[b, h, i] - A[b, h, j])\n"
        f"    normalize {normalize}\n"
    )
    case = Case("triton", "float32", 1, 1, 40, 24, 3, 1, 2, "strided", 0.3, 1)
    inputs, expected = next(find_calls(decay, case))
    assert not expected["A"].any()
    q, k, v = inputs.tensors.values()
    dp, score = inputs.dout.norm(dim=-1) * v.norm(dim=-1), (q * k).sum(-1).abs()
    limits = find_limits(decay.attention, inputs, expected, {})
    assert limits["A"] > 2.0**-24 * float((dp * score).max())


def test_a_number_of_a_vector_has_its_dtype() -> None:
    """In bfloat16 0.27049 is 0.2695, which a vector may have: then `max` gives half of a gradient to each."""
    compilation = of("attention a():\n    value max(v, 0.27049)\n")
    case = Case("cpu", "bfloat16", 1, 1, 8, 8, 1, 1, 1)
    inputs, _ = next(find_calls(compilation, case))
    inputs.tensors["v"][..., 0] = 0.27049
    expected = reference(compilation, inputs)
    got = run(emitted(compilation, case), inputs)
    limits = find_limits(compilation.attention, inputs, expected, {})
    assert float((got["v"] - expected["v"]).abs().max()) <= limits["v"]
    assert not expected["v"][..., 0].any() and got["v"][..., 0].all()


def test_forward_and_backward_may_see_a_jump_on_two_sides() -> None:
    """`relu(x) ** 0.7` of what is 0 but for rounding: 0 in the sum that was saved, 1e-5 for dK/dV, 1e3 times it."""
    lssar = Compilation(read_source(EXAMPLES / "lssar.attn"))
    case = Case("triton", "float32", 127, 1, 96, 40, 1, 1, 1, numbers=(("p", 0.7),))
    limits = find_limits(lssar.attention, *next(find_calls(lssar, case)), {})
    assert limits["v"] > 1e4 > 100 > limits["out"]


def test_a_case_that_its_dtype_cannot_hold_is_measured_with_other_values() -> None:
    """Rounding alone makes 1e11 of dk with p = 0.7, and float16 ends at 65504."""
    lssar = Compilation(read_source(EXAMPLES / "lssar.attn"))
    case = Case("cpu", "float16", 127, 1, 96, 40, 1, 1, 1, "transposed", -0.2, 1)
    first, *_ = find_calls(lssar, case)
    limits = find_limits(lssar.attention, *first, {})
    measurement = measure(lssar, case)
    assert dict(first[0].case.numbers) == {"p": 0.7} and limits["k"] > 1e10
    assert measurement.holds and all(q.limit < 1e6 for q in measurement.quantities)


def test_limits_do_not_change_from_run_to_run() -> None:
    first, second = (measure(of(WINDOW), CASE) for _ in range(2))
    assert first == second


def test_a_replay_uses_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = rounding_room.compute_rounded

    def count(*arguments: object) -> object:
        seen.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rounding_room, "compute_rounded", count)
    assert measure(of(WINDOW), CASE).holds
    assert len(seen) == RUNS + 1  # and one without errors


# ---- the grid --------------------------------------------------------------------------------------


def test_every_two_values_meet() -> None:
    factors = {"a": (1, 2, 3), "b": "xyz", "c": (False, True), "d": range(4)}
    rows = list(cover(factors, 2, lambda row: True))
    for (m, xs), (n, ys) in combinations(factors.items(), 2):
        assert {(row[m], row[n]) for row in rows} == {(x, y) for x in xs for y in ys}
    assert len(rows) <= 16


def test_what_does_not_fit_together_does_not_meet() -> None:
    factors = {"a": (1, 2, 3), "b": (1, 2, 3)}
    rows = list(cover(factors, 2, lambda row: row.get("a", 1) * row.get("b", 1) < 6))
    assert {(row["a"], row["b"]) for row in rows} == {(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("square", [False, True])
def test_the_grid_has_every_value(backend: str, square: bool) -> None:
    cases = plan_cases(backend, square)  # type: ignore[arg-type]
    assert cases == plan_cases(backend, square)  # type: ignore[arg-type]
    assert {c.N for c in cases} == {1, 7, 64, 127, 129, 200}
    assert {c.D for c in cases} == {16, 40, 64, 72, 96, 128}
    assert {c.H // c.HKV for c in cases} >= {1, 3, 8}
    assert {c.B for c in cases} == {1, 2}
    assert len({c.layout for c in cases}) == 5
    assert any(c.N != c.M for c in cases) != square
    assert any(c.D != c.DV for c in cases)
    assert len(plan_cases(backend, square, quick=True)) <= 8 < len(cases)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "square"),
    [
        ("attention a(doc: int[B, N]):\n    mask doc[b, i] == doc[b, j]\n", True),
        ("attention a(bias: float[H, N, M]):\n    score bias[h, i, j]\n", False),
        ("attention a(u: float[H]):\n    output o + u[h] * v_i\n", True),
        ("attention a():\n    grid y: rows, x: cols\n    mask i.y == j.y\n", True),
        ("attention a(t: int[N, 3]):\n    mask j in t[i, :]\n", False),
        ("attention a(t: int[N, 3]):\n    mask i in t[j, :]\n", True),
    ],
)
def test_specs_that_need_as_many_keys_as_queries(text: str, square: bool) -> None:
    assert is_square(of(text).attention) == square


# ---- reports ---------------------------------------------------------------------------------------


def test_a_report() -> None:
    calls: list[tuple[int, int]] = []
    report = verify(
        of(WINDOW), ("cpu",), quick=True, progress=lambda done, all_, _: calls.append((done, all_))
    )
    assert report.holds and not report.failures
    assert calls == [(n + 1, len(report.measurements)) for n in range(len(report.measurements))]
    assert "all hold" in report.summary
    assert "d_bias" in {q.name for m in report.measurements for q in m.quantities}


def test_triton_is_measured_from_a_process_that_does_not_interpret() -> None:
    report = verify(attnc.compile(WINDOW), ("triton",), quick=True)
    assert report.holds, str(report)
    assert {m.case.dtype for m in report.measurements} == {"float32", "float16"}
    assert any("bfloat16" in note for note in report.notes)


def test_kernels_are_measured_in_numpy() -> None:
    """In this process, in which nothing imports triton for it; the whole grid has a share in Triton's interpreter."""
    report = verify(attnc.compile(WINDOW), quick=True)
    assert report.holds, str(report)
    kinds = [(m.case.backend, m.case.dtype) for m in report.measurements]
    assert set(kinds) >= {
        ("numpy", "float32"),
        ("numpy", "bfloat16"),
        ("numpy", "float16"),
        ("cpu", "float64"),
    }
    assert {backend for backend, _ in kinds} == {"cpu", "numpy"}
    assert "numpy: the kernels, run by attnc's own evaluator of their language" in report.notes


def test_a_spec_without_a_kernel() -> None:
    report = verify(of(CENTERED), quick=True)
    assert not report.holds and not report.measurements
    assert "has no kernel yet" in report.summary
    assert report.notes == ("the interpreter computed 6 of 6 calls, all finite",)


def test_measurements_survive_json() -> None:
    measurement = measure(of(WINDOW), CASE)
    assert from_json(json.loads(json.dumps(to_json(measurement)))) == measurement


def test_a_failure_is_one() -> None:
    bad = Measurement(CASE, (Quantity("out", 1.0, 1e-3), Quantity("lse", 0.0, 1e-3)))
    report = Report("a", (bad, Measurement(CASE, (Quantity("out", 0.0, 1.0),))))
    assert not report.holds and report.failures == (bad,)
    assert "1 FAIL" in report.summary and "1e0/1e-3!" in str(report)
    assert not Report("a", (Measurement(CASE, problem="it broke"),)).holds
    assert not Report("a", (Measurement(CASE, problem="nothing fits", is_skipped=True),)).holds
    assert not Report("a", ()).holds


# ---- the command -----------------------------------------------------------------------------------


def write(folder: Path, text: str) -> str:
    path = folder / "spec.attn"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", write(tmp_path, WINDOW), "--quick", "--backend", "cpu"]) == 0
    out = capsys.readouterr().out
    assert out.count("ok ") == 6 and "window: 6 cases, all hold" in out


def test_what_does_not_hold_is_printed_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Measurement(CASE, (Quantity("out", 1.0, 1e-3), Quantity("lse", 0.0, 1e-3)))
    monkeypatch.setattr("attnc.verify.measure.measure", lambda compilation, case: bad)
    assert main(["verify", write(tmp_path, WINDOW), "--quick", "--backend", "cpu"]) == 1
    said = capsys.readouterr()
    line = (
        "FAIL cpu float64 N=150 M=140 D=16/24 H=2/1 B=1 transposed scale=0.3 w=9: out 1e0/1e-3!, lse 0/1e-3\n"
    )
    assert said.err.count(line) == 6 and "6 FAIL" in said.out


def test_the_command_without_a_kernel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", write(tmp_path, CENTERED), "--quick"]) == 1
    assert "centered: nothing to compare: `centered` has no kernel yet" in capsys.readouterr().out


def test_the_command_with_a_mistake_in_the_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", write(tmp_path, "attention wrong():\n    mask j <= ii\n")]) == 1
    assert "error[unknown-name]" in capsys.readouterr().err
