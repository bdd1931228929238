"""The weights of a row add up to 1 in the backward pass as in the forward pass, however large its scores are.

Scores are large by arrays, as masks of other libraries are, or by whole numbers in q and k and a scale that is a power
of two: then every kernel finds the same scores, to the last bit, in whatever order it adds up products.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from kernel_checks import compile_text
from properties import cases
from random_specs import ENTRIES, PARAMS, Writer
from torch import Tensor
from turns import TURNS, in_turn

from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.verify.cases import Case
from attnc.verify.inputs import Inputs
from attnc.verify.measure import emitted, find_calls, is_regular, reference, run
from attnc.verify.precision import UNIT
from attnc.verify.rounding import find_limits

LEAST = torch.finfo(torch.float32).min
NUMBERS = (0.0, 1.0, 1e3, -1e4, 1e6, -1e9, 1e30, -1e30, LEAST / 2, LEAST, 3e38)
SCALES = (0.25, 8.0, 2.0**10, 2.0**14, -(2.0**12))
MASKS = {
    "full": "true", "causal": "j <= i", "window": "abs(i - j) < 7", "strict": "j < i - 3",
    "documents": "doc[b, i] == doc[b, j]", "listed": "flags[h, j] and j <= i + 9", "two pieces": "j < 3 or j > i",
}  # fmt: skip
SCORES = {
    "plain": "dot(q, k) * scale",
    "pairs": "dot(q, k) * scale + bias[h, i, j]",
    "rows": "dot(q, k) * scale + row[b, i]",
    "columns": "dot(q, k) * scale + column[j, h]",
    "times a number": "dot(q, k) * scale + c * row[b, i]",
    "no products": "bias[h, i, j]",
}
SOFTMAX = {
    "softmax": "softmax",
    "of minus the score": "exp(-s) / sum(exp(-s))",
    "at twice the heat": "exp(s / 2) / sum(exp(s / 2))",
}
OTHERS = {
    "a sink": "sink(c)",
    "softmax1": "softmax1",
    "a pass that leaves it": "tanh(s) * sigmoid(log(sum(exp(s))) - s)",
}
CASES = (
    Case("cpu", "float64", 21, 37, 16, 8, 4, 2, 2, entries=ENTRIES),
    Case("cpu", "float32", 21, 37, 16, 16, 2, 2, 1, entries=ENTRIES),
    Case("cpu", "bfloat16", 21, 37, 16, 8, 4, 2, 2, entries=ENTRIES),
    Case("numpy", "float32", 21, 37, 16, 8, 4, 2, 2, tile=(16, 16), entries=ENTRIES),
    Case("numpy", "float32", 21, 37, 16, 16, 4, 1, 1, tile=(16, 16), splits=3, unit="mma", entries=ENTRIES),
    Case("numpy", "float16", 21, 37, 16, 16, 2, 2, 1, tile=(16, 32), entries=ENTRIES),
    Case("numpy", "bfloat16", 21, 37, 16, 16, 2, 1, 1, tile=(32, 16), unit="mma", entries=ENTRIES),
)


def text_of(mask: str, score: str, normalize: str) -> str:
    return f"attention zoo({PARAMS}):\n    mask  {mask}\n    score {score}\n    normalize {normalize}\n"


def draw(compilation: Compilation, case: Case, seed: int, numbers: tuple[float, ...]) -> Iterator[Inputs]:
    """The first call that the interpreter takes, with rows of these numbers in arrays and whole numbers in q and k."""
    for inputs, _ in find_calls(compilation, case):
        g = torch.Generator().manual_seed(seed)
        arguments: dict[str, Any] = {**inputs.arguments, "c": 0.5}
        for name, x in inputs.floats.items():
            if name in arguments:
                arguments[name] = _extreme(x, numbers, g)
        tensors = {
            name: x if name == "v" else torch.randint(-4, 5, x.shape, generator=g).to(x.dtype)
            for name, x in inputs.tensors.items()
        }
        # On the CPU torch has a kernel for plain attention whose log-sum-exp has no gradient.
        dlse = inputs.dlse if seed % 3 == 2 else torch.zeros_like(inputs.dlse)
        yield replace(inputs, tensors=tensors, arguments=arguments, dlse=dlse)
        return


def _extreme(x: Tensor, numbers: tuple[float, ...], g: torch.Generator) -> Tensor:
    """Rows of ordinary numbers, of some of these, or of one of them alone."""
    pick = torch.tensor(numbers)[torch.randint(len(numbers), x.shape, generator=g)]
    one = torch.tensor(numbers)[torch.randint(len(numbers), (*x.shape[:-1], 1), generator=g)].expand(x.shape)
    kind = torch.randint(4, (*x.shape[:-1], 1), generator=g)
    values = torch.where(kind == 0, x.float(), torch.where(kind == 1, pick, one))
    return values.to(torch.promote_types(x.dtype, torch.float32))


def check_sums(inputs: Inputs, got: dict[str, Tensor], seeing: Tensor) -> None:
    """Of all keys of a head, dV is the sum of dout over the rows that see a key: weights add up to 1."""
    case = inputs.case
    dout = inputs.dout.double() * seeing[..., None]
    group = case.H // case.HKV
    expected = dout.unflatten(1, (case.HKV, group)).sum((2, 3))
    sizes = dout.abs().unflatten(1, (case.HKV, group)).sum((2, 3))
    stored = UNIT[case.dtype]
    working = min(stored, UNIT["float32"])
    # What a float32 logarithm leaves next to 1024, exponentials and sums; and two roundings to the dtype.
    share = working * (2048 + 8 + case.M) + 2 * stored
    limit = share * sizes + stored * got["v"].abs().sum(2)
    assert ((got["v"].sum(2) - expected).abs() <= limit).all(), case


def check(text: str, case: Case, seed: int, numbers: tuple[float, ...], sums: bool) -> None:
    compilation = compile_text(text)
    try:
        _ = compilation.module
    except AttncError as refused:
        assert {d.code for d in refused.diagnostics if d.severity == "error"} <= {
            "mask-always-false",
            "no-kernel",
        }
        assume(False)
    for inputs in draw(compilation, case, seed, numbers):
        expected = reference(compilation, inputs)
        regular = all(is_regular(name, x) for name, x in expected.items())
        got = run(emitted(compilation, case), inputs)
        if sums and regular:
            check_sums(inputs, got, ~expected["lse"].isneginf())
        if regular:
            in_base_2 = any(sweep.is_in_base_2 for sweep in compilation.plan.sweeps)
            limits = find_limits(compilation.attention, inputs, expected, {}, in_base_2)
            for name, x in got.items():
                dtype = inputs.floats[name].dtype if name in inputs.floats else getattr(torch, case.dtype)
                fits = expected[name].abs() + limits[name] < torch.finfo(dtype).max
                if compilation.plan.before:
                    # Each pass leaves its part of a gradient in that dtype (ADR 0011), and parts may be larger than
                    # what they add up to: then the limit has a rounding of theirs.
                    fits &= fits.all() and limits[name] < torch.finfo(dtype).eps / 2 * torch.finfo(dtype).max
                error = (x - expected[name])[fits].abs().max() if fits.any() else torch.zeros(())
                assert error <= limits[name], f"{name}: {error} of {limits[name]}"


@pytest.mark.parametrize(
    ("score", "case"),
    in_turn(product(SCORES, CASES), turns=4),
    ids=lambda each: f"{each.backend}-{each.dtype}-{each.unit}" if isinstance(each, Case) else each,
)
def test_sums_of_weights(score: str, case: Case) -> None:
    for n, mask in enumerate(MASKS.values()):
        scale = SCALES[(n + 2) % len(SCALES)]
        check(text_of(mask, SCORES[score], "softmax"), replace(case, scale=scale), n, NUMBERS, sums=True)


@pytest.mark.parametrize("score", ["no products", "times a number"])
@pytest.mark.parametrize("normalize", {**SOFTMAX, **OTHERS})
def test_normalizations(normalize: str, score: str) -> None:
    formula = {**SOFTMAX, **OTHERS}[normalize]
    for case in (CASES[0], CASES[3]):
        check(text_of("j <= i", SCORES[score], formula), case, 2, NUMBERS, sums=normalize in SOFTMAX)


@pytest.mark.parametrize("mask", ["abs(i - j) < 7", "M < 0"], ids=["window", "never"])
def test_a_pass_that_has_gradients_of_pairs_alone(mask: str) -> None:
    """No kernel of keys or of queries has anything to do; nor has a loop, where no key is ever seen."""
    text = text_of(mask, "bias[h, i, j]", "tanh(s) * sigmoid(log(sum(exp(s))) - s)")
    check(text, CASES[3], 7, (0.0, 1.0), sums=False)


@cases(200, 25)
@given(
    st.data(), st.sampled_from(CASES), st.integers(0, 10**6), st.sets(st.sampled_from(NUMBERS), min_size=1)
)
def test_random_specs(data: st.DataObject, case: Case, seed: int, numbers: set[float]) -> None:
    _check_random(data, case, seed, numbers)


@pytest.mark.slow
@cases(800 // TURNS)
@given(
    st.data(), st.sampled_from(CASES), st.integers(0, 10**6), st.sets(st.sampled_from(NUMBERS), min_size=1)
)
def test_many_random_specs(data: st.DataObject, case: Case, seed: int, numbers: set[float]) -> None:
    _check_random(data, case, seed, numbers)


def _check_random(data: st.DataObject, case: Case, seed: int, numbers: set[float]) -> None:
    mask = data.draw(st.one_of(st.sampled_from(sorted(MASKS.values())), _masks()))
    score = data.draw(st.sampled_from(sorted(SCORES.values())))
    normalize = data.draw(st.sampled_from(sorted({**SOFTMAX, **OTHERS}.values())))
    scale = data.draw(st.sampled_from(SCALES))
    sums = normalize in SOFTMAX.values()
    check(text_of(mask, score, normalize), replace(case, scale=scale), seed, tuple(sorted(numbers)), sums)


@st.composite
def _masks(draw: st.DrawFn) -> str:
    return Writer(draw).condition(2)
