"""Another spelling of a normalization means the same, and has a kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from attnc.analyze.spelling import find_spelling
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.ir.text import print_ir
from attnc.run.interpreter import interpret
from attnc.source import Source

SPELLINGS = [
    ("softmax + bias[h, i, j]", "exp(s - log(sum(exp(s)))) + bias[h, i, j]"),
    ("exp(s) / sum(exp(s)) + 0.5", "exp(s - log(sum(exp(s)))) + 0.5"),
    ("exp(s) / sqrt(sum(exp(2 * s)))", "exp(s - log(sum(exp(2.0 * s))) / 2.0)"),
    ("exp(s) / sum(exp(2 * s)) ** 0.5", "exp(s - 0.5 * log(sum(exp(2.0 * s))))"),
    ("-softmax * log(softmax)", "-exp(s - log(sum(exp(s)))) * (s - log(sum(exp(s))))"),
    ("softmax if flag[j] else sigmoid(s)", "exp(s - log(sum(exp(s)))) if flag[j] else sigmoid(s)"),
    ("relu(softmax - 0.1)", "relu(exp(s - log(sum(exp(s)))) - 0.1)"),
    ("1 - softmax", "1.0 - exp(s - log(sum(exp(s))))"),
]


def compilation(formula: str) -> Compilation:
    text = f"attention a(bias: float[H, N, M], flag: bool[M]):\n    normalize {formula}\n"
    return Compilation(Source("a.attn", text))


@pytest.mark.parametrize(("written", "spelling"), SPELLINGS)
def test_it_means_the_same(written: str, spelling: str) -> None:
    attention = compilation(written).attention
    found = find_spelling(attention)
    assert found is not None and print_ir(found) == spelling
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 7, 4, dtype=torch.float64) for _ in range(3))
    arrays = {"bias": torch.randn(2, 7, 7, dtype=torch.float64), "flag": torch.rand(7) < 0.5}
    one, two = (
        interpret(each, q, k, v, arrays, None, False)
        for each in (attention, replace(attention, normalize=found))
    )
    torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("written", "spelling"), SPELLINGS)
def test_the_refusal_says_it_and_it_compiles(written: str, spelling: str) -> None:
    with pytest.raises(AttncError) as refused:
        _ = compilation(written).plan
    (told,) = refused.value.diagnostics
    assert told.code == "no-kernel"
    assert told.helps == (
        f"write `normalize {spelling}`: it cannot overflow",
        '`backend="reference"` runs it on the interpreter',
    )
    assert compilation(spelling).plan


@pytest.mark.emitted
@pytest.mark.parametrize("spelling", [spelling for _, spelling in SPELLINGS])
def test_the_cpu_path_agrees_where_the_written_one_overflows(spelling: str) -> None:
    torch.manual_seed(1)
    q, k, v = (10 * torch.randn(1, 2, 9, 8) for _ in range(3))
    arrays = {"bias": torch.randn(2, 9, 9), "flag": torch.rand(9) < 0.5}
    found = compilation(spelling).function()
    exact = found.reference(
        q.double(), k.double(), v.double(), bias=arrays["bias"].double(), flag=arrays["flag"]
    )
    assert exact.isfinite().all()
    torch.testing.assert_close(found(q, k, v, **arrays).double(), exact, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    "formula",
    ["exp(s) / sqrt(sum(exp(3 * s)))", "softmax - softmax1", "exp(s) / mean(s)"],
)
def test_nothing_is_said_where_it_has_no_kernel_either(formula: str) -> None:
    assert find_spelling(compilation(formula).attention) is None
