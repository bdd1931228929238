"""Mistakes in the syntax: each is told apart, all of a file are told at once, and no text does worse than that."""

from __future__ import annotations

from pathlib import Path

import pytest
from effort import at_most
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from syntax_trees import files
from turns import in_turn

from attnc.errors import AttncError, Diagnostic
from attnc.render import MAX_COLUMNS, MAX_LINES, render, render_all
from attnc.source import Source
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_file

CASES = sorted((Path(__file__).parents[1] / "diagnostics" / "syntax").glob("*.attn"))


def mistakes(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(AttncError) as caught:
        parse_file(Source("test.attn", text))
    return caught.value.diagnostics


def only(text: str) -> tuple[str, str]:
    """The code of the one mistake, and the text it underlines."""
    (found,) = mistakes(text)
    assert found.label is not None
    return found.code, found.label.span.text


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_each_mistake_is_among_those_of_the_file(path: Path) -> None:
    """`tests/diagnostics` holds the exact text of all of them, with those that are no matter of syntax."""
    source = Source(path.name, path.read_bytes().decode())
    with pytest.raises(AttncError) as caught:
        parse_file(source)
    text = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert all(f"{render(each)}\n" in text for each in caught.value.diagnostics)


EXPRESSIONS = [
    ("i && j", "wrong-operator", "&&"),
    ("i || j", "wrong-operator", "||"),
    ("i & j", "wrong-operator", "&"),
    ("i | j", "wrong-operator", "|"),
    ("!i", "wrong-operator", "!"),
    ("~i", "wrong-operator", "~"),
    ("i ^ 2", "wrong-operator", "^"),
    ("i <> j", "wrong-operator", "<>"),
    ("i =< j", "wrong-operator", "=<"),
    ("i => j", "wrong-operator", "=>"),
    ("i ≤ j", "wrong-operator", "≤"),
    ("i < = j", "wrong-operator", "="),
    ("i AND j", "wrong-operator", "AND"),
    ("NOT i", "wrong-operator", "NOT"),
    ("i is j", "wrong-operator", "is"),
    ("i is not j", "wrong-operator", "is"),
    ("i mod j", "wrong-operator", "mod"),
    ("i = j", "single-equals", "="),
    ("f(a[i] = 3)", "single-equals", "="),
    ("", "missing-expression", ""),
    ("i +", "missing-expression", ""),
    ("i + * j", "missing-expression", "*"),
    ("+i", "missing-expression", "+"),
    ("()", "missing-expression", ")"),
    ("a[]", "missing-expression", "]"),
    ("i in", "missing-expression", ""),
    ("i not in", "missing-expression", ""),
    ("[1, 2]", "missing-expression", "["),
    ("i j", "missing-operator", "j"),
    ("2 i", "missing-operator", "i"),
    ("f(a b)", "missing-operator", "b"),
    ("i not j", "missing-in", "j"),
    ("a if b", "missing-else", ""),
    ("(a if b) + 1", "missing-else", ")"),
    ("f(a if b, c)", "missing-else", ","),
    ("a else b", "missing-if", "else"),
    ("if a then b", "wrong-conditional", "if"),
    ("f(a,, b)", "extra-comma", ","),
    ("f(, b)", "extra-comma", ","),
    ("a[:, i]", "misplaced-slice", ","),
    ("a[1:2:3]", "misplaced-slice", ":"),
    ("a[:2]", "misplaced-slice", "2"),
    ("a[i][j]", "not-a-name", "["),
    ("f(a)(b)", "not-a-name", "("),
    ("2(a)", "not-a-name", "("),
    ("a.b.c", "not-a-name", "."),
    ("a.2", "missing-name", ".2"),
    ("a in b in c", "chained-in", "in"),
    ("a in b < c", "chained-in", "<"),
    ("f(x=1, 2)", "argument-order", "2"),
    ("True", "capital-truth", "True"),
    ("None", "python-statement", "None"),
    ("lambda x: x", "python-statement", "lambda"),
    ("sum(x for x in s)", "python-statement", "for"),
    ("1abc", "bad-number", "1abc"),
    ("0x1f", "bad-number", "0x1f"),
    ("007", "bad-number", "007"),
    ("1.2.3", "bad-number", "1.2.3"),
    ("1__0", "bad-number", "1__0"),
    ("9223372036854775808", "bad-number", "9223372036854775808"),
    ("9" * 5000, "bad-number", "9" * 5000),
    ("1e999", "bad-number", "1e999"),
    ("$a", "unknown-character", "$"),
    ("a @ b", "unknown-character", "@"),
    ("a ? b : c", "unknown-character", "?"),
    ("{a}", "unknown-character", "{"),
    ("γ", "unknown-character", "γ"),
    ("naïve", "unknown-character", "naïve"),
    ("a\u00a0+ b", "unknown-character", "\u00a0"),
    ("a \\", "unknown-character", "\\"),
    ("'a'", "text-in-quotes", "'a'"),
    ('"a"', "text-in-quotes", '"a"'),
    ('"""a"""', "misplaced-docstring", '"""a"""'),
    ("a; score b", "two-statements", ";"),
    ("a score b", "two-statements", "score"),
    ("= a", "clause-punctuation", "="),
    (": a", "clause-punctuation", ":"),
    ("(a, b)", "unexpected-word", ","),
    ("f(a: 3)", "unexpected-word", ":"),
    ("(a", "unclosed-bracket", "("),
    ("f(g(a)", "unclosed-bracket", "("),
    ("a)", "unmatched-bracket", ")"),
    ("(a]", "unmatched-bracket", "]"),
]


@pytest.mark.parametrize(
    ("text", "code", "underlined"), EXPRESSIONS, ids=[text[:20] for text, *_ in EXPRESSIONS]
)
def test_mistakes_in_expressions(text: str, code: str, underlined: str) -> None:
    assert only(f"attention f():\n    mask {text}\n    score s\n") == (code, underlined)


LINES = [
    ("attention f(x: int)\n    mask x", "missing-colon", ""),
    ("attention f:\n    mask x", "missing-parameters", ":"),
    ("attention ():", "missing-name", "("),
    ("attention 3d():", "missing-name", "3d"),
    ("attention class():", "reserved-name", "class"),
    ("attention f(x):", "missing-type", "x"),
    ("attention f(x, y: int):", "missing-type", "x"),
    ("attention f(x = 3):", "missing-type", "x"),
    ("attention f(x:):", "missing-type", "x"),
    ("attention f(x: = 3):", "missing-type", "x"),
    ("attention f(x: const, y: int):", "missing-type", "x"),
    ("attention f(x: const sorted = 3):", "missing-type", "x"),
    ("attention f(x: integer):", "unknown-type", "integer"),
    ("attention f(x: flaot):", "unknown-type", "flaot"),
    ("attention f(x: tensor):", "unknown-type", "tensor"),
    ("attention f(x: sorted const int[N]):", "unknown-type", "const"),
    ("attention f(int x):", "type-before-name", "x"),
    ("attention f(const x: int):", "type-before-name", "x"),
    ("attention f(x: int y: int):", "missing-comma", "y"),
    ("attention f(x: int,, y: int):", "extra-comma", ","),
    ("attention f(x: int[]):", "missing-expression", "]"),
    ("attention f(): mask j <= i", "two-statements", "mask"),
    ("attention f():\n    grid y rows", "missing-colon", "rows"),
    ("attention f():\n    grid query(y: a)", "missing-grid", ""),
    ("attention f():\n    grid query(y: a) key", "missing-parameters", ""),
    ("attention f():\n    let = 3", "missing-name", "="),
    ("attention f():\n    let x 3", "missing-equals", "3"),
    ("attention f():\n    let x == 3", "missing-equals", "=="),
    ("attention f():\n    x = 3", "unknown-clause", "x"),
    ("attention f():\n    j <= i", "unknown-clause", "j"),
    ("attention f():\n    msk j <= i", "unknown-clause", "msk"),
    ("attention f():\n    select top(8)", "reserved-word", "select"),
    ("attention f():\n    return s", "python-statement", "return"),
    ("attention f():\n    if: s", "python-statement", "if"),
    ("attention f():\n    def g(x) = x", "bad-indent", "def"),
    ("attention f():\n    mask j\n      score s", "bad-indent", "      "),
    ("attention f():\n    mask j\n  score s", "bad-indent", "  "),
    ("attention f():\n    mask j\n      and i", "broken-line", "and"),
    ("attention f():\n    mask j\n    + i", "broken-line", "+"),
    ("attention f():\n    mask j and\n      i < 3", "missing-expression", ""),
    ("attention f():\n\tmask j", "tab-indent", "\t"),
    ('attention f():\n    mask j\n    """late"""', "misplaced-docstring", '"""late"""'),
    ("attention f():\nmask j <= i", "clause-outside-attention", "mask"),
    ("mask j <= i", "clause-outside-attention", "mask"),
    ("    mask j <= i", "clause-outside-attention", "mask"),
    ("  def f = 1", "bad-indent", "  "),
    ("def f(x): x", "missing-equals", ":"),
    ("def f(x: int) = x", "typed-argument", ":"),
    ("def f(x) =", "missing-expression", ""),
    ("def f(x) = x\n    mask j", "clause-outside-attention", "mask"),
    ("def f(x) = x\n    x + 1", "bad-indent", "    "),
    ("const X: int = 3", "missing-equals", ":"),
    ("X = 3", "unknown-statement", "X"),
    ("let x = 3", "clause-outside-attention", "let"),
    ("atention f():\n    mask j", "unknown-statement", "atention"),
    ("import os", "python-statement", "import"),
    ("class A:\n    x = 3", "python-statement", "class"),
    ("stage f", "reserved-word", "stage"),
    ("from std", "missing-import", ""),
    ("from std causal", "missing-import", "causal"),
    ("from std import", "missing-name", ""),
    ("from std import *", "missing-name", "*"),
    ("from std import a b", "missing-comma", "b"),
    ("from std import a as b", "unexpected-word", "as"),
    ("from .std import a", "missing-name", "."),
    ('"""no end', "unclosed-docstring", '"""'),
    ("'text'", "text-in-quotes", "'text'"),
    ('attention f():\n    mask j\n"""late"""', "misplaced-docstring", '"""late"""'),
    ("@decorated", "unknown-character", "@"),
    ("}", "unknown-character", "}"),
]


@pytest.mark.parametrize(("text", "code", "underlined"), LINES, ids=[text[:30] for text, *_ in LINES])
def test_mistakes_in_lines(text: str, code: str, underlined: str) -> None:
    assert only(text) == (code, underlined)


def test_every_mistake_is_told_once() -> None:
    text = (
        "import os\n"
        "def f(x): x\n"
        "attention g(x: integer, y: nothing)\n"
        "    msk j <= i && i\n"
        "    score dot(q, k\n"
        "    mask j <= i\n"
        "    normalize s +\n"
        "    output 9999999999999999999\n"
        "attention h(:\n"
        "    mask i = j\n"
    )
    found = mistakes(text)
    lines = [d.label.span.line for d in found if d.label]
    assert list(zip(lines, (d.code for d in found), strict=True)) == [
        (1, "python-statement"),
        (2, "missing-equals"),
        (3, "unknown-type"),
        (3, "unknown-type"),
        (4, "unknown-clause"),
        (4, "wrong-operator"),
        (5, "unclosed-bracket"),
        (7, "missing-expression"),
        (8, "bad-number"),
        (9, "unclosed-bracket"),
        (10, "single-equals"),
    ]


def test_the_arguments_of_several_calls_and_numbers_are_told_at_once() -> None:
    text = "attention f():\n    mask f(x=1, 2, y=1e999)\n    score 1e999 + 99999999999999999999\n"
    codes = ["argument-order", "bad-number", "bad-number", "bad-number"]
    assert [d.code for d in mistakes(text)] == codes
    assert [d.code for d in mistakes(text + "    output\n")] == [*codes, "missing-expression"]


DEEP = {
    "parentheses": "(" * 5000 + "s" + ")" * 5000,
    "calls": "f(" * 5000 + "s" + ")" * 5000,
    "indices": "a[" * 5000 + "i" + "]" * 5000,
    "not": "not " * 5000 + "s",
    "minus": "-" * 5000 + "s",
    "sum": "s" + " + s" * 5000,
    "power": "s" + " ** s" * 5000,
    "conditionals": "a if b else " * 5000 + "c",
}


@pytest.mark.parametrize("text", in_turn(DEEP.values(), turns=4), ids=in_turn(DEEP, turns=4))
def test_deep_nesting_is_a_mistake(text: str) -> None:
    with at_most(12_000_000):  # of which a few hundred for each level
        (found,) = mistakes(f"attention f():\n    score {text}\n")
        assert found.code == "too-deep"
        assert max(map(len, render(found).split("\n"))) <= MAX_COLUMNS


def test_wide_expressions_are_fine() -> None:
    parse_file(
        Source(
            "x", f"attention f():\n    mask {' or '.join(['j < i'] * 5000)}\n    score f({'s, ' * 5000})\n"
        )
    )


# ---- no text does worse ----------------------------------------------------------------------------


def check_any(text: str) -> None:
    """A text parses, and prints back; or it has mistakes that can be drawn."""
    source = Source("any.attn", text)
    try:
        tree = parse_file(source)
    except AttncError as error:
        assert error.diagnostics
        for found in error.diagnostics:
            drawn = render(found)
            assert found.label is not None and drawn.count("\n") < MAX_LINES
            assert found.message[0] == found.message[0].lower() or found.message[0] == "`"
            assert not found.message.endswith(".") and "  " not in found.message
        lines = [found.label.span.line for found in error.diagnostics if found.label]
        assert lines == sorted(lines)
        render_all(error.diagnostics)
    else:
        printed = print_file(tree)
        assert parse_file(Source("any.attn", printed)) == tree


@given(st.text(max_size=60))
@cases(300)
def test_any_text(text: str) -> None:
    check_any(text)


@given(st.binary(max_size=80))
@cases(300)
def test_any_bytes(data: bytes) -> None:
    check_any(data.decode("latin-1"))


PIECES = (
    *(
        "attention",
        "def",
        "const",
        "from",
        "import",
        "mask",
        "score",
        "let",
        "grid",
        "query",
        "key",
        "if",
        "else",
    ),
    *(
        "not",
        "in",
        "and",
        "f",
        "x",
        "i",
        "1",
        "2.5",
        "\n",
        "\n    ",
        "\n  ",
        "\t",
        "#",
        '"""',
        "'",
        "(",
        ")",
        "[",
        "]",
    ),
    *(",", ":", "=", "==", "<", "+", "-", "**", "int", "float", "sorted", "&&", "é", "\x00", "\u200b", "\r"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=25), st.sampled_from(["", " "]))
@cases(600, 200)
def test_any_words(words: list[str], between: str) -> None:
    check_any(between.join(words))


@given(files().map(print_file), st.data())
@cases(150, 60)
def test_any_damage_to_a_good_text(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 5)))
        text = text[:start] + data.draw(st.sampled_from(["", *PIECES])) + text[end:]
    check_any(text)
