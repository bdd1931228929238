"""The IR prints, and reads back as itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from random_terms import SORTS, random_attentions, random_terms
from read_ir import parse_ir, parse_term

from attnc.errors import AttncError, CompilerBug
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir

PACKED = """\
attention packed
    doc "Packed\\ndocuments: \\"one\\" and another."
    param doc: sorted int[B, N]
    param bias: float[H, 2 * w + 1]
    param w: const int = -3
    param cap: float = 50.0
    param on: bool = true
    param gate: float[B, H, N, D]
    grid query y: w
    grid key x: N // w
    let d = min(max(j - i, -128), 128) + 128
    query q * splat(cap) if on else l2(rope(q, real(i), 10000.0))
    key k
    value gate[b, h, j, :] * v
    mask doc[b, i] == doc[b, j] and j <= i and not (i in doc[b, :] or ispow2(j)) and (j < 3 and i < 3)
    score cap * tanh(dot(q, k) * scale / cap) + bias[h, min(max(j - i, -128), 128) + 128] - (1.0 - 2e-07) ** 2.0
    normalize exp(s) / (inf() + sum(exp(s - max(s))) * count()) if cap < 3.0 else max(s, 0.0)
    output o + v_i
"""


def test_an_attention_prints_as_it_was_read() -> None:
    assert print_ir(parse_ir(PACKED)) == PACKED


@cases(300)
@given(st.sampled_from(["query", "value", "mask", "score", "normalize", "output"]).flatmap(random_terms))
def test_reading_undoes_printing(term: ir.Node) -> None:
    assert parse_term(print_ir(term), SORTS) == term


@cases(50)
@given(random_attentions())
def test_reading_undoes_printing_of_a_whole_attention(attention: ir.Attention) -> None:
    text = print_ir(attention)
    assert parse_ir(text) == attention
    assert print_ir(parse_ir(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "i - (j - h)",
        "i - j - h",
        "(i - j) * (-3)",
        "-3 * i",
        "i % (j // 2)",
        "(-2.0) ** 0.5",
        "(c ** 2.0) ** c",
        "c ** (2.0 ** c)",
        "-1.0 * c",
        "-c * c",
        "-(c * c)",
        "-c ** 2.0",
        "(-c) ** 2.0",
        "-(-c)",
        "i - -j",
        "i - (-j - h)",
        "j * (-i)",
        "-q + v",
        "0 - 3",
        "-0.0 - c",
        "not (i < j or j < i)",
        "not not i < j",
        "(i < j and j < h) and b < h",
        "all()",
        "any(i < j)",
        "(1 if i < j else 2) if j < i else 3",
        "1 if (true if i < j else false) else 2",
        "first(i) + last(j)",
        "i.y * 4 + residue() - j.first",
        "i in table[j, :]",
        "gate[i, :]",
        "nan()",
        "-inf()",
        "1e+300",
        "abs(i) + floor(abs(c))",
        "max(max(s), min(s))",
        "mean(sum_d(abs(q)))",
        "h_kv * (H // HKV) + h % (H // HKV)",
    ],
)
def test_parentheses_are_those_that_are_needed(text: str) -> None:
    assert print_ir(parse_term(text, SORTS)) == text


def test_the_sort_of_a_form_follows_from_its_parts() -> None:
    assert isinstance(parse_term("i + 1"), ir.IntOp)
    assert isinstance(parse_term("real(i) + 1.0"), ir.RealOp)
    assert isinstance(parse_term("q + splat(1.0)"), ir.VecOp)
    assert isinstance(parse_term("abs(q)"), ir.VecCall)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("i +", "expected a name"),
        ("i $ j", "a character that means nothing here"),
        ("nothing + 1", "expected a parameter in place of `nothing`, before this"),
        ("tanh(i, j)", "expected a function in place of `tanh` of 2 arguments, before this"),
        ("i j", "expected the end"),
        ("exp(i)", "expected a term of another sort before this"),
        ("gate[:, i]", "expected `]`"),
        ("-(i < j)", "expected a term of another sort before this"),
    ],
)
def test_what_is_no_ir_is_refused(text: str, message: str) -> None:
    with pytest.raises(AttncError) as caught:
        parse_term(text, SORTS)
    assert caught.value.diagnostics[0].code == "bad-ir"
    assert caught.value.diagnostics[0].message == message


def test_what_is_no_node_of_a_spec_has_no_text() -> None:
    with pytest.raises(CompilerBug):
        print_ir(ir.Param("x", "int"))
