"""A wrong call gets the same words from the emitted module, from the function around it and from the interpreter."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import attnc
from attnc.errors import AttncError, Diagnostic
from attnc.run.function import AttentionFunction
from attnc.run.loader import load_module

SAMPLE = """
attention sample(doc: sorted int[B, N], bias: float[H, 2 * window + 1], flags: bool[M],
                 window: int = 4, cap: float = 50.0, on: bool = true):
    mask  doc[b, i] == doc[b, j] and j <= i and i - j < window and (flags[j] or on)
    score cap * tanh(dot(q, k) * scale / cap) + bias[h, clamp(i - j, 0, 2 * window)]
"""
WIDE = """
attention wide(w: int, x: float[N, w]):
    mask  j <= i
    score dot(q * x[i, :], k) * scale
"""
DOTTED = """
attention dotted(w: int, x: float[N, w]):
    mask  j <= i
    score dot(q, x[i, :]) + dot(q, k) * scale
"""
QUERIED = """
attention queried(w: int, x: float[N, w]):
    query 2.0 * x[i, :]
    mask  j <= i
"""
TURNED = """
attention turned():
    query rope(q, i, 10000.0)
    mask  j <= i
"""
OWN = """
attention own(u: float):
    mask   j <= i
    output o + u * v_i
"""
GRID = """
attention gridded(rows: int, cols: int):
    grid query(y: rows, x: cols) key(y: rows, x: cols + 1)
    mask abs(i.y - j.y) <= 1
"""
HALVES = """
attention halves(c: int, x: float[H, N // c]):
    mask  c == 0 or j <= i
    score dot(q, k) * scale + x[h, i // max(c, 1)]
"""
B, H, HKV, N, M, D = 2, 4, 2, 6, 6, 8


def tensor(*shape: int, dtype: torch.dtype = torch.float32, **more: Any) -> Tensor:
    return torch.zeros(shape, dtype=dtype, **more)


INPUTS = {"q": tensor(B, H, N, D), "k": tensor(B, HKV, M, D), "v": tensor(B, HKV, M, D)}
GOOD: dict[str, dict[str, Any]] = {
    SAMPLE: {
        "doc": tensor(B, N, dtype=torch.int64),
        "bias": tensor(H, 9),
        "flags": tensor(M, dtype=torch.bool),
    },
    WIDE: {"w": D, "x": tensor(N, D)},
    DOTTED: {"w": D, "x": tensor(N, D)},
    QUERIED: {"w": D, "x": tensor(N, D)},
    TURNED: {},
    OWN: {"u": 0.5},
    GRID: {"rows": 2, "cols": 3, "k": tensor(B, HKV, 8, D), "v": tensor(B, HKV, 8, D)},
    HALVES: {"c": 2, "x": tensor(H, N // 2)},
}
FALLING = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 3, 2, 2, 0, 0]])
LEARNED = torch.tensor(2.0, requires_grad=True)

# What the call is, what is wrong with it, the code of the diagnostic, and what the module alone raises.
CALLS: list[tuple[str, dict[str, Any], str, type[Exception]]] = [
    (SAMPLE, {"q": [1.0]}, "wrong-type", TypeError),
    (SAMPLE, {"k": None}, "wrong-type", TypeError),
    (SAMPLE, {"v": np.zeros((B, HKV, M, D))}, "wrong-type", TypeError),
    (SAMPLE, {"q": tensor(B, H, N)}, "wrong-rank", ValueError),
    (SAMPLE, {"k": tensor(B, HKV, M, D, 1)}, "wrong-rank", ValueError),
    (SAMPLE, {"v": tensor()}, "wrong-rank", ValueError),
    (SAMPLE, {"q": INPUTS["q"].int()}, "wrong-dtype", ValueError),
    (SAMPLE, {"k": INPUTS["k"].bool()}, "wrong-dtype", ValueError),
    (SAMPLE, {"k": INPUTS["k"].half()}, "wrong-dtype", ValueError),
    (SAMPLE, {"v": INPUTS["v"].double()}, "wrong-dtype", ValueError),
    (SAMPLE, {"v": INPUTS["v"].to("meta")}, "wrong-device", ValueError),
    (SAMPLE, {"k": tensor(B + 1, HKV, M, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"k": tensor(B, HKV, M, D + 1)}, "wrong-shape", ValueError),
    (SAMPLE, {"v": tensor(B, HKV + 1, M, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"v": tensor(B, HKV, M + 1, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"q": tensor(B, 5, N, D)}, "wrong-heads", ValueError),
    (SAMPLE, {"q": tensor(B, 1, N, D)}, "wrong-heads", ValueError),
    (SAMPLE, {"q": tensor(B, 0, N, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"q": tensor(B, H, N, 0), "k": tensor(B, HKV, M, 0)}, "wrong-shape", ValueError),
    (SAMPLE, {"k": tensor(B, 0, M, D), "v": tensor(B, 0, M, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"v": tensor(B, HKV, M, 0)}, "wrong-shape", ValueError),
    (SAMPLE, {"window": 3.0}, "wrong-type", TypeError),
    (SAMPLE, {"window": True}, "wrong-type", TypeError),
    (SAMPLE, {"window": "3"}, "wrong-type", TypeError),
    (SAMPLE, {"window": None}, "wrong-type", TypeError),
    (SAMPLE, {"window": [3]}, "wrong-type", TypeError),
    (SAMPLE, {"window": 2**62}, "wrong-type", TypeError),
    (SAMPLE, {"window": torch.tensor(2.0)}, "wrong-type", TypeError),
    (SAMPLE, {"window": torch.tensor([2])}, "wrong-type", TypeError),
    (SAMPLE, {"window": np.zeros(2)}, "wrong-type", TypeError),
    (SAMPLE, {"cap": False}, "wrong-type", TypeError),
    (SAMPLE, {"cap": 1j}, "wrong-type", TypeError),
    (SAMPLE, {"cap": torch.tensor(True)}, "wrong-type", TypeError),
    (SAMPLE, {"cap": LEARNED}, "wrong-type", TypeError),
    (SAMPLE, {"on": 1}, "wrong-type", TypeError),
    (SAMPLE, {"on": tensor(2, dtype=torch.bool)}, "wrong-type", TypeError),
    (SAMPLE, {"scale": "1"}, "wrong-type", TypeError),
    (SAMPLE, {"scale": True}, "wrong-type", TypeError),
    (SAMPLE, {"scale": LEARNED}, "wrong-type", TypeError),
    (SAMPLE, {"bias": [[0.0]]}, "wrong-type", TypeError),
    (SAMPLE, {"bias": tensor(9)}, "wrong-rank", ValueError),
    (SAMPLE, {"flags": tensor(M, 1, dtype=torch.bool)}, "wrong-rank", ValueError),
    (SAMPLE, {"bias": tensor(H, 10)}, "wrong-shape", ValueError),
    (SAMPLE, {"doc": tensor(1, N, dtype=torch.int64)}, "wrong-shape", ValueError),
    (SAMPLE, {"bias": tensor(H, 9, dtype=torch.int32)}, "wrong-dtype", ValueError),
    (SAMPLE, {"doc": tensor(B, N)}, "wrong-dtype", ValueError),
    (SAMPLE, {"flags": tensor(M, dtype=torch.int64)}, "wrong-dtype", ValueError),
    (SAMPLE, {"flags": tensor(M, dtype=torch.bool, device="meta")}, "wrong-device", ValueError),
    (SAMPLE, {"doc": FALLING}, "not-sorted", ValueError),
    (SAMPLE, {"window": -3}, "wrong-size", ValueError),
    (HALVES, {"c": 0}, "wrong-size", ValueError),
    (HALVES, {"c": -2}, "wrong-size", ValueError),
    (HALVES, {"c": 3}, "wrong-shape", ValueError),
    (GRID, {"rows": 3}, "wrong-grid", ValueError),
    (GRID, {"rows": 3, "cols": 2}, "wrong-grid", ValueError),
    (GRID, {"rows": -2, "cols": -3}, "wrong-size", ValueError),
    (OWN, {"q": tensor(B, H, N - 1, D)}, "not-self-attention", ValueError),
    (TURNED, {"q": tensor(B, H, N, 5), "k": tensor(B, HKV, M, 5)}, "width-mismatch", ValueError),
    (WIDE, {"w": 3, "x": tensor(N, 3)}, "width-mismatch", ValueError),
    (DOTTED, {"w": 3, "x": tensor(N, 3)}, "width-mismatch", ValueError),
    (QUERIED, {"w": 3, "x": tensor(N, 3)}, "width-mismatch", ValueError),
]
FUNCTIONS: dict[str, AttentionFunction] = {}
Call = Callable[..., Any]


def function(text: str) -> AttentionFunction:
    if text not in FUNCTIONS:
        FUNCTIONS[text] = attnc.compile(text)
    return FUNCTIONS[text]


def alone(f: AttentionFunction) -> Call:
    """The function of the emitted module, as a program has it that keeps the file and knows no attnc."""
    call: Call = getattr(load_module(f.__name__, f.source), f.__name__)
    return call


def arguments(text: str, wrong: dict[str, Any]) -> dict[str, Any]:
    return INPUTS | GOOD[text] | wrong


def refusal(call: Call, given: dict[str, Any]) -> Diagnostic:
    with pytest.raises(AttncError) as caught:
        call(**given)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def title(call: tuple[str, dict[str, Any], str, type[Exception]]) -> str:
    text, wrong, code, _ = call
    return f"{function_name(text)}-{'-'.join(wrong)}-{code}"


def function_name(text: str) -> str:
    return text.split("attention ")[1].split("(")[0]


@pytest.mark.parametrize("text", GOOD, ids=function_name)
def test_a_good_call_is_refused_by_nobody(text: str) -> None:
    f, given = function(text), arguments(text, {})
    for call in (f, alone(f), f.reference):
        assert call(**given).shape == (B, H, N, D)


@pytest.mark.parametrize(("text", "wrong", "code", "raised"), CALLS, ids=map(title, CALLS))
def test_three_ways_to_call_say_the_same(
    text: str, wrong: dict[str, Any], code: str, raised: type[Exception]
) -> None:
    f, given = function(text), arguments(text, wrong)
    meaning = refusal(f.reference, given)
    assert meaning.code == code
    assert refusal(f, given) == meaning
    with pytest.raises(raised) as caught:
        alone(f)(**given)
    assert type(caught.value) is raised
    assert str(caught.value) == meaning.message


@pytest.mark.parametrize(
    ("mask", "w", "t", "said"),
    [
        ("i // t % (w // t) <= 1", 6, 0, "`t` needs 1 or more, got 0"),
        ("i // t % (w // t) <= 1", 2, 7, "`w // t` needs 1 or more, got 0"),
        ("i % (w // t) == 0", 6, 0, "`t` needs 1 or more, got 0"),
        ("i % (w // t) == 0", -6, -2, "`t` needs 1 or more, got -2"),
        ("j % (w % t) == 0", 6, 3, "`w % t` needs 1 or more, got 0"),
    ],
)
def test_a_divisor_is_checked_before_what_it_makes(mask: str, w: int, t: int, said: str) -> None:
    f = function(f"attention ratio(w: int, t: int):\n    mask {mask}\n")
    assert refusal(lambda **given: f(**given), INPUTS | {"w": w, "t": t}).message == said
    with pytest.raises(ValueError) as caught:
        alone(f)(**INPUTS, w=w, t=t)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"windw": 3}, "sample() got an unexpected keyword argument 'windw'"),
        ({"bias": ...}, "sample() missing 1 required keyword-only argument: 'bias'"),
    ],
)
def test_names_are_checked_by_python_in_a_module_that_stands_alone(wrong: dict[str, Any], said: str) -> None:
    f = function(SAMPLE)
    given = {name: value for name, value in arguments(SAMPLE, wrong).items() if value is not ...}
    assert refusal(f, given) == refusal(f.reference, given)
    with pytest.raises(TypeError) as caught:
        alone(f)(**given)
    assert str(caught.value).startswith(said)


def test_what_reads_as_a_number_is_one() -> None:
    f = function(SAMPLE)
    expected = f(**arguments(SAMPLE, {"window": 4, "cap": 2.0, "on": False, "scale": 0.5}))
    numbers = {
        "window": np.int32(4),
        "cap": torch.tensor(2),
        "on": np.bool_(False),
        "scale": np.float32(0.5),
    }
    assert torch.equal(f(**arguments(SAMPLE, numbers)), expected)


# ---- what only kernels refuse ----------------------------------------------------------------------

CHUNKED = "attention chunked(c: int):\n    mask i // c == j // c\n"


def test_a_divisor_that_the_ranges_rest_on() -> None:
    f = attnc.compile(CHUNKED)
    given = INPUTS | {"c": -3}
    found = refusal(f, given)
    assert (found.code, found.message) == ("wrong-value", "`c` needs 1 or more, got -3")
    assert found.notes and found.label and found.label.span.text == "i // c"
    with pytest.raises(ValueError) as caught:
        alone(f)(**given)
    assert str(caught.value) == found.message
    assert f.reference(**given).shape == (B, H, N, D)


def test_a_backend_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    f = attnc.compile(CHUNKED, backend="triton")
    words = '`backend="triton"` needs tensors on a GPU, got cpu'
    found = refusal(f, INPUTS | {"c": 3})
    assert (found.code, found.message) == ("wrong-device", words)
    with pytest.raises(ValueError) as caught:
        alone(f)(**INPUTS, c=3, backend="triton")
    assert str(caught.value) == words


# ---- the check of `sorted` arrays ------------------------------------------------------------------


def test_the_order_of_a_sorted_array_need_not_be_checked() -> None:
    f = attnc.compile(SAMPLE, check_sorted=False)
    assert "_check_sorted" in function(SAMPLE).source
    assert "_check_sorted" not in f.source
    assert f(**arguments(SAMPLE, {"doc": FALLING})).shape == (B, H, N, D)


def test_checks_that_cannot_fail_are_not_there() -> None:
    checks = attnc.compile("attention plain():\n    mask j <= i\n").source.partition("def _check(")[2]
    assert checks.partition("\n\n")[0].splitlines() == [
        "q, k, v, scale):",
        '    """Raise the first mistake of a call; return its parameters, numbers as Python\'s."""',
        "    _check_inputs(q, k, v)",
        '    scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)',
        "    return scale",
    ]


def test_arrays_without_data_have_shapes() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    f = function(SAMPLE)
    meta = {name: x.to("meta") if isinstance(x, Tensor) else x for name, x in arguments(SAMPLE, {}).items()}
    assert alone(f)(**meta).shape == (B, H, N, D)
    with FakeTensorMode() as mode:
        fake = {
            n: mode.from_tensor(x) if isinstance(x, Tensor) else x for n, x in arguments(SAMPLE, {}).items()
        }
        assert alone(f)(**fake).shape == (B, H, N, D)


@pytest.mark.slow
def test_checks_do_not_break_a_graph() -> None:
    f = function(SAMPLE)
    for call in (f, alone(f)):
        torch.compiler.reset()
        compiled = torch.compile(call, fullgraph=True, backend="aot_eager", dynamic=True)
        for length, window in ((6, 4), (9, 4), (11, 3)):
            given = {
                "q": torch.randn(B, H, length, D),
                "k": torch.randn(B, HKV, length, D),
                "v": torch.randn(B, HKV, length, D),
                "doc": torch.zeros(B, length, dtype=torch.int64),
                "bias": torch.randn(H, 2 * window + 1),
                "flags": torch.zeros(length, dtype=torch.bool),
                "window": window,
            }
            torch.testing.assert_close(compiled(**given), call(**given))


@pytest.mark.slow
def test_a_wrong_call_is_refused_under_compile_too() -> None:
    f = function(SAMPLE)
    compiled = torch.compile(alone(f), backend="eager")
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"^`bias` needs shape"):
        warnings.simplefilter("ignore")
        compiled(**arguments(SAMPLE, {"bias": tensor(H, 10)}))
