"""What a slice may be, and where it may stand."""

from __future__ import annotations

import pytest
from checking import attentions, mistakes

from attnc.ir.text import print_ir
from attnc.source import Source
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_file

HEAD = (
    "def faded(x) = exp(total(x))\n\n"
    "attention a(g: float[B, H, N], w: int[B, N], c: float[B, N, D]):\n    score dot(q, k) * ({})\n"
)


@pytest.mark.parametrize(
    ("term", "printed"),
    [
        ("total(g[b, h, 0 : N])", "total(g[b, h, :N])"),
        (
            "total(g[b, h, j + 1 : i + 1])",
            "total(g[b, h, :i + 1]) - total(g[b, h, :j + 1]) if j + 1 <= i + 1 else 0.0",
        ),
        ("faded(g[b, h, 0 : i])", "exp(total(g[b, h, :i]))"),
        (
            "total(g[b, h, j : max(i, j)])",
            "(total(g[b, h, :i]) if j <= i else total(g[b, h, :j])) - total(g[b, h, :j]) if j <= max(i, j) else 0.0",
        ),
    ],
)
def test_terms(term: str, printed: str) -> None:
    (attention,) = attentions(HEAD.format(term))
    assert print_ir(attention.score) in (f"dot(q, k) * {printed}", f"dot(q, k) * ({printed})")


@pytest.mark.parametrize(
    ("term", "code", "message"),
    [
        (
            "g[b, h, 0 : i]",
            "wrong-sort",
            "each side of `*` must be a number, and `g[b, h, 0 : i]` is a slice",
        ),
        (
            "total(g[b, h, i])",
            "wrong-sort",
            "what `total` adds up must be a slice, as in `total(x[b, h, j + 1 : i + 1])`, and `g[b, h, i]` is a real",
        ),
        ("total(w[b, 0 : i])", "wrong-sort", "a slice takes floats, and `w` is an array of int"),
        (
            "total(g[b, 0 : 1, i])",
            "misplaced-slice",
            "a slice stands last, or in front of the `:`, and `0 : 1` does not",
        ),
        ("total(g[b, 0 : i])", "index-count", "`g` has 3 axes and is indexed by 2"),
        (
            "total(g[b, h, 0.5 : i])",
            "real-as-int",
            "an end of a slice of `g` must be an integer, and `0.5` is a real",
        ),
        ("total(g)", "array-without-index", "`g` is an array of 3 axes and is used without an index"),
        ("total()", "missing-argument", "`total` needs its argument `x`"),
        (
            "total(c[b, 0 : i, :])",
            "wrong-sort",
            "`score` must be a real, and `dot(q, k) * (total(c[b, 0 : i, :]))` is a vector",
        ),
    ],
)
def test_mistakes(term: str, code: str, message: str) -> None:
    (found,) = mistakes(HEAD.format(term))
    assert (found.code, found.message) == (code, message)


def test_a_let_names_no_slice() -> None:
    text = "attention a(g: float[B, H, N]):\n    let x = g[b, h, 0 : i]\n    score dot(q, k) + total(x)\n"
    (found,) = mistakes(text)
    assert (
        found.message
        == "what a `let` names must be a number, a bool or a vector, and `g[b, h, 0 : i]` is a slice"
    )
    assert found.helps == ("`total(g[b, h, 0 : i])` adds up its elements",)


def test_its_layout() -> None:
    text = "attention a(g: float[B, N, D]):\n    score sum_d(total(g[b, j+1:i+1,:]))\n"
    assert "score     sum_d(total(g[b, j + 1 : i + 1, :]))" in print_file(parse_file(Source("a.attn", text)))
