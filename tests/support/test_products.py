"""Two products of matrices, against the formula pair by pair."""

from __future__ import annotations

import pytest
import torch
from linear_oracle import draw, pairwise
from test_chunks import apart, named

from attnc.support.products import _products_backward, _products_forward


@pytest.mark.parametrize(("N", "M"), [(1, 1), (37, 50), (50, 37), (3, 0)])
def test_against_the_formula(N: int, M: int) -> None:
    call = draw(N, M, max(N, M), "none", False)
    out, sums = _products_forward(call.f, call.g, call.v, True)
    found = named(out, sums, (*_products_backward(call.dout, call.dsums, call.f, call.g, call.v), None))
    for name, error in apart(found, pairwise(call)).items():
        assert error < 1e-12, (name, error)
    assert torch.equal(_products_forward(call.f, call.g, call.v, False)[0], out)
