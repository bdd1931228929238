"""Row normalizations of the literature: output and every gradient, with scores near 1 and near 200, and empty rows.

On the CPU they are computed in float64, and the error is 1e-9 at most, of the squares of the scores where those are
large; by the evaluator in float32 and half precision, in which the limits are what rounding explains, and nothing
may overflow that fits.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from kernel_checks import Measure, compile_text
from turns import in_turn

from attnc.compiler import Compilation
from attnc.verify.cases import Case

FORMULAS = {
    "softmax": "exp(s) / sum(exp(s))",
    "softmax with its maximum": "exp(s - max(s)) / sum(exp(s - max(s)))",
    "sink": "exp(s) / (exp(z[h]) + sum(exp(s)))",
    "softmax1": "exp(s) / (1 + sum(exp(s)))",
    "sigmoid": "sigmoid(s + z[h])",
    "relu2 by count": "relu(s) ** 2 / count()",
    "retention": "s / max(abs(sum(s)), 1)",
    "softplus over its sum": "softplus(s) / (1e-8 + sum(softplus(s)))",
    "gauss around the mean": "exp(-(s - mean(s)) ** 2)",
    "L2": "s / sqrt(sum(s * s) + 0.001)",
    "L1": "abs(s) / (0.001 + sum(abs(s)))",
    "layernorm": "(s - mean(s)) / sqrt(mean(s * s) - mean(s) ** 2 + 1)",
    "layernorm, centred": "(s - mean(s)) / sqrt(mean((s - mean(s)) ** 2) + 1)",
    "taylor": "(1 + s + s * s / 2) / sum(1 + s + s * s / 2)",
    "log-softmax": "s - log(sum(exp(s)))",
    "softmax times sigmoid": "exp(s) / sum(exp(s)) * sigmoid(s)",
    "adaptive temperature": "exp(s / (1 + mean(s * s))) / sum(exp(s / (1 + mean(s * s))))",
    "relu over its sum": "relu(s) / (0.001 + sum(relu(s)))",
    "softmax of s - mean(s)": "exp(s - mean(s)) / sum(exp(s - mean(s)))",
    "power": "relu(s) ** 3 / (0.001 + sum(relu(s) ** 3))",
    "tanh by count": "tanh(s) / count()",
    "none": "s",
    "max-norm": "s / (0.001 + max(abs(s)))",
    # Beyond those: classes that the field uses besides.
    "softmax with a temperature": "exp(s / softplus(t[b, h, i])) / sum(exp(s / softplus(t[b, h, i])))",
    "re-weighted softplus": (
        "relu(count() * softplus(s) / (1e-8 + sum(softplus(s))) - 1) ** 3"
        " / (0.01 + sum(relu(count() * softplus(s) / (1e-8 + sum(softplus(s))) - 1) ** 3))"
    ),
    "squared relu over its sum": "relu(s) ** 2 / (1e-6 + sum(relu(s) ** 2))",
    "injective linear": "s - mean(s) + 1 / count()",
    "cosine weights": "cos(s) / count()",
    "multiply and renormalize": "exp(s) * sigmoid(u[j]) / sum(exp(s) * sigmoid(u[j]))",
}
CPU = Case("cpu", "float64", N=37, M=29, D=16, DV=24, H=4, HKV=2, B=2, layout="sliced", variant=1)
NUMPY = Case("numpy", "float32", N=37, M=29, D=16, DV=24, H=2, HKV=1, B=2, variant=2, tile=(16, 16))
# With 16 numbers of a normal distribution in a vector, scores spread by 4 times the scale.
ABOUT_1, ABOUT_200 = 0.25, 50.0
CASES = {
    "cpu": replace(CPU, scale=ABOUT_1),
    "cpu, large": replace(CPU, scale=ABOUT_200),
    "kernels": replace(NUMPY, scale=ABOUT_1),
    "kernels, large": replace(NUMPY, scale=ABOUT_200),
    "kernels, float16": replace(NUMPY, dtype="float16", scale=ABOUT_200),
    "kernels, bfloat16": replace(NUMPY, dtype="bfloat16", scale=ABOUT_200),
}
# Squares of 200 and more, summed, do not fit float16: 30 and more do.
SMALLER = {"relu2 by count": 8.0}


def compiled(formula: str) -> Compilation:
    mask = "j < i and i % 5 != 2"
    params = "z: float[H], t: float[B, H, N], u: float[M]"
    return compile_text(f"attention f({params}):\n    mask {mask}\n    normalize {formula}\n")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", in_turn(FORMULAS, turns=4))
def test_formula(measure: Measure, name: str, case: str) -> None:
    chosen = CASES[case]
    if chosen.dtype == "float16":
        chosen = replace(chosen, scale=SMALLER.get(name, ABOUT_200))
    measurement = measure(compiled(FORMULAS[name]), chosen)
    assert not measurement.problem and measurement.holds, measurement
    if chosen.dtype == "float64":
        assert all(
            q.error <= 1e-9 * max(1.0, float(chosen.scale or 1.0) ** 2) for q in measurement.quantities
        )
