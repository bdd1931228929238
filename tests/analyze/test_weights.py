"""What is found of normalizations, against the formulas themselves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from torch import Tensor

import attnc
from attnc.algebra.fold import Sums
from attnc.analyze.weights import find_weights
from attnc.compiler import Compilation
from attnc.ir.nodes import Score
from attnc.ir.text import print_ir
from attnc.source import Source

PARAMS = "z: float[H], t: float[B, H, N], c: float, u: float[M]"


def spec(normalize: str) -> str:
    mask = "j <= i or u[j] < 99.0 and z[h] + t[b, h, i] + c < 99.0"
    return f"attention a({PARAMS}):\n    mask {mask}\n    normalize {normalize}\n"


def gate_of(normalize: str) -> str | None:
    """The number behind the softmax, as text; `other` where it is no softmax."""
    attention = Compilation(Source("a.attn", spec(normalize))).attention
    weights = find_weights(attention)
    assert weights.because
    if weights.fold is None:
        assert weights.gate is None
        return "other"
    return print_ir(weights.gate) if weights.gate else None


GATES = {
    "softmax": None,
    "exp(s - max(s)) / sum(exp(s - max(s)))": None,
    "exp(s - c) / sum(exp(s - c))": None,
    "exp(s + mean(s * s)) / sum(exp(s + mean(s * s)))": None,
    "2 * exp(s) / sum(exp(s))": "2.0",
    "exp(s) * c / sum(exp(s))": "c",
    "exp(s) / (2 * sum(exp(s)))": "0.5",
    "exp(s) / sum(exp(s)) / t[b, h, i]": "1.0 / t[b, h, i]",
    "softmax1": "sigmoid(lse)",
    "sink(z[h])": "sigmoid(lse - z[h])",
    "exp(s) / (sum(exp(s)) + exp(t[b, h, i]))": "sigmoid(lse - t[b, h, i])",
    "exp(s) / (exp(z[h]) + exp(c) + sum(exp(s)))": "1.0 / (1.0 + exp(z[h] - lse) + exp(c - lse))",
    "exp(s - c) / (1 + sum(exp(s - c)))": "sigmoid(lse + -c)",
    "exp(s + c) / sum(exp(s))": "exp(c)",
    "exp(s) / sum(exp(s - c))": "exp(-(-c))",
}
# The weight of a key, the sums of the row, and what the result is multiplied with.
SUMS = {
    "sigmoid": ("sigmoid(s)", [], None),
    "relu2": ("relu(s) ** 2.0", [], None),
    "none": ("s", [], None),
    "exp(s)": ("exp(s)", [], None),
    "exp(s) / count()": ("exp(s)", ["1.0"], "1.0 / sum_1"),
    "3 * tanh(s) / t[b, h, i]": ("tanh(s)", [], "3.0 / t[b, h, i]"),
    "relu(s) ** 2 / count()": ("relu(s) ** 2.0", ["1.0"], "1.0 / sum_1"),
    "l1": ("s", ["abs(s)"], "1.0 / sum_1"),
    "softplus_l1": ("softplus(s)", ["softplus(s)"], "1.0 / sum_1"),
    "s / max(abs(sum(s)), 1)": ("s", ["s"], "1.0 / max(abs(sum_1), 1.0)"),
    "mean(s) * s": ("s", ["s", "1.0"], "sum_1 / sum_2"),
    "s * z[h] / (c + sum(s * s))": ("s", ["s * s"], "z[h] / (c + sum_1)"),
    "relu(s) * (j + 1) / (1 + sum(relu(s)))": ("relu(s) * real(j + 1)", ["relu(s)"], "1.0 / (1.0 + sum_1)"),
    "sigmoid(s) / (1 + count() + count() * sum(s * s))": (
        "sigmoid(s)", ["1.0", "s * s"], "1.0 / (1.0 + sum_1 + sum_1 * sum_2)"
    ),
    "sigmoid(s - c)": ("sigmoid(s - c)", [], None),
}  # fmt: skip
GROWS = "exponentials of scores overflow unless one sum divides them"
BARE = "the largest of numbers without a score has no kernel"
OTHER = {
    "exp(s) + exp(s) / sum(exp(s))": GROWS,
    "exp(s) / sum(exp(2 * s))": GROWS,
    "exp(2 * s) / sum(exp(s))": GROWS,
    "exp(s) / (sum(exp(s)) - 1)": GROWS,
    "exp(s) / (c + sum(exp(s)))": GROWS,
    "exp(s) / (sum(exp(s)) + sum(exp(s)))": GROWS,
    "exp(s) * exp(s) / sum(exp(s))": GROWS,
    "exp(s) / sum(exp(s) * u[j])": GROWS,
    "sum(exp(s)) / exp(s)": GROWS,
    "s - max(u[j])": BARE,
    "s * mean(exp(s - mean(s)))": GROWS,
}


@pytest.mark.parametrize("normalize", GATES)
def test_gates(normalize: str) -> None:
    assert gate_of(normalize) == GATES[normalize]


@pytest.mark.parametrize("normalize", SUMS)
def test_sums(normalize: str) -> None:
    weights = find_weights(Compilation(Source("a.attn", spec(normalize))).attention)
    fold = weights.fold
    assert isinstance(fold, Sums) and fold.weight is not None
    gate = print_ir(weights.gate) if weights.gate else None
    assert (print_ir(fold.weight), [print_ir(each) for each in fold.sums], gate) == SUMS[normalize]


@pytest.mark.parametrize("normalize", OTHER)
def test_what_has_no_kernel(normalize: str) -> None:
    weights = find_weights(Compilation(Source("a.attn", spec(normalize))).attention)
    assert weights.fold is weights.gate is None
    assert weights.because[-1].text == OTHER[normalize]


NEVER_NEGATIVE = {
    ("relu(q)", "relu(k)", "dot(q, k)"): "s",
    ("relu(q) + exp(min(q, 0))", "sigmoid(k)", "dot(q, k)"): "s",
    ("exp(q)", "softplus(k)", "dot(q, k) * exp(t[b, h, i])"): "s",
    ("l2(relu(q))", "abs(k)", "dot(q, k) ** 3"): "s",
    ("q", "k", "dot(q, k) ** 2"): "s",
    ("relu(q)", "relu(k)", "dot(q, k) * scale"): "abs(s)",  # a caller may give a scale below 0
    ("max(q, 0)", "relu(k)", "dot(q, k)"): "abs(s)",  # a corner at 0 has another gradient
    ("relu(q)", "k", "dot(q, k)"): "abs(s)",
    ("relu(q)", "relu(k)", "dot(q, k) - 0.5"): "abs(s)",
}


def of_features(query: str, key: str, score: str, normalize: str = "l1") -> str:
    lines = [f"query {query}", f"key {key}", "mask j <= i", f"score {score}", f"normalize {normalize}"]
    return "".join([f"attention a({PARAMS}):\n", *(f"    {line}\n" for line in lines)])


@pytest.mark.parametrize("clauses", NEVER_NEGATIVE)
def test_scores_that_cannot_be_negative_have_no_sign(clauses: tuple[str, str, str]) -> None:
    weights = find_weights(Compilation(Source("a.attn", of_features(*clauses))).attention)
    assert weights.fold is not None
    assert [print_ir(each) for each in weights.fold.sums] == [NEVER_NEGATIVE[clauses]]
    said = [reason.text for reason in weights.because if "no score" in reason.text]
    assert said == (
        ["`abs(s)` is `s`: no score makes that negative"] if weights.fold.sums[0] == Score() else []
    )


@pytest.mark.parametrize("clauses", [each for each, of in NEVER_NEGATIVE.items() if of == "s"])
def test_it_is_the_same_without_a_sign(clauses: tuple[str, str, str]) -> None:
    """The gradient of abs(x) is 0 at 0, and so is that of what is never below."""
    make = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(1, 2, 9, 4, generator=make, dtype=torch.float64) for _ in range(3))
    q[0, 0, :3], k[0, :, 2:5] = 0.0, 0.0
    k[0, 0, :2] = -q[0, 0, 5:7].abs()  # features with nothing in common
    zeros = torch.zeros(2, dtype=torch.float64)
    arguments = {
        "z": zeros,
        "t": torch.zeros(1, 2, 9, dtype=torch.float64),
        "c": 0.0,
        "u": zeros.new_zeros(9),
    }
    text = of_features(*clauses, "s / (0.1 + sum(abs(s)))")
    made = []
    for backend in ("cpu", "reference"):
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        out = attnc.compile(text, backend=backend)(*leaves, **arguments)
        made.append([out, *torch.autograd.grad(out.sin().sum(), leaves)])
    for found, expected in zip(*made, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


# ---- against the interpreter -------------------------------------------------------------------------


def call(normalize: str, size: float, backend: str, has_lse: bool = True) -> list[Tensor]:
    """Output, log-sum-exp and the gradients of every tensor."""
    make = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make, dtype=torch.float64).requires_grad_()

    q, k, v, z, t = draw(2, 3, 9, 4), draw(2, 3, 11, 4), draw(2, 3, 11, 5), draw(3), draw(2, 3, 9)
    f = attnc.compile(spec(normalize), backend=backend)
    arguments = {"z": z, "t": t, "c": 0.7, "u": torch.zeros(11, dtype=torch.float64), "scale": size}
    out, lse = (
        f(q, k, v, **arguments, return_lse=True) if has_lse else (f(q, k, v, **arguments), torch.zeros(1))
    )
    weights = torch.randn(out.shape, generator=make, dtype=torch.float64)
    total = (out * weights).sum() + lse.sin().sum()
    return [out, lse, *torch.autograd.grad(total, (q, k, v, z, t), allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("size", [0.5, 100.0])
@pytest.mark.parametrize("normalize", GATES)
def test_they_mean_the_formula(normalize: str, size: float) -> None:
    for found, expected in zip(call(normalize, size, "cpu"), call(normalize, size, "reference"), strict=True):
        assert found.isfinite().all()
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


ROW_NUMBERS = ("z[h]", "t[b, h, i]", "c", "(0.3)")


@st.composite
def softmaxes(draw: st.DrawFn) -> str:
    """`a * exp(s + x) / (exp(y) + .. + sum(exp(s + w))) / d`, with parts left out."""
    number = st.sampled_from(ROW_NUMBERS)
    inside, outside = (
        draw(st.sampled_from(["", f"+ {draw(number)}", f"- {draw(number)}"])) for _ in range(2)
    )
    more = draw(st.lists(st.one_of(number.map(lambda z: f"exp({z})"), st.just("1.5")), max_size=2))
    below = draw(st.permutations([*more, f"sum(exp(s {inside}))"]))
    above = draw(st.permutations([f"exp(s {outside})", *draw(st.lists(st.just("(2 + sin(c))"), max_size=1))]))
    divided = draw(st.sampled_from(["", " / (2 + sin(t[b, h, i]))"]))
    return f"{' * '.join(above)} / ({' + '.join(below)}){divided}"


@cases(40, 12)
@given(softmaxes())
def test_random_ones_mean_the_formula(normalize: str) -> None:
    assert gate_of(normalize) != "other"
    for found, expected in zip(call(normalize, 0.8, "cpu"), call(normalize, 0.8, "reference"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("normalize", "size"), [(n, size) for n in SUMS for size in (0.5, 100.0) if size < 1 or "exp(s)" not in n]
)
def test_sums_mean_the_formula(normalize: str, size: float) -> None:
    expected = call(normalize, size, "reference", has_lse=False)
    for found, wanted in zip(call(normalize, size, "cpu", has_lse=False), expected, strict=True):
        assert found.isfinite().all()
        torch.testing.assert_close(
            found, wanted, rtol=1e-9, atol=1e-9 * float(wanted.detach().abs().max() + 1)
        )


PARTS = [
    "relu(s)",
    "sigmoid(s)",
    "softplus(s)",
    "tanh(s)",
    "abs(s)",
    "s",
    "s * s",
    "(s if s > 0 else 0.1 * s)",
    "cos(s)",
]


@st.composite
def sums(draw: st.DrawFn) -> str:
    """`f(s) * g(s) * number / (2 + sums that are not negative)`."""
    part = st.sampled_from(PARTS)
    weight = " * ".join(draw(st.lists(part, min_size=1, max_size=2)))
    positive = st.sampled_from(["relu(s)", "s * s", "softplus(s)", "abs(s)", "sigmoid(s) * (1 + j % 2)"])
    below = [
        "2",
        *(
            f"{draw(st.sampled_from(['sum', 'mean']))}({draw(positive)})"
            for _ in range(draw(st.integers(0, 2)))
        ),
    ]
    above = draw(st.sampled_from(["", " * z[h]", " * t[b, h, i]", " * count()", f" * sum({draw(part)})"]))
    return f"{weight}{above} / ({' + '.join(below)})"


@cases(60, 20)
@given(sums())
def test_random_sums_mean_the_formula(normalize: str) -> None:
    expected = call(normalize, 0.8, "reference", has_lse=False)
    for found, wanted in zip(call(normalize, 0.8, "cpu", has_lse=False), expected, strict=True):
        torch.testing.assert_close(
            found, wanted, rtol=1e-9, atol=1e-9 * float(wanted.detach().abs().max() + 1)
        )


def test_no_log_sum_exp_where_there_is_none() -> None:
    q = torch.randn(1, 1, 4, 8)
    f = attnc.compile("attention a():\n    normalize sigmoid\n")
    with pytest.raises(ValueError, match="`return_lse` needs a normalization by sum"):
        f(q, q, q, return_lse=True)
