"""Calls with nothing in them, and rows that see nothing: both backends say what the interpreter says."""

from __future__ import annotations

import pytest
from kernel_checks import Measure, assert_holds, case_for, compile_text

from attnc.verify.cases import Case

SPECS = {
    "full": "attention zoo():\n    mask true\n",
    "causal": "attention zoo():\n    mask j <= i\n",
    "arrays": """
attention zoo(bias: float[H, N, M], column: float[B, M], row: float[B, N], t: float[H, 5]):
    score dot(q, k) * scale + bias[h, i, j] + column[b, j] * row[b, i] + t[h, (i - j) % 5]
""",
    "rows": """
attention zoo(row: float[B, N], u: float[B, N], t: float[H]):
    mask  j < i
    score dot(q, k) * scale + row[b, i] - t[h] * abs(i - j) - row[b, i] * scale + u[b, i] * log(i)
""",
    "per_token": """
attention zoo(gate: float[B, H, N, DV]):
    query  l2(q)
    mask   j <= i
    output o * gate[b, h, i, :]
""",
    "by_distance": """
from std import t5_bucket
attention zoo(bias: float[H, 32]):
    score dot(q, k) + bias[h, t5_bucket(j - i, 32, 128, true)]
""",
    "documents": "attention zoo(doc: sorted int[B, N]):\n    mask doc[b, i] == doc[b, j] and j <= i\n",
    "member": "attention zoo(t: int[B, H, N // 16 + 1, 2]):\n    mask j // 16 in t[b, h, i // 16, :]\n",
    "window": "attention zoo(w: int):\n    mask j <= i and i - j < w\n",
    "union": "attention zoo(w: int):\n    mask j < 2 or (j <= i and i - j < w) or j >= M - 1\n",
    "no_dot": "attention zoo(t: float[H, M]):\n    mask j <= i\n    score t[h, j]\n",
}
SIZES = [
    (0, 3, 4),
    (1, 0, 5),
    (1, 5, 0),
    (1, 0, 0),
    (1, 1, 1),
    (2, 2, 1),
    (1, 16, 16),
    (1, 17, 15),
    (1, 3, 40),
]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("backend", ["cpu", "numpy"])
def test_small_calls(measure: Measure, backend: str, name: str) -> None:
    compilation = compile_text(SPECS[name])
    for batch, n, m in SIZES:
        dtype = "float64" if backend == "cpu" else "float32"
        case = Case(backend, dtype, n, m, 16, 8, 2, 1, batch, variant=1, tile=(16, 16))  # type: ignore[arg-type]
        measurement = measure(compilation, case_for(compilation, case))
        assert_holds(measurement)


@pytest.mark.parametrize("scale", [0.0, -1.5, 40.0, 1e-30])
@pytest.mark.parametrize("backend", ["cpu", "numpy"])
def test_scales_of_the_caller(measure: Measure, backend: str, scale: float) -> None:
    compilation = compile_text(
        "attention zoo():\n    mask j <= i\n    score 3 * tanh(dot(q, k) * scale / 3)\n"
    )
    dtype = "float64" if backend == "cpu" else "float32"
    case = Case(backend, dtype, 37, 37, 16, 16, 2, 1, scale=scale, tile=(16, 16))  # type: ignore[arg-type]
    assert_holds(measure(compilation, case))


@pytest.mark.parametrize("window", [-5, 0, 1, 2, 16, 2**40])
@pytest.mark.parametrize("backend", ["cpu", "numpy"])
def test_windows_of_every_length(measure: Measure, backend: str, window: int) -> None:
    compilation = compile_text(SPECS["window"])
    dtype = "float64" if backend == "cpu" else "float32"
    case = Case(
        backend,
        dtype,
        40,
        33,
        16,
        16,
        2,
        1,
        variant=1,
        tile=(16, 16),
        numbers=(("w", window),),  # type: ignore[arg-type]
    )
    measurement = measure(compilation, case)
    assert_holds(measurement)
    assert (measurement.empty_rows > 0) == (window < 8)
