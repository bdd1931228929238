"""What a row does not see stays out of it: not even nan and inf reach it from a key, a query or an array.

Some keys, queries and array entries of a call are made infinite or no number. Rows that see none of them, and gradients
that no such row has a part in, are what they are without. The oracle of who sees whom is the interpreter's mask.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from random import Random

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from kernel_checks import CPU, NUMPY, case_for, compile_text
from properties import cases
from random_specs import ENTRIES, specs
from torch import Tensor
from turns import TURNS, in_turn
from zoo import BIASES, DISTANCES, MASKS, SCORES, TOKENS

from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.evaluate import load_evaluated
from attnc.ir.nodes import Size
from attnc.run.mask import find_mask
from attnc.verify.cases import LAYOUTS, Case
from attnc.verify.inputs import Inputs
from attnc.verify.measure import emitted, find_calls, run
from attnc.verify.replay import Results

SPECS = {
    "causal": "mask j <= i",
    "window": "mask j <= i and i - j < 9",
    "padding": "mask j < length[b]",
    "documents": "mask doc[b, i] == doc[b, j] and j <= i",
    "flags": "mask keep[b, j] and j <= i + 3",
    "sinks and a window": "mask j < 2 or (j <= i and i - j < 5)",
    "what repeats": "mask (i - j) % 7 < 2",
    "nobody": "mask j > i + N + M",
    "products with arrays": "mask j <= i\n    score dot(q, k) * column[b, j] + row[b, i] * column[b, j]",
    "biases": "mask j <= i\n    score dot(q, k) * scale + bias[h, i, j]",
    "weights": "mask      j <= i and keep[b, j]\n    normalize relu(s) ** 2 / (1 + sum(relu(s)))",
    "large weights": "mask      j <= i\n    normalize exp(s)",
    "maps": "key       rope(k, j, 100)\n    value     v / 2\n    mask      j < length[b] and j <= i",
    "two passes": "mask      j <= i and keep[b, j]\n    normalize exp(-(s - mean(s)) ** 2)",
    "a sink": "mask      j <= i and keep[b, j]\n    normalize sink(z[h])",
    "a table": "mask      j <= i\n    score     dot(q, k) * scale + table[h, min(i - j, 7)]",
    "divided": "mask      j < i\n    score     dot(q, k) * scale / (i - j)",
    "a table where products do not tell": (
        "mask      j <= i\n    score     table[h, 1] if (i - j) % 3 == 0 else cos(dot(q, k) / (1.5 + dot(q, k) ** 2))"
    ),
    "a column where products do not tell": (
        "mask      j <= i\n    score     column[b, j] if (i - j) % 3 == 0 else dot(q, k) / (1.5 + dot(q, k) ** 2)"
    ),
}
PARAMS = (
    "length: int[B], doc: int[B, N + M], keep: bool[B, M], column: float[B, M], row: float[B, N], "
    "bias: float[H, N, M], z: float[H], table: float[H, 8]"
)
ALL_OF_ZOO = BIASES | DISTANCES | MASKS | SCORES | TOKENS
WILD = (math.nan, math.inf, -math.inf)
EVERY_CASE = [
    CPU,
    replace(CPU, dtype="float32", N=19, M=140),
    replace(CPU, dtype="float32", N=90, M=80, DV=16, H=2, HKV=2),
    NUMPY,
    replace(NUMPY, dtype="float16", N=20, M=40, H=4, HKV=2),
    replace(NUMPY, N=3, M=75, H=4, HKV=2, splits=3),
    replace(NUMPY, dtype="bfloat16", unit="wgmma"),
]


def masks(compilation: Compilation, inputs: Inputs) -> Tensor:
    """Who sees whom: [B, H, N, M]."""
    case, q, k = inputs.case, inputs.tensors["q"], inputs.tensors["k"]
    sizes = {"B": case.B, "H": case.H, "HKV": case.HKV, "N": q.shape[2], "M": k.shape[2], "D": q.shape[3]}
    values = {**sizes, "DV": case.DV, "scale": 1.0, **inputs.arguments}
    heads = [
        torch.stack([find_mask(compilation.attention, values, h, b) for h in range(case.H)])
        for b in range(case.B)
    ]
    return torch.stack(heads)


def of_key_heads(x: Tensor, heads: int) -> Tensor:
    """[B, H, ...] to [B, HKV, ...]: does any head of the group?"""
    return x.unflatten(1, (heads, -1)).any(2)


def spoil(x: Tensor, where: Tensor, number: float) -> Tensor:
    """A copy with another number in some places."""
    x = x.clone()
    x[where] = number
    return x


def some(shape: torch.Size, random: Random) -> Tensor:
    share = random.choice([0.0, 0.1, 0.5, 1.0])
    return torch.rand(shape, generator=torch.Generator().manual_seed(random.randrange(2**31))) < share


def compare(name: str, got: Tensor, expected: Tensor, dtype: str, clean: Tensor | bool = True) -> None:
    clean = torch.as_tensor(clean).expand(got.shape[: getattr(clean, "ndim", 0)])
    got, expected = got[clean], expected[clean]
    assert torch.equal(got.isfinite(), expected.isfinite()), f"{name}: not finite"
    part = expected.isfinite()
    near = {"float64": 1e-11, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}[dtype]
    largest = float(expected[part].abs().max()) if part.any() else 0.0
    error = float((got[part] - expected[part]).abs().max()) if part.any() else 0.0
    assert error <= near * max(1.0, largest), f"{name}: {error} of {largest}"


def check_what_nobody_sees(compilation: Compilation, inputs: Inputs, expected: Results, seed: int) -> None:
    """Everything is as before where all that is wild is hidden from everyone."""
    random, seen, heads = Random(seed), masks(compilation, inputs), inputs.case.HKV
    unread = {
        "k": ~of_key_heads(seen.any(2), heads),
        "v": ~of_key_heads(seen.any(2), heads),
        "q": ~seen.any(3),
        "column": ~seen.any(2).any(1),
        "row": ~seen.any(3).any(1),
        "bias": ~seen.any(0),
    }
    if "column" in inputs.floats and compilation.attention.param("column").sizes[0] == Size("M"):  # [M, H]
        unread["column"] = ~seen.any(2).any(0).T
    changed = {
        name: spoil(x, unread[name] & some(unread[name].shape, random), random.choice(WILD))
        for name, x in inputs.floats.items()
        if name in unread and random.random() < 0.8
    }
    spoiled = replace(
        inputs,
        tensors={name: changed.get(name, x) for name, x in inputs.tensors.items()},
        arguments={name: changed.get(name, x) for name, x in inputs.arguments.items()},
        dout=spoil(inputs.dout, ~seen.any(3) & some(seen.shape[:3], random), random.choice(WILD)),
    )
    got = run(emitted(compilation, inputs.case), spoiled)
    for name in got:
        compare(name, got[name], expected[name], inputs.case.dtype)


def check_who_sees_it(compilation: Compilation, inputs: Inputs, expected: Results, seed: int) -> None:
    """Who sees nothing that is wild is as before, and who sees a value that is no number has none."""
    random, seen, heads = Random(seed), masks(compilation, inputs), inputs.case.HKV
    group = inputs.case.H // heads
    names = {random.choice("qk"): random.choice(WILD), "v": random.choice([math.nan, *WILD])}
    wild = {name: some(inputs.tensors[name].shape[:3], random) for name in names}
    wild = {name: where & (torch.rand(where.shape) < 0.2) for name, where in wild.items()}
    spoiled = replace(
        inputs,
        tensors={
            name: spoil(x, wild[name], names[name]) if name in wild else x
            for name, x in inputs.tensors.items()
        },
    )
    got = run(emitted(compilation, inputs.case), spoiled)
    keys = [wild[name].repeat_interleave(group, 1) for name in ("k", "v") if name in wild]
    rows = sum(((seen & each[:, :, None]).any(3) for each in keys), torch.zeros_like(seen[..., 0]))
    rows = (rows + wild.get("q", torch.zeros_like(rows))).bool()
    others = ~of_key_heads((seen & rows[..., None]).any(2), heads)
    compare("out", got["out"], expected["out"], inputs.case.dtype, ~rows)
    none = spoiled.tensors["v"].isnan().all(-1).repeat_interleave(group, 1)
    assert not got["out"][(seen & none[:, :, None]).any(3)].isfinite().any(), "what is seen counts"
    compare("q", got["q"], expected["q"], inputs.case.dtype, ~rows)
    compare("k", got["k"], expected["k"], inputs.case.dtype, others)
    compare("v", got["v"], expected["v"], inputs.case.dtype, others)


def check(text: str, case: Case, seed: int) -> None:
    compilation = compile_text(text)
    calls = find_calls(compilation, replace(case_for(compilation, case), entries=ENTRIES, variant=seed % 5))
    inputs, _ = next(calls)
    expected = run(emitted(compilation, inputs.case), inputs)
    check_what_nobody_sees(compilation, inputs, expected, seed)
    check_who_sees_it(compilation, inputs, expected, seed)


every_case = pytest.mark.parametrize(
    "case", EVERY_CASE, ids=lambda case: f"{case.backend}-{case.dtype}-{case.N}"
)


@pytest.mark.parametrize(
    ("name", "case"),
    in_turn(product(SPECS, EVERY_CASE), turns=4),
    ids=lambda each: f"{each.backend}-{each.dtype}-{each.N}" if isinstance(each, Case) else each,
)
def test_specs(name: str, case: Case) -> None:
    check(f"attention zoo({PARAMS}):\n    {SPECS[name]}\n", case, seed=len(name))


INFINITE = ("log_masked", "division_masked", "power_of_array", "strict", "empty_rows")


@pytest.mark.parametrize("name", [*SPECS, *INFINITE])
def test_finite_tensors_are_looked_at_once(name: str) -> None:
    """Whatever a formula makes of hidden pairs: what stays out of every sum is no reason to look again."""
    text = f"attention zoo({PARAMS}):\n    {SPECS[name]}\n" if name in SPECS else ALL_OF_ZOO[name].text
    compilation = compile_text(text)
    inputs, _ = next(find_calls(compilation, replace(case_for(compilation, NUMPY), entries=ENTRIES)))
    module = load_evaluated(compilation.attention.name, compilation.module)
    own = vars(module).get("_add_seen_rows")

    def refuse(*_: object) -> None:
        raise AssertionError("a sum of finite numbers was no number")

    vars(module)["_add_seen_rows"] = refuse
    try:
        run(emitted(compilation, inputs.case), inputs)
    finally:
        vars(module)["_add_seen_rows"] = own


@pytest.mark.slow
@every_case
@pytest.mark.parametrize("name", SPECS)
def test_specs_again(name: str, case: Case) -> None:
    for seed in range(1, 6):
        check(f"attention zoo({PARAMS}):\n    {SPECS[name]}\n", case, seed)


@cases(3200 // TURNS, 15)
@given(specs(), st.sampled_from(EVERY_CASE), st.sampled_from(LAYOUTS), st.integers(1, 10**6))
def test_random_specs(text: str, case: Case, layout: str, seed: int) -> None:
    try:
        check(text, replace(case, N=min(case.N, 20), M=min(case.M, 40), layout=layout), seed)
    except (AttncError, StopIteration):
        assume(False)  # no kernel for it, or no numbers that it takes
