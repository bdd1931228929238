"""What emitted code computes for a zoo of specs, on both paths, values and every gradient; and that it builds."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from kernel_checks import CPU, NUMPY, Measure, assert_holds, case_for, compile_text
from turns import in_turn
from zoo import BIASES, DISTANCES, MASKS, SCORES, TOKENS

from attnc.inspect.build import build_ttir
from attnc.inspect.launches import find_launches
from attnc.inspect.targets import SM_90
from attnc.run.loader import load_module
from attnc.verify.cases import Case
from attnc.verify.measure import find_calls

# The dtype that people train in, with units of GPUs that order products another way.
HALF = replace(NUMPY, dtype="bfloat16", variant=1, unit="mma")
ZOO = {**BIASES, **MASKS, **SCORES, **DISTANCES, **TOKENS}
LARGER = [
    Case("cpu", "float32", N=200, M=150, D=40, DV=24, H=3, HKV=1, B=2, layout="transposed", variant=3),
    Case(
        "cpu", "bfloat16", N=150, M=140, D=32, DV=16, H=2, HKV=2, B=1, layout="strided", scale=-0.2, variant=4
    ),
    Case(
        "numpy", "float32", N=129, M=142, D=72, DV=40, H=2, HKV=1, layout="strided", variant=4, tile=(32, 32)
    ),
    Case(
        "numpy", "float16", N=127, M=65, D=40, DV=72, H=2, HKV=2, layout="expanded", variant=5, tile=(16, 32)
    ),
]


@pytest.mark.parametrize(
    ("case", "name"),
    [*product([CPU, NUMPY], ZOO), *product([HALF], in_turn(ZOO, turns=4))],
    ids=lambda each: f"{each.backend}-{each.dtype}" if isinstance(each, Case) else each,
)
def test_zoo(measure: Measure, case: Case, name: str) -> None:
    spec = ZOO[name]
    compilation = compile_text(spec.text)
    fixed = {"numbers": spec.numbers, "entries": spec.entries}
    assert_holds(measure(compilation, case_for(compilation, case, spec.square, **fixed)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_zoo_at_length(measure: Measure, name: str) -> None:
    """One of the larger cases for each spec."""
    spec, place = ZOO[name], list(ZOO).index(name)
    compilation = compile_text(spec.text)
    fixed = {"numbers": spec.numbers, "entries": spec.entries}
    case = LARGER[place % len(LARGER)]
    measurement = measure(compilation, case_for(compilation, case, spec.square, **fixed))
    if not measurement.is_skipped:  # an array of the spec may be too short for such lengths
        assert_holds(measurement)


# The same text with another constant: of the second looks a share is built.
LOOK_AGAIN = in_turn(ZOO.values())


@pytest.mark.parametrize("name", in_turn(ZOO))
def test_zoo_builds(name: str) -> None:
    """Triton's interpreter takes much that its compiler refuses."""
    spec = ZOO[name]
    compilation = compile_text(spec.text)
    small = Case("cpu", "bfloat16", 29, 17, 16, 24, 4, 2, numbers=spec.numbers, entries=spec.entries)
    found = next(find_calls(compilation, case_for(compilation, small, spec.square)), None)
    assert found is not None
    inputs, _ = found
    name = compilation.attention.name
    module = load_module("zoo", compilation.module)
    for launch in find_launches(module, name, inputs.tensors | inputs.arguments, SM_90):
        if launch.is_second and spec not in LOOK_AGAIN:
            continue
        assert "tt.func public" in build_ttir(launch, SM_90), launch.name


@pytest.mark.parametrize("name", ["row_only", "row_only_slope", "row_and_column"])
def test_softmax_loses_what_every_key_of_a_row_has(name: str) -> None:
    """Through the output its gradient is 0, not nearly; through the log-sum-exp, what comes to that."""
    compilation = compile_text(ZOO[name].text)
    found = next(find_calls(compilation, case_for(compilation, CPU)), None)
    assert found is not None
    inputs, _ = found
    tensors, arguments = inputs.leaves()
    zoo = load_module("zoo", compilation.module).zoo
    out, lse = zoo(*tensors.values(), **arguments, scale=inputs.case.scale, return_lse=True)
    through_out, through_lse = (
        torch.autograd.grad(result, arguments["t"], given, retain_graph=True)[0]
        for result, given in ((out, inputs.dout), (lse, torch.ones_like(lse)))
    )
    assert not through_out.any() and through_lse.all()
