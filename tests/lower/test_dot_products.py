"""What is a dot product of a query and a key, however it is written, and what is none."""

from __future__ import annotations

import pytest
import torch
from compilations import compiled
from read_ir import parse_term

from attnc.errors import AttncError
from attnc.ir.nodes import Dot, SumD
from attnc.ir.text import print_ir
from attnc.lower.dot_products import as_dot

SORTS = dict.fromkeys(("U", "V", "w", "t", "E"), "float")
FOUND = {
    "sum_d(q * k)": "dot(q, k)",
    "sum_d(k * q)": "dot(q, k)",
    "sum_d(U[b, h, i, :] * V[b, h, j, :])": "dot(U[b, h, i, :], V[b, h, j, :])",
    "sum_d(q * U[b, h, i, :] * V[b, h, j, :])": "dot(q * U[b, h, i, :], V[b, h, j, :])",
    "sum_d(splat(real(i - j)) * (relu(q) * l2(k)))": "real(i - j) * dot(relu(q), l2(k))",
    "dot(q * k, splat(tanh(t[b, j])))": "tanh(t[b, j]) * dot(q, k)",
    "sum_d(-(q * k) / splat(t[h]))": "-1.0 * dot(q, k) / t[h]",
    "sum_d(q * (k * splat(t[b, j])))": "dot(q, k * splat(t[b, j]))",
    "sum_d((q + U[b, h, i, :]) * (k - V[b, h, j, :]))": "dot(q + U[b, h, i, :], k - V[b, h, j, :])",
}
NONE = (
    "sum_d(q + k)",
    "sum_d((U[b, h, i, :] - V[b, h, j, :]) ** splat(2.0))",
    "dot(q - k, w[h, :])",
    "dot(q * k, w[h, :])",  # a product with `w` would be one that nobody wrote
    "sum_d(q * (k * q))",
    "sum_d(q * (k * exp(U[b, h, i, :] - V[b, h, j, :])))",
    "sum_d(q * k / V[b, h, j, :])",
    "sum_d(q * k * splat(t[b, j]))",  # which may be -inf
    "sum_d(q * k / splat(t[b, j]))",
    "sum_d(splat(t[b, i]) * (splat(t[b, j]) * k))",
    "dot(q, relu(q * k))",
    "dot(q, E[i - j, :])",
)


def term_of(text: str) -> Dot | SumD:
    found = parse_term(text, SORTS)
    assert isinstance(found, Dot | SumD)
    return found


@pytest.mark.parametrize("text", FOUND)
def test_sums_that_are_dot_products(text: str) -> None:
    found = as_dot(term_of(text))
    assert found is not None and print_ir(found) == FOUND[text]


@pytest.mark.parametrize("text", NONE)
def test_sums_that_are_none(text: str) -> None:
    assert as_dot(term_of(text)) is None


def test_both_spellings_have_the_same_kernels() -> None:
    """But for the text of the spec, and what is said of it."""
    params = "U: float[B, H, N, 8], V: float[B, H, M, 8]"
    spellings = ("dot(U[b, h, i, :], V[b, h, j, :])", "sum_d(V[b, h, j, :] * U[b, h, i, :])")
    one, other = (
        compiled(f"attention a({params}):\n    score dot(q, k) * scale + {each}\n").show("kernel")
        for each in spellings
    )
    assert "dot_rows(query_2" in one and one == other


APART = {
    "sum_d((U[b, i, :] - U[b, j, :]) ** 2)": (
        "sum_d(U[b, i, :] ** 2) - 2 * dot(U[b, i, :], U[b, j, :]) + sum_d(U[b, j, :] ** 2)"
    ),
    "dot(q * k, w[h, :])": "dot(w[h, :] * q, k)",
    "sum_d(q - k) / D": "sum_d(q) - sum_d(k)",
    "dot(w[h, :], (q + k) * (q - k))": "sum_d(w[h, :] * q ** 2) - sum_d(w[h, :] * k ** 2)",
    "sum_d(q * k / (1 + t[b, j]))": "1 / (1 + t[b, j]) * dot(q, k)",
    "sum_d(q * k * exp(w[h, :] * (i - j)))": None,
    "sum_d(relu(q - k))": None,
    "dot(relu(q * k), w[h, :])": None,
}


@pytest.mark.parametrize("text", APART)
def test_what_is_none_has_no_kernel_and_may_be_written_so_that_it_has(text: str) -> None:
    params = "w: float[H, D], U: float[B, N, 3], t: float[B, M]"
    with pytest.raises(AttncError) as raised:
        _ = compiled(f"attention a({params}):\n    score {text}\n").plan
    (found,) = raised.value.diagnostics
    assert found.message == "`a` has no kernel yet: a vector depends on a query and a key at once"
    apart = APART[text]
    several = "; where its products cancel each other, their errors stay" if " - " in str(apart) else ""
    how = f"written as `{apart}` it has one{several}"
    assert found.helps == ('`backend="reference"` runs it on the interpreter', *([how] if apart else []))
    if apart:
        assert (
            compiled(f"attention a({params}):\n    score dot(q, k) + {apart}\n").plan.schedule.name == "tiled"
        )


def test_a_sum_has_the_result_of_the_interpreter_and_its_gradients() -> None:
    text = "attention a(U: float[B, N, 3], t: float[B, M]):\n    mask j <= i\n    score {}\n"
    f = compiled(
        text.format("sum_d(q * tanh(t[b, j]) * k) + sum_d(U[b, i, :] * U[b, j, :] * (1 + j) / N)")
    ).function()
    make = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=make, dtype=torch.float64).requires_grad_()

    q, k, v, U, t = (draw(2, 3, 7, 4), *(draw(2, 3, 7, 4) for _ in range(2)), draw(2, 7, 3), draw(2, 7))
    given = (q, k, v, U, t)
    out, expected = f(q, k, v, U=U, t=t), f.reference(q, k, v, U=U, t=t)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    weight = torch.randn(out.shape, generator=make, dtype=torch.float64)
    for got, wanted in zip(
        *(torch.autograd.grad((each * weight).sum(), given) for each in (out, expected)), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
