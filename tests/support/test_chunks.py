"""Linear attention in chunks, against its formula pair by pair: values, every gradient, and what nobody sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from linear_oracle import Call, draw, pairwise
from torch import Tensor

from attnc.support.chunks import _chunked_backward_cpu, _chunked_forward_cpu, _in_chunks
from attnc.support.linear_pairs import _pairs_backward, _pairs_forward

SIZES = (
    (1, 1, 0),
    (5, 5, 0),
    (16, 16, 0),
    (3, 20, 17),
    (20, 3, -17),
    (37, 37, 0),
    (64, 64, 0),
    (65, 65, 0),
    (150, 150, 0),
    (37, 100, 63),
    (100, 37, -63),
    (70, 64, -80),
)


def in_chunks(call: Call) -> dict[str, Tensor]:
    out, sums = _chunked_forward_cpu(*call.given, True)
    return named(out, sums, _chunked_backward_cpu(call.dout, call.dsums, *call.given))


def named(out: Tensor, sums: Tensor, gradients: tuple[Tensor | None, ...]) -> dict[str, Tensor]:
    names = ("df", "dg", "dv", "dsteps")
    return {"out": out, "sums": sums} | {n: x for n, x in zip(names, gradients, strict=True) if x is not None}


def apart(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Relative, in the norm of each result; a result of nothing has to be nothing."""
    assert found.keys() == expected.keys()
    assert all(found[n].shape == expected[n].shape for n in expected)
    return {n: float((found[n] - x).norm() / x.norm().clamp(min=1e-30)) for n, x in expected.items()}


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("gates", ["none", "numbers", "channels"])
@pytest.mark.parametrize(("N", "M", "offset"), SIZES)
def test_against_the_formula(N: int, M: int, offset: int, gates: str, documents: bool) -> None:
    call = draw(N, M, offset, gates, documents)
    for name, error in apart(in_chunks(call), pairwise(call)).items():
        assert error < 1e-12, (name, error)


@pytest.mark.parametrize(
    ("tokens", "chunks", "size"), [(1, 1, 1), (2, 1, 2), (17, 1, 32), (64, 1, 64), (65, 2, 64)]
)
def test_few_tokens_have_a_short_chunk(tokens: int, chunks: int, size: int) -> None:
    """A step of one token is computed as one, and not as 64."""
    call = draw(tokens, tokens, 0, "numbers", True)
    *parts, seen = _in_chunks(*call.given)
    assert {x.shape[1:3] for x in (*parts, *(x.unsqueeze(3) for x in seen))} == {(chunks, size)}


@pytest.mark.parametrize("steepness", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("gates", ["numbers", "channels"])
def test_steep_gates_and_random_walks(gates: str, steepness: float) -> None:
    """Exponents of a chunk of steep steps are thousands; only their differences are rounded to float32."""
    call = draw(130, 130, 0, gates, True, steepness=steepness).to(torch.float32)
    expected = pairwise(call)
    for name, error in apart(in_chunks(call), expected).items():
        assert error < 3e-5, (name, error)
    exact = draw(130, 130, 0, gates, True, steepness=steepness)
    for name, error in apart(in_chunks(exact), pairwise(exact)).items():
        assert error < 1e-10, (name, error)


@pytest.mark.parametrize("gates", ["none", "numbers", "channels"])
def test_half_precision_has_wide_states(gates: str) -> None:
    call = draw(100, 100, 0, gates, False, widths=(16, 16)).to(torch.bfloat16)
    for name, error in apart(in_chunks(call), pairwise(call)).items():
        assert error < 1e-5, (name, error)


@pytest.mark.parametrize("gates", ["none", "numbers", "channels"])
def test_pairs_say_the_same(gates: str) -> None:
    call = draw(70, 90, 20, gates, True)
    out, sums = _pairs_forward(*call.given, True)
    found = named(out, sums, _pairs_backward(call.dout, call.dsums, *call.given))
    for name, error in apart(found, pairwise(call)).items():
        assert error < 1e-12, (name, error)


def test_what_nobody_reads_has_no_sizes() -> None:
    """No key, or no query that sees one."""
    for N, M, offset in ((3, 0, 0), (5, 9, -5), (5, 9, -100)):
        call = draw(N, M, offset, "numbers", False)
        assert all(x.count_nonzero() == 0 for x in in_chunks(call).values())


@given(
    st.integers(0, 2**20), st.integers(1, 80), st.integers(1, 80), st.integers(-20, 40), st.booleans(),
    st.sampled_from(["none", "numbers", "channels"]), st.sampled_from(["f", "g", "v", "steps", "dout"]),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
)  # fmt: skip
def test_what_is_not_seen_spoils_nothing(
    seed: int, N: int, M: int, offset: int, documents: bool, gates: str, where: str, poison: float
) -> None:
    """A token that is no number: results are finite, and the same, wherever the formula's are."""
    call = draw(N, M, offset, gates, documents, seed=seed)
    tensor = getattr(call, where)
    if tensor is None:
        return
    tensor = tensor.clone()
    tensor[:, :, seed % tensor.shape[2]] = poison
    call = replace(call, **{where: tensor})
    expected, found = pairwise(call), in_chunks(call)
    for name, x in expected.items():
        finite = x.isfinite()
        assert found[name][finite].isfinite().all(), name
        torch.testing.assert_close(found[name][finite], x[finite], atol=1e-9, rtol=1e-9)
