"""Separable biases: what is found is what is written, at every pair; what is not is named; and the bound holds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from compilations import compiled
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from rebuilt import draw, sides_of
from sides import Sides

from attnc.algebra.atoms import side_of
from attnc.analyze.biases import find_bias
from attnc.analyze.facts import Bias
from attnc.compiler import Compilation
from attnc.run.values import int_value
from attnc.source import Source

PARAMS = (
    "slope: float[H], x: float[B, N], y: float[B, M], G: float[B, H, N], bias: float[H, N, M], table: float[H, 2 * M],"
    " U: float[B, N, 3], V: float[B, M, 3], on: bool[B, M], c: float"
)
SPLIT = (
    "slope[h] * (i - j)",
    "(i - j) ** 2 / M",
    "slope[h] * (i - j) ** 3 / M ** 2",
    "(x[b, i] - y[b, j]) ** 2",
    "x[b, i] * y[b, j]",
    "(1 + x[b, i]) * (1 + y[b, j])",
    "cos(slope[h] * (i - j))",
    "exp(G[b, h, i] - G[b, h, j])",
    "0.9 ** (i - j)",
    "dot(U[b, i, :], V[b, j, :])",
    "sum_d((U[b, i, :] - V[b, j, :]) ** 2)",
    "dot(U[b, i, :], V[b, j, :]) ** 2",
    "x[b, i] / (2 + y[b, j])",
    "(x[b, i] if on[b, j] else y[b, j])",
    "c * log(M)",
    "slope[h] * x[b, i]",
    "sqrt(y[b, j])",
    "(0 if on[b, j] else -1e4)",
)
OTHERS = {
    "bias[h, i, j]": "`bias[h, i, j]` reads `bias` by the query and the key at once",
    "table[h, i - j + M]": "`table[h, i - j + M]` reads `table` by the query and the key at once",
    "slope[h] * abs(x[b, i] - y[b, j])": "drops the sign of each pair, and `x[b, i] - y[b, j]` may have either",
    "log(1 + (i - j) ** 2)": "`log(1 + (i - j) ** 2)` does not split into a part of the query and a part of the key",
    "exp(-(i - j) ** 2)": "has `2 * i * j`, which has the query and the key in one product, in its exponent",
    "c * sigmoid(x[b, i] + y[b, j])": "`sigmoid(x[b, i] + y[b, j])` does not split",
    "(c if i - j < 3 else 0)": "`i - j < 3` chooses by the query and the key at once",
    "tanh(dot(U[b, i, :], V[b, j, :]))": "is not a polynomial of dot products",
}


def spec(score: str, normalize: str = "softmax", mask: str = "true") -> Compilation:
    return compiled(
        f"attention a({PARAMS}):\n    mask      {mask}\n    score     {score}\n    normalize {normalize}\n"
    )


def bias_of(compilation: Compilation) -> Bias | None:
    return find_bias(compilation.attention, compilation.facts.implied, compilation.facts.weights)


@dataclass
class Case:
    """A score, the same without its dot product and what does not split, and how often that stands in it."""

    score: str
    split: str
    others: list[str]
    normalize: str


@st.composite
def sums(draw: st.DrawFn) -> Case:
    split = draw(st.lists(st.sampled_from(SPLIT), max_size=3))
    others = draw(st.lists(st.sampled_from(list(OTHERS)), max_size=2, unique=True))
    signed = [(draw(st.sampled_from("+-")), each, each in OTHERS) for each in (*split, *others)]
    signed = draw(st.permutations(signed)) or [("+", "c", False)]
    before, after = draw(
        st.sampled_from([("", "* scale"), ("c *", "/ M"), ("slope[h] -", ""), ("-", ""), ("2 * -", "/ 3")])
    )

    def written(first: str, parts: list[tuple[str, str, bool]]) -> str:
        return f"{before} ({' '.join([first, *(f'{sign} {each}' for sign, each, _ in parts)])}) {after}"

    return Case(
        score=written("dot(q, k)", signed),
        split=written("0 * c", [each for each in signed if not each[2]]),
        others=others,
        normalize=draw(st.sampled_from(["softmax", "softmax", "sigmoid", "sink(0.5)"])),
    )


@cases(300, 40)
@given(sums())
def test_what_is_found_is_what_is_written(case: Case) -> None:
    compilation = spec(case.score, case.normalize)
    found = bias_of(compilation)
    call = draw(compilation, tokens=9)
    sides = sides_of(compilation.attention, *call)
    expected = sides.at_pairs(spec(case.split).attention.score)
    if found is None:
        assert not case.others and (case.normalize != "softmax" or not expected.any())
        torch.testing.assert_close(
            expected, expected[..., :1, :1].expand_as(expected), rtol=1e-12, atol=1e-12
        )
        return
    parts = [sides.part(each) for each in (*found.terms, *found.lost)]
    size = sum((part.abs() for part in parts), expected.abs())
    got = sum(parts, torch.zeros_like(expected))
    assert ((got - expected).abs() <= 1e-12 * (1 + size)).all()

    named = [reason.text for reason in found.others]
    assert len(named) == len(case.others)
    assert all(any(OTHERS[each] in text for text in named) for each in case.others), named
    assert all(reason.span is not None for reason in found.others)

    assert all(side_of(each.term) in ("call", "query") for each in found.lost)
    if case.normalize == "softmax":
        assert all(side_of(each.term) in ("key", "pair") for each in found.terms)
    else:
        assert found.lost == ()
    for terms, rank in ((found.terms, found.rank), ((*found.terms, *found.lost), found.rank_of_all)):
        for each in sides.kernel(terms)[0]:
            assert torch.linalg.matrix_rank(each, rtol=1e-10) <= int_value(rank, sides.values)


@pytest.mark.parametrize("text", SPLIT)
def test_each_summand_is_found(text: str) -> None:
    found = bias_of(spec(f"dot(q, k) + {text}"))
    assert found is not None and found.others == () and (found.terms or found.lost)


@pytest.mark.parametrize("text", OTHERS)
def test_each_that_does_not_split_is_named(text: str) -> None:
    found = bias_of(spec(f"dot(q, k) + {text}"))
    assert found is not None and not (found.terms or found.lost)
    (reason,) = found.others
    assert OTHERS[text] in reason.text and reason.span is not None and reason.span.line == 3


@pytest.mark.parametrize(
    "score",
    [
        "dot(q, k) * scale",
        "c * tanh(dot(q, k) * scale / c)",
        "dot(q, k) * exp(G[b, h, i] - G[b, h, j])",
        "sum_d(q * k * exp(U[b, i, :] - V[b, j, :]))",
        "bias[h, i, j]",  # nothing that it is added to
        "x[b, i] * y[b, j]",
    ],
)
def test_there_may_be_no_bias(score: str) -> None:
    assert bias_of(spec(score)) is None


@pytest.mark.parametrize(
    ("normalize", "loses"),
    [
        ("softmax", True),
        ("exp(2 * s) / sum(exp(2 * s))", True),
        ("exp(s) / sum(exp(s)) * x[b, i]", True),
        ("softmax1", False),
        ("sink(slope[h])", False),
        ("sigmoid", False),
        ("l1", False),
        ("exp(s - mean(s)) / sum(exp(s - mean(s)))", True),
        ("relu(exp(s) / sum(exp(s)) - 0.01)", False),
    ],
)
def test_who_loses_what_a_query_adds(normalize: str, loses: bool) -> None:
    """Beside an oracle: weights with and without it."""
    found = bias_of(spec("dot(q, k) * scale + slope[h] * (i - j)", normalize))
    assert found is not None and bool(found.lost) == loses
    if loses:
        weights = []
        for score in ("slope[h] * (i - j)", "-slope[h] * j"):
            f = spec(f"dot(q, k) * scale + {score}", normalize)
            q, k, arguments = draw(f, tokens=9)
            weights.append(
                f.function().reference(q, k, torch.eye(9).double().expand(2, 1, 9, 9), **arguments)
            )
        torch.testing.assert_close(*weights, rtol=1e-12, atol=1e-12)


def test_no_kernel_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("attnc.explain.find_bias", asked)
    text = "attention a():\n    score dot(q, k) - (i - j) ** 2\n"
    assert "(i - j)" in Compilation(Source("a.attn", text)).module
    with pytest.raises(AssertionError):
        Compilation(Source("a.attn", text)).explain()


# ---- what it would cost to fold it into queries and keys ------------------------------------------------

DTYPES = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "text", ["(i - j) ** 2 / M", "slope[h] * (i - j) ** 3 / M ** 2", "(x[b, i] - y[b, j]) ** 2",
             "cos(slope[h] * (i - j))", "c * (i - j) + x[b, i] * y[b, j]"],
)  # fmt: skip
def test_the_bound_of_features_holds(text: str, dtype: torch.dtype) -> None:
    compilation = spec(f"dot(q, k) + {text}")
    found = bias_of(compilation)
    assert found is not None
    sides = sides_of(compilation.attention, *draw(compilation, tokens=40))
    exact, folded, size = features(found, sides, dtype)
    limit = (int_value(found.rank, sides.values) + 3) * DTYPES[dtype] * size
    assert ((folded - exact).abs() <= limit).all()


def features(
    found: Bias, sides: Sides, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The sum of its terms, exact and of rounded features, and the sum of their sizes."""
    exact = sides.kernel(found.terms)
    folded, size = torch.zeros_like(exact).to(dtype), torch.zeros_like(exact)
    for term in found.terms:
        query = sides.real(term.query, "i")[..., :, None]
        key = (sides.real(term.share)[..., None] * sides.real(term.key, "j"))[..., None, :]
        folded = folded + query.to(dtype) * key.to(dtype)
        size = size + (query * key).abs()
    return exact, folded.double(), size


def test_far_tokens_would_lose_their_distance() -> None:
    """The figure that `attnc explain` gives is no exaggeration: near the diagonal whole numbers are lost."""
    at = torch.arange(8192 - 64, 8192, dtype=torch.float32)
    i, j = at[:, None], at[None, :]
    exact = 2 * i.double() * j.double() - j.double() ** 2
    off = ((2 * i) * j - j**2 - exact).abs().max()
    assert 4 <= off <= 5 * 2.0**-24 * (3 * 8191**2) < 61
    distance = i - j
    assert (distance * distance == (i.double() - j.double()) ** 2).all()
