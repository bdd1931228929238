"""Later passes weigh by the largest score of a row and by what is below it: scores of 1e9 have the weights they should.

Scores are numbers of an array that float32 holds, and so are their sums with numbers of keys, so that every kernel and
the interpreter have the same. A limit is a few roundings of weights and of what they are multiplied with, whatever the
size of the scores.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kernel_checks import compile_text
from properties import cases
from random_specs import ENTRIES, PARAMS
from torch import Tensor
from turns import TURNS, in_turn

from attnc.verify.cases import Case
from attnc.verify.inputs import Inputs
from attnc.verify.measure import emitted, find_calls, reference, run
from attnc.verify.precision import UNIT

# Of one row: far from each other, near each other next to a large one, or ordinary ones.
LARGE = (0.0, 1.0, -1e3, 1e4, -1e6, 1e9, -1e9, 1e9 - 64, 64 - 1e9, 2.0**29, -(2.0**29) - 64)
LSE = "log(sum(exp(s)))"
FORMULAS = {
    "a factor": "exp(s) * sigmoid(s / 8) / sum(exp(s))",
    "a factor, below the largest": "exp(s - max(s)) * tanh(s) / sum(exp(s - max(s)))",
    "a factor, of half": "exp(s / 2) * tanh(s) / mean(exp(s / 2))",
    "a factor, of less": "exp(-s) * sigmoid(s) / sum(exp(-s))",
    "a factor, of rows": "exp(s + row[b, i]) * cos(column[j, h]) / sum(exp(s + row[b, i])) / (1 + sum(sigmoid(s)))",
    "logarithms of weights": f"sigmoid(s - {LSE} + 2)",
    "the same the other way": f"sigmoid({LSE} - s - 2)",
    "of half a row": "tanh(c * s - log(sum(exp(c * s))))",
    "twice": f"tanh((s - {LSE}) / 8) * sigmoid(s - {LSE})",
    "with other keys": "tanh(column[j, h] + s - log(sum(exp(s + column[j, h]))))",
    "a row more": f"sigmoid(s + row[b, i] - {LSE} - row[b, i])",
    "shares twice": "exp(s) * sigmoid(s) / sum(exp(s)) / (2 + mean(tanh(s)))",
}
MASKS = ("true", "j <= i", "abs(i - j) < 7", "doc[b, i] == doc[b, j]", "flags[h, j] and j <= i + 9")
CASES = (
    Case("cpu", "float64", 21, 37, 16, 8, 4, 2, 2, entries=ENTRIES),
    Case("cpu", "float32", 21, 37, 16, 16, 2, 2, 1, entries=ENTRIES),
    Case("numpy", "float32", 21, 37, 16, 8, 4, 2, 2, tile=(16, 16), entries=ENTRIES),
    Case("numpy", "float32", 3, 37, 16, 16, 4, 1, 1, tile=(16, 16), splits=3, unit="mma", entries=ENTRIES),
)


def text_of(mask: str, normalize: str) -> str:
    return f"attention zoo({PARAMS}):\n    mask  {mask}\n    score bias[h, i, j]\n    normalize {normalize}\n"


def scores(x: Tensor, numbers: tuple[float, ...], g: torch.Generator) -> Tensor:
    """Rows of some of these numbers, of one of them alone, or of ordinary ones."""
    pick = torch.tensor(numbers)[torch.randint(len(numbers), x.shape, generator=g)]
    one = torch.tensor(numbers)[torch.randint(len(numbers), (*x.shape[:-1], 1), generator=g)].expand(x.shape)
    kind = torch.randint(3, (*x.shape[:-1], 1), generator=g)
    return torch.where(kind == 0, torch.randn(x.shape, generator=g), torch.where(kind == 1, pick, one)).to(
        x.dtype
    )


def check(mask: str, normalize: str, case: Case, seed: int, numbers: tuple[float, ...]) -> None:
    compilation = compile_text(text_of(mask, normalize))
    inputs = with_scores(next(iter(find_calls(compilation, case)))[0], seed, numbers)
    expected, got = reference(compilation, inputs), run(emitted(compilation, case), inputs)
    unit = UNIT[case.dtype]
    v, dout = inputs.tensors["v"].double(), inputs.dout.double()
    pairs = dout[..., 0].numel() * case.M
    # Weights of a row, and their slopes, add up to its number of keys at most.
    size = case.M * float(v.abs().max()) * (1 + float(dout.abs().max()) * case.DV)
    for name, x in got.items():
        summands = 1 if name == "out" else pairs / x.numel()
        error, limit = float((x - expected[name]).abs().max()), 8 * unit * size * summands
        assert error <= limit, f"{name}: {error} of {limit}"


def with_scores(inputs: Inputs, seed: int, numbers: tuple[float, ...]) -> Inputs:
    g = torch.Generator().manual_seed(seed)
    arguments = {**inputs.arguments, "c": 0.5, "bias": scores(inputs.arguments["bias"], numbers, g)}
    arguments["column"] = 128 * torch.randint_like(arguments["column"], -2, 3)
    arguments["row"] = torch.randint_like(arguments["row"], -8, 9) / 4
    return replace(inputs, arguments=arguments)


@pytest.mark.parametrize(
    ("formula", "case"),
    in_turn(product(FORMULAS, CASES), turns=3),
    ids=lambda each: f"{each.backend}-{each.dtype}-{each.unit}" if isinstance(each, Case) else each,
)
def test_formulas(formula: str, case: Case) -> None:
    number = list(FORMULAS).index(formula) + CASES.index(case)
    check(MASKS[number % len(MASKS)], FORMULAS[formula], case, number, LARGE)


@st.composite
def chains(draw: st.DrawFn) -> str:
    """A function of the score and its log-sum-exp, in some order, or a share of the row times one."""
    times = draw(st.sampled_from(["", "2 * ", "-", "c * "]))
    score = f"{times}s" if draw(st.booleans()) else f"({times}s + column[j, h])"
    whole = f"log(sum(exp({score})))"
    more = draw(st.sampled_from(["", " + row[b, i]", " - c", " + column[j, h]"]))
    apart = draw(
        st.sampled_from(
            [f"{score} - {whole}{more}", f"{whole} - {score}{more}", f"-({whole}{more} - {score})"]
        )
    )
    factor = draw(st.sampled_from(["sigmoid", "tanh"]))
    shift = draw(st.sampled_from(["", " - max(s)", " + row[b, i]", " + c"]))
    share = f"exp({score}{shift}) / sum(exp({score}{shift}))"
    return draw(
        st.sampled_from(
            [f"{factor}(({apart}) / 4)", f"{share} * {factor}(s / 1000)", f"tanh({apart}) * {share}"]
        )
    )


@cases(60, 12)
@given(
    st.sampled_from(MASKS),
    chains(),
    st.sampled_from(CASES),
    st.integers(0, 10**6),
    st.sets(st.sampled_from(LARGE), min_size=1),
)
def test_random_formulas(mask: str, normalize: str, case: Case, seed: int, numbers: set[float]) -> None:
    check(mask, normalize, case, seed, tuple(sorted(numbers)))


@pytest.mark.slow
@cases(400 // TURNS)
@given(
    st.sampled_from(MASKS),
    chains(),
    st.sampled_from(CASES),
    st.integers(0, 10**6),
    st.sets(st.sampled_from(LARGE), min_size=1),
)
def test_many_random_formulas(mask: str, normalize: str, case: Case, seed: int, numbers: set[float]) -> None:
    check(mask, normalize, case, seed, tuple(sorted(numbers)))
