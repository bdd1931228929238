"""Printing and parsing are inverse, and the text is the canonical one."""

from __future__ import annotations

import pytest
from hypothesis import given
from properties import cases
from syntax_trees import exprs, files

from attnc.errors import CompilerBug
from attnc.source import Source
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_expr, print_file
from attnc.syntax.tree import Clause, Expr, File, Number


def parse(text: str) -> File:
    return parse_file(Source("test.attn", text))


def parse_expr(text: str) -> Expr:
    clause = parse(f"attention f():\n    score ({text})\n").items[0].clauses[0]
    assert isinstance(clause, Clause)
    return clause.value


@given(exprs)
@cases(400, 100)
def test_an_expression_parses_back(expr: Expr) -> None:
    again = parse_expr(print_expr(expr))
    # repr tells 1 from 1.0, and == does not.
    assert again == expr and repr(again) == repr(expr)


@given(files())
@cases(150, 40)
def test_a_file_parses_back_and_prints_the_same(file: File) -> None:
    text = print_file(file)
    again = parse(text)
    assert again == file
    assert print_file(again) == text


CANONICAL = [
    ("a+b*c", "a + b * c"),
    ("(a+b)*c", "(a + b) * c"),
    ("a-(b-c)", "a - (b - c)"),
    ("(a-b)-c", "a - b - c"),
    ("a*(i%2)", "a * (i % 2)"),
    ("(a*i)%2", "a * i % 2"),
    ("-x**-2", "-x ** -2"),
    ("(-x)**2", "(-x) ** 2"),
    ("a**(b**c)", "a ** b ** c"),
    ("(a**b)**c", "(a ** b) ** c"),
    ("not(a==b)", "not a == b"),
    ("(not a)==b", "(not a) == b"),
    ("(a and b)and c", "(a and b) and c"),
    ("(a and b)or c", "a and b or c"),
    ("a and(b or c)", "a and (b or c)"),
    ("(a<b)<c", "(a < b) < c"),
    ("a<=b<c", "a <= b < c"),
    ("not(x in t[b,:])", "not x in t[b, :]"),
    ("x   not   in t[b,:]", "x not in t[b, :]"),
    ("a if(b if c else d)else e", "a if (b if c else d) else e"),
    ("(a if b else c)if d else e", "(a if b else c) if d else e"),
    ("a if b else(c if d else e)", "a if b else c if d else e"),
    ("f(a,x=(1),)", "f(a, x=1)"),
    ("1_000*1e-6", "1_000 * 1e-6"),
    (".5+3.", ".5 + 3."),
    ("i . y", "i.y"),
]


@pytest.mark.parametrize(("written", "canonical"), CANONICAL, ids=[text for text, _ in CANONICAL])
def test_canonical_expressions(written: str, canonical: str) -> None:
    assert print_expr(parse_expr(written)) == canonical


MESSY = '''# A header.

"""One
   doc."""
from std import causal,alibi   # both
const  W=1_024
def near(p,r,w=W)=abs(p-r)<=w
   """Near."""
# About the attention.
attention   f( doc:sorted int[B,N,],   # documents
    # per head
    gate:float[H]=1.,w: const int=4):  # head
  """Twice
     documented."""
  mask(doc[b,i]==doc[b,j]  # same document
       and near(i,j))  # and near


  let d=j-i
  grid query(y:a,x:b)key(y:c,x:d)
  # the last word
# the end
'''

TIDY = '''# A header.

"""One
   doc."""

from std import causal, alibi  # both
const W = 1_024
def near(p, r, w = W) = abs(p - r) <= w
    """Near."""

# About the attention.
attention f(
    doc: sorted int[B, N],  # documents
    # per head
    gate: float[H] = 1.,
    w: const int = 4,
):  # head
    """Twice
     documented."""
    # same document
    mask      doc[b, i] == doc[b, j] and near(i, j)  # and near

    let d = j - i
    grid      query(y: a, x: b) key(y: c, x: d)
    # the last word

# the end
'''


def test_a_messy_file_becomes_tidy() -> None:
    assert print_file(parse(MESSY)) == TIDY
    assert print_file(parse(TIDY)) == TIDY


def test_long_lines_break_inside_brackets() -> None:
    a, b, c = "a" * 40, "b" * 40, "c" * 40
    text = (
        f"from std import {a}, {b}, {c}\n"
        f"def {a}({b}, {c} = 1, d = 2) = {a} + {b} * {c} - 1\n"
        f"attention f({a}: int, {b}: float = 1.0, {c}: bool):\n"
        f"    mask {a} == {b} and {c} < 1 or {a}\n"
        f"    score {a} if {b} else {c}\n"
        f"    value {a} <= {b} < {c}\n"
        f"    output {a}({b}, {c})\n"
    )
    assert print_file(parse(text)) == (
        f"from std import (\n    {a},\n    {b},\n    {c},\n)\n"
        f"def {a}(\n    {b},\n    {c} = 1,\n    d = 2,\n) = ({a}\n     + {b} * {c}\n     - 1)\n"
        f"\n"
        f"attention f(\n    {a}: int,\n    {b}: float = 1.0,\n    {c}: bool,\n):\n"
        f"    mask      ({a} == {b} and {c} < 1\n               or {a})\n"
        f"    score     ({a}\n               if {b}\n               else {c})\n"
        f"    value     ({a}\n               <= {b}\n               < {c})\n"
        f"    output    {a}({b}, {c})\n"
    )


def test_an_empty_file_prints_as_nothing() -> None:
    assert print_file(File("", ())) == ""


@pytest.mark.parametrize("value", [-1, float("inf"), float("nan")])
def test_a_number_the_language_cannot_write_is_a_bug(value: float) -> None:
    with pytest.raises(CompilerBug, match="the language has no number"):
        print_expr(Number(value))
