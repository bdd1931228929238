"""Linear attention over all keys of a document, against its formula pair by pair."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear_oracle import Call, draw, pairwise
from torch import Tensor
from torch.testing import assert_close

from attnc.support.both_ways import _both_ways_backward, _both_ways_forward


def both_ways(call: Call) -> dict[str, Tensor]:
    given = call.f, call.g, call.v, call.of_queries, call.of_keys
    out, sums = _both_ways_forward(*given, True)
    gradients = _both_ways_backward(call.dout, call.dsums, *given)
    return {"out": out, "sums": sums} | dict(zip(("df", "dg", "dv"), gradients, strict=True))


def seen(call: Call) -> Call:
    """The same without a causal bound."""
    return replace(call, offset=call.g.shape[2])


@pytest.mark.parametrize(
    ("N", "M"), [(1, 1), (37, 37), (64, 64), (150, 150), (37, 100), (100, 37), (200, 64)]
)
def test_against_the_formula(N: int, M: int) -> None:
    call = draw(N, M, 0, "none", True)
    expected = pairwise(seen(call))
    for name, found in both_ways(call).items():
        assert_close(found, expected[name], atol=1e-11, rtol=1e-11, msg=name)


@given(
    st.integers(0, 2**20), st.integers(1, 80), st.integers(1, 80), st.sampled_from(["f", "g", "v", "dout"]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
)  # fmt: skip
def test_what_is_not_seen_spoils_nothing(seed: int, N: int, M: int, where: str, poison: float) -> None:
    call = draw(N, M, 0, "none", True, seed=seed)
    tensor = getattr(call, where).clone()
    tensor[:, :, seed % tensor.shape[2]] = poison
    call = replace(call, **{where: tensor})
    expected = pairwise(seen(call))
    for name, found in both_ways(call).items():
        finite = expected[name].isfinite()
        assert_close(found[finite], expected[name][finite], atol=1e-9, rtol=1e-9, msg=name)
