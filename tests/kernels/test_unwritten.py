"""Nothing is read before it was written: new memory is full of what is no number, and the results are numbers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from kernel_checks import NUMPY, case_for, compile_text
from zoo import BIASES, DISTANCES, MASKS, TOKENS

from attnc.verify.cases import Backend
from attnc.verify.measure import emitted, find_calls, is_regular, run

ZOO = {**BIASES, **MASKS, **DISTANCES, **TOKENS}
SPECS = (
    "bias_bhnm", "bias_column", "bias_row", "bias_table", "empty_rows", "empty_columns", "false", "unsorted_documents",
    "three_pieces", "slope", "sink", "relu2_count", "l2", "max_norm", "gauss_mean", "arrays_in_weights",
    "array_in_score_and_weights",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_numbers_in_new_memory() -> Iterator[None]:
    """So it is where torch is asked to be deterministic."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(3).isnan().all() and torch.ones(2).new_empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("backend", ["cpu", "numpy"])
@pytest.mark.parametrize("name", SPECS)
def test_new_memory(name: str, backend: Backend) -> None:
    spec = ZOO[name]
    compilation = compile_text(spec.text)
    fixed = {"numbers": spec.numbers, "entries": spec.entries, "backend": backend}
    inputs, expected = next(find_calls(compilation, case_for(compilation, NUMPY, spec.square, **fixed)))
    found = run(emitted(compilation, inputs.case), inputs)
    assert expected.keys() - {"lse"} <= found.keys()
    assert all(is_regular(name, x) for name, x in found.items())
