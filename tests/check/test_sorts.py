"""Which sort may be used as which, and what becomes of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from checking import attention, clause, clause_codes, with_clause
from hypothesis import given
from hypothesis import strategies as st

from attnc.ir import nodes as ir
from attnc.ir.walk import walk


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        # an integer where a real is needed is converted, as a whole
        ("score", "i - j", "real(i - j)"),
        ("score", "x * (i - j)", "x * real(i - j)"),
        ("score", "x + 2", "x + 2.0"),
        ("score", "i // 2 + n % 3", "real(i // 2 + n % 3)"),
        # `/` and `**` give reals
        ("score", "n / 2", "real(n) / 2.0"),
        ("score", "i ** 2", "real(i) ** 2.0"),
        ("score", "2 ** -(1 + h)", "2.0 ** real(-(1 + h))"),
        ("score", "reals[h, i, j]", "reals[h, i, j]"),
        ("score", "-x", "-x"),
        ("score", "floor(x) + 1", "real(floor(x) + 1)"),
        ("score", "floor(i)", "real(i)"),
        # functions of one argument take integers as reals, but for `abs`
        ("score", "exp(i)", "exp(real(i))"),
        ("score", "relu(i - j)", "relu(real(i - j))"),
        ("score", "abs(i - j)", "real(abs(i - j))"),
        ("score", "abs(x)", "abs(x)"),
        # any number of arguments
        ("score", "min(i, j)", "real(min(i, j))"),
        ("score", "max(i, j, n)", "real(max(max(i, j), n))"),
        ("score", "max(i, x, 2)", "max(max(real(i), x), 2.0)"),
        ("score", "clamp(i - j, -8, 8)", "real(min(max(i - j, -8), 8))"),
        ("score", "clamp(x, 0, 1)", "min(max(x, 0.0), 1.0)"),
        ("score", "clamp(hi=n, lo=0, x=i)", "real(min(max(i, 0), n))"),
        # conditionals take the wider sort
        ("score", "i if p else j", "real(i if p else j)"),
        ("score", "i if p else x", "real(i) if p else x"),
        ("mask", "p if i < j else bools[b, i]", "p if i < j else bools[b, i]"),
        # comparisons
        ("mask", "i < x", "real(i) < x"),
        ("mask", "i > j", "j < i"),
        ("mask", "0 <= i - j < n", "0 <= i - j and i - j < n"),
        ("mask", "i == j == n", "i == j and j == n"),
        ("mask", "p == bools[b, i]", "bools[b, i] if p else not bools[b, i]"),
        ("mask", "p != (i < j)", "j <= i if p else i < j"),
        ("mask", "not i < j", "j <= i"),
        ("mask", "i < j and p or ispow2(i - j)", "i < j and p or ispow2(i - j)"),
        ("mask", "j in ints[b, i, :]", "j in ints[b, i, :]"),
        ("mask", "j not in ints[b, i // 2, :]", "not j in ints[b, i // 2, :]"),
        ("mask", "ints[b, i, 0] == ints[b, j, 0]", "ints[b, i, 0] == ints[b, j, 0]"),
        # vectors: numbers beside them are spread
        ("query", "q * x", "q * splat(x)"),
        ("query", "q / n", "q / splat(real(n))"),
        ("query", "l2(q) + rows[b, h, i, :]", "l2(q) + rows[b, h, i, :]"),
        ("query", "rope(q, i, 10000)", "rope(q, real(i), 10000.0)"),
        ("query", "q / max(sqrt(dot(q, q)), 1e-6)", "q / splat(max(sqrt(dot(q, q)), 1e-06))"),
        ("key", "relu(k) ** 2", "relu(k) ** splat(2.0)"),
        ("key", "max(k, 0)", "max(k, splat(0.0))"),
        ("key", "clamp(k, -1, 1)", "min(max(k, splat(-1.0)), splat(1.0))"),
        ("key", "k if j < n else 0", "k if j < n else splat(0.0)"),
        ("value", "cols[b, j, :] * v", "cols[b, j, :] * v"),
        ("output", "o - x * v_i", "o - splat(x) * v_i"),
        ("output", "-o", "-o"),
        ("score", "dot(q, k) * scale + sum_d(q)", "dot(q, k) * scale + sum_d(q)"),
        # reductions over the row
        ("normalize", "exp(s) / sum(exp(s))", "exp(s) / sum(exp(s))"),
        ("normalize", "s / max(sum(abs(s)), 1)", "s / max(sum(abs(s)), 1.0)"),
        ("normalize", "(s - mean(s)) / count", "(s - mean(s)) / count()"),
        ("normalize", "s / count() + min(s) * max(s)", "s / count() + min(s) * max(s)"),
        ("normalize", "s / sum(i)", "s / sum(real(i))"),
    ],
)
def test_term(word: str, text: str, expected: str) -> None:
    assert clause(word, text) == expected


@pytest.mark.parametrize(
    ("word", "text", "code"),
    [
        ("mask", "i", "bool-and-number"),
        ("mask", "x", "bool-and-number"),
        ("mask", "i and p", "bool-and-number"),
        ("mask", "not n", "bool-and-number"),
        ("mask", "p < bools[b, i]", "bool-and-number"),
        ("mask", "p == 1", "bool-and-number"),
        ("mask", "p if n else p", "bool-and-number"),
        ("mask", "p if i < j else 0", "bool-and-number"),
        ("mask", "ispow2(x)", "real-as-int"),
        ("mask", "rows[b, h, i, :] == 0", "wrong-sort"),
        ("score", "p", "bool-and-number"),
        ("score", "x + p", "bool-and-number"),
        ("score", "-p", "bool-and-number"),
        ("score", "exp(p)", "bool-and-number"),
        ("score", "max(x, p)", "bool-and-number"),
        ("score", "floor(p)", "bool-and-number"),
        ("score", "x // 2", "real-as-int"),
        ("score", "i % 2.0", "real-as-int"),
        ("score", "reals[h, i, i / 2]", "real-as-int"),
        ("score", "reals[h, i, p]", "bool-and-number"),
        ("score", "q * k", "wrong-sort"),
        ("score", "dot(q, x)", "wrong-sort"),
        ("score", "sum_d(x)", "wrong-sort"),
        ("score", "dot(q, 1.0 if true else k)", "wrong-sort"),
        ("score", "q // 2", "wrong-sort"),
        ("score", "reals", "array-without-index"),
        ("score", "exp(reals)", "array-without-index"),
        ("query", "x", "wrong-sort"),
        ("query", "l2(x)", "wrong-sort"),
        ("query", "rope(q, p, 1.0)", "bool-and-number"),
        ("query", "q + p", "bool-and-number"),
        ("output", "dot(o, o)", "wrong-sort"),
        ("normalize", "s < 0", "bool-and-number"),
        ("normalize", "sum(s < 0) * s", "bool-and-number"),
    ],
)
def test_one_mistake_is_told_once(word: str, text: str, code: str) -> None:
    assert clause_codes(word, text) == [code]


def test_a_mistake_poisons_what_is_around_it() -> None:
    text = "exp(clamp(nowhere + 1, -x, x)) * (2 if nowhere else dot(q, k)) + floor(nowhere)"
    assert clause_codes("score", text) == ["unknown-name"]


def test_both_sides_are_looked_at() -> None:
    assert clause_codes("score", "exp(p) + sum_d(x) * reals[h]") == [
        "bool-and-number",
        "wrong-sort",
        "index-count",
    ]


OPERANDS = st.sampled_from(
    ["i", "(i)", "(j - i)", "(i + 1) * (j)", "((i) - (3))", "n", "-(j)", "(i if p else j)", "abs(i)"]
)


@given(st.lists(OPERANDS, min_size=2, max_size=4), st.sampled_from(["<", "<=", "==", "!=", ">"]))
def test_a_comparison_is_cited_whole(operands: list[str], op: str) -> None:
    """With the parentheses of both sides, also as a link of a chain."""
    text = f" {op} ".join(operands)
    mask = attention(with_clause("mask", text)).mask
    links = [f"{a} {op} {b}" for a, b in pairwise(operands)]
    cited = {part.span.text for part in walk(mask) if isinstance(part, ir.Compare) and part.span}
    assert cited <= set(links)
    assert cited or isinstance(mask, ir.Truth)
