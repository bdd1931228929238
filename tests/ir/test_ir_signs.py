"""What is said of the sign of a real is so, for every value of what it speaks of."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from scalar_meaning import Scene, meaning

from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.signs import is_at_least_0, is_at_most_0, is_positive, is_within_1

NUMBERS = st.sampled_from([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0])


def reals(depth: int) -> SearchStrategy[ir.Real]:
    leaves = st.one_of(NUMBERS.map(ir.RealConst), st.just(ir.Score()), st.just(ir.RealParam("x")))
    if depth == 0:
        return leaves
    a = reals(depth - 1)
    return st.one_of(
        leaves,
        st.builds(ir.RealOp, st.sampled_from(["+", "-", "*", "/", "min", "max"]), a, a),
        st.builds(
            lambda a, n: ir.RealOp("**", a, ir.RealConst(n)), a, st.sampled_from([2.0, 3.0, 4.0, -1.0, 0.5])
        ),
        st.builds(lambda a: build.real("*", a, a), a),
        st.builds(
            build.call,
            st.sampled_from(
                ["exp", "sigmoid", "softplus", "sqrt", "abs", "relu", "tanh", "sin", "cos", "silu"]
            ),
            a,
        ),
    )


@settings(max_examples=3000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(reals(3), NUMBERS, NUMBERS)
def test_signs(term: ir.Real, score: float, x: float) -> None:
    """Over the reals: where a value is no number, or lost to rounding, nothing is said."""
    value = float(meaning(term, Scene({"x": x}, score=score)))
    assume(math.isfinite(value))
    assert value <= 1e-9 or not is_at_most_0(term)
    assert value >= -1e-9 or not is_at_least_0(term)
    assert value >= 0 or not is_positive(term)
    assert abs(value) <= 1 + 1e-9 or not is_within_1(term)
