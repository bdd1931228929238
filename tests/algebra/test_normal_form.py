"""Exact forms: what is made of a weight, and how few terms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from read_ir import parse_term

from attnc.algebra.known import Known
from attnc.algebra.separate import separate, separate_exponential
from attnc.algebra.separated import Refused, at_key
from attnc.ir.nodes import IntConst, Node, Real
from attnc.ir.text import print_ir

ROOT = Path(__file__).parent.parent.parent
SORTS = dict.fromkeys(("G", "P", "t", "u", "gamma", "c", "w"), "float") | {"on": "bool"}


def term_of(text: str) -> Real:
    found = parse_term(text, SORTS)
    assert isinstance(found, Real)
    return found


def parts_of(text: str, known: Known | None = None) -> list[list[str]]:
    """Share, query and key of each term, its exponent, and its dots."""
    found = separate(term_of(text), known or Known(width=lambda vec: IntConst(4)))
    return [
        [
            *(print_ir(part) for part in (term.share, term.query, term.key)),
            *(print_ir(part) for part in term.exponent or ()),
            *(print_ir(dot.term) for dot in term.dots),
        ]
        for term in found.terms
    ]


DOT = "dot(q, k)"
EXACT = {
    "dot(q, k)": [["1.0", "1.0", "1.0", DOT]],
    "scale * t[b, i] * dot(q, k) / u[b, j]": [["scale", "t[b, i]", "1.0 / u[b, j]", DOT]],
    "dot(q, k) - dot(q, k)": [],
    "c * dot(q, k) + 2.0 * dot(q, k)": [["2.0 + c", "1.0", "1.0", DOT]],
    "(1.0 + dot(q, k)) ** 2.0": [
        ["1.0", "1.0", "1.0"], ["2.0", "1.0", "1.0", DOT], ["1.0", "1.0", "1.0", f"{DOT} ** 2.0"]
    ],
    # The rank of the matrix of both sides' functions, where its entries are numbers.
    "(t[b, i] + u[b, j]) ** 2.0": [
        ["2.0", "t[b, i]", "u[b, j]"], ["1.0", "t[b, i] ** 2.0", "1.0"], ["1.0", "1.0", "u[b, j] ** 2.0"]
    ],
    "t[b, i] * u[b, j] + t[b, i] + u[b, j] + 1.0": [["1.0", "1.0 + t[b, i]", "1.0 + u[b, j]"]],
    "c * t[b, i] - c * u[b, j]": [["c", "t[b, i]", "1.0"], ["-c", "1.0", "u[b, j]"]],
    "sin(t[b, i]) * (u[b, j] + u[b, j] * c)": [["1.0", "sin(t[b, i])", "u[b, j] + u[b, j] * c"]],
    # Decays.
    "gamma[h] ** real(i - j)": [["1.0"] * 3 + ["log(gamma[h]) * real(i)", "log(gamma[h]) * real(j)"]],
    "exp(u[b, j] - c * real(i))": [["1.0"] * 3 + ["-(c * real(i))", "-u[b, j]"]],
    "exp(u[b, j])": [["1.0"] * 3 + ["0.0", "-u[b, j]"]],
    "exp(G[b, h, i] - G[b, h, j]) * exp(G[b, h, j] - G[b, h, i])": [["1.0"] * 3],
    "exp(c) * exp(t[b, i] - c)": [["exp(c)", "1.0", "1.0", "t[b, i] - c", "0.0"]],
    # Dot products.
    "dot(q * splat(t[b, i]), k) + dot(q, k * splat(u[b, j]))": [
        ["1.0", "t[b, i]", "1.0", DOT], ["1.0", "1.0", "u[b, j]", DOT]
    ],
    "dot(q + k, q - k)": [["1.0", "sum_d(q ** splat(2.0))", "1.0"], ["-1.0", "1.0", "sum_d(k ** splat(2.0))"]],
    "sum_d((q + k) * w[:])": [["1.0", "sum_d(w[:] * q)", "1.0"], ["1.0", "1.0", "sum_d(w[:] * k)"]],
    "sum_d(splat(t[b, i]) + splat(u[b, j]) + q * k)": [
        ["4.0", "t[b, i]", "1.0"], ["4.0", "1.0", "u[b, j]"], ["1.0", "1.0", "1.0", DOT]
    ],
    "dot(exp(q), exp(k))": [["1.0", "1.0", "1.0", "dot(exp(q), exp(k))"]],
    "sum_d(q * k * exp(P[b, h, i, :] - P[b, h, j, :]))": [
        ["1.0"] * 3 + ["sum_d(q * k * exp(P[b, h, i, :] - P[b, h, j, :]))"]
    ],
    "sum_d(q * k * exp(P[b, h, i, :] - splat(c * real(i - j))))": [
        ["1.0"] * 3 + ["-(c * real(i))", "-(c * real(j))", "dot(q * exp(P[b, h, i, :]), k)"]
    ],
    # What a condition does not choose is multiplied with 0.
    "(dot(q, k) / real(j) if 0 < j else t[b, i])": [
        ["1.0", "1.0", "(1.0 if 0 < j else 0.0) / (real(j) if 0 < j else 1.0)", DOT],
        ["1.0", "t[b, i]", "0.0 if 0 < j else 1.0"],
    ],
}  # fmt: skip


@pytest.mark.parametrize("text", EXACT)
def test_forms(text: str) -> None:
    assert parts_of(text) == EXACT[text]


def test_signs_of_clauses_are_known() -> None:
    relu = parse_term("relu(q)"), parse_term("relu(k)")
    known = Known(query=relu[0], key=relu[1])  # type: ignore[arg-type]
    assert parts_of("abs(dot(q, k) * c)", known) == [["abs(c)", "1.0", "1.0", DOT]]
    with pytest.raises(Refused):
        parts_of("abs(dot(q, k) * c)")


def test_what_is_simpler_at_every_visible_pair() -> None:
    simpler: dict[Node, Node] = {parse_term("abs(i - j)"): parse_term("i - j")}
    assert parts_of("real(abs(i - j)) * dot(q, k)", Known(simpler=simpler)) == [
        ["1.0", "real(i)", "1.0", DOT],
        ["-1.0", "1.0", "real(j)", DOT],
    ]


def test_what_has_to_be_positive() -> None:
    found = [
        [print_ir(each) for each in separate(term_of(text), Known()).positive]
        for text in ("gamma[h] ** real(i - j)", "exp(gamma[h]) ** real(i - j)", "0.5 ** real(i - j)")
    ]
    assert found == [["gamma[h]"], [], []]


def test_a_decay_is_known_whatever_came_first() -> None:
    """The parts of both sides are in one order, and the same at the other's place."""
    for text in (
        "real(i) * exp(c * (real(i) - real(j)) + G[b, h, i] - G[b, h, j]) * real(j)",
        "u[b, j] * exp(G[b, h, i] - c * real(j)) * exp(c * real(i) - G[b, h, j])",
    ):
        (term,) = separate(term_of(text), Known()).terms
        assert term.exponent is not None and at_key(term.exponent[0]) == term.exponent[1], text
    (term,) = separate(term_of("exp(G[b, h, i] - u[b, j])"), Known()).terms
    assert term.exponent is not None and at_key(term.exponent[0]) != term.exponent[1]


def test_exponent_of_a_softmax() -> None:
    (term,) = separate_exponential(term_of("t[b, i] + sum_d(k) * 2.0 - c"), Known()).terms
    assert term.exponent is not None
    assert [print_ir(part) for part in term.exponent] == ["t[b, i] - c", "-(2.0 * sum_d(k))"]


LARGE = {
    "(t[b, i] + u[b, j] + dot(q, k) + G[b, h, i] + P[b, h, j, 0]) ** 8.0": "multiplied out",
    "dot(q, k) ** 8.0 * dot(q, k)": "has a power above 8",
    "dot(q, k) ** 9.0": "no whole power",
}


@pytest.mark.parametrize("text", LARGE)
def test_what_is_large_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        separate(term_of(text), Known())
    assert LARGE[text] in refused.value.text


def test_many_exponentials_are_refused() -> None:
    text = " + ".join(f"{n}.0 * exp({n}.0 * (t[b, i] - u[b, j]))" for n in range(40))
    with pytest.raises(Refused, match="has more than 32 exponentials"):
        separate(term_of(text), Known())


# ---- SymPy -------------------------------------------------------------------------------------------


def test_one_file_imports_sympy() -> None:
    """And inside of functions."""
    found = {}
    for path in sorted((ROOT / "attnc").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [
            name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
            if (name or "").split(".")[0] == "sympy"
        ]  # fmt: skip
        if names:
            found[path.name] = [node for node in tree.body if isinstance(node, ast.Import)]
    assert found == {"factor.py": []}


PROGRAM = """
import sys
from attnc.compiler import Compilation
from attnc.source import Source
from attnc.analyze.facts import Linear

found = []
for score, normalize in {cases!r}:
    clauses = f"    mask j <= i\\n    score {{score}}\\n    normalize {{normalize}}\\n"
    text = f"attention a(gamma: float[H], t: float[B, N]):\\n{{clauses}}"
    Compilation(Source("a.attn", text)).explain()
    found.append("sympy" in sys.modules)
print(found)
"""


def test_sympy_is_loaded_where_a_sum_divides_or_falls_into_factors() -> None:
    cases = [
        ("dot(q, k) * scale", "softmax"),
        ("dot(q, k) * scale", "sigmoid"),
        ("dot(q, k) * scale - gamma[h] * (i - j) ** 2 + t[b, i] * sin(t[b, j])", "softmax"),
        ("dot(q, k) * scale * gamma[h] ** (i - j)", "none"),
        ("(1 + dot(q, k) / t[b, i]) ** 2 * cos(0.1 * (i - j))", "s / sum(s)"),
        ("(dot(q, k) ** 2 - 1) / (dot(q, k) + 1)", "none"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(cases=cases)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "[False, False, False, False, False, True]"
