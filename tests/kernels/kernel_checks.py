"""Specs to compilations and to functions, and measurements to assertions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, TypeAlias

from compilations import compiled, on_tiles

from attnc.compiler import Compilation
from attnc.evaluate import load_evaluated
from attnc.verify.cases import Case
from attnc.verify.inputs import is_square
from attnc.verify.report import Measurement

Measure: TypeAlias = Callable[[Compilation, Case], Measurement]
# A little more than one tile each way, several heads to a key head, widths that are no powers of two.
CPU = Case("cpu", "float64", N=67, M=53, D=16, DV=24, H=4, HKV=2, B=2, layout="sliced", variant=1)
NUMPY = Case(
    "numpy", "float32", N=37, M=29, D=16, DV=24, H=2, HKV=1, B=2, scale=0.3, variant=2, tile=(16, 16)
)
TRITON = replace(NUMPY, backend="triton")
WORST_IN_FLOAT64 = 1e-10


def compile_text(text: str) -> Compilation:
    return on_tiles(compiled(text, "zoo.attn"))


def evaluated(compilation: Compilation) -> ModuleType:
    """The module, whose kernels are evaluated in NumPy and take tensors on the CPU."""
    module = load_evaluated(compilation.attention.name, compilation.module)
    vars(module)["_choose"] = lambda backend, q: backend
    return module


def case_for(compilation: Compilation, case: Case, is_self_attention: bool = False, **changes: Any) -> Case:
    """The case, with as many keys as queries where the spec needs that."""
    square = is_self_attention or is_square(compilation.attention)
    return replace(case, **({"M": case.N} if square else {}), **changes)


def assert_holds(measurement: Measurement) -> None:
    assert not measurement.is_skipped, measurement.label
    assert not measurement.problem, measurement.problem
    said = f"{measurement.label}: " + ", ".join(f"{q.name} {q}" for q in measurement.quantities)
    assert measurement.holds, said
    if measurement.case.dtype == "float64":
        assert all(q.error <= WORST_IN_FLOAT64 for q in measurement.quantities), said


def check(measure: Measure, text: str, *cases: Case) -> None:
    """Measure a spec in each of the cases."""
    compilation = compile_text(text)
    for case in cases:
        assert_holds(measure(compilation, case_for(compilation, case)))
