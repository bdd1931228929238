"""What a text means to the parser, held against Python's own parser where both languages agree."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from syntax_trees import exprs, files

from attnc.errors import AttncError
from attnc.source import Source
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_expr, print_file
from attnc.syntax.reading import read_source
from attnc.syntax.tree import (
    All,
    Attention,
    Axis,
    Binary,
    Call,
    Clause,
    Comments,
    Compare,
    Const,
    Expr,
    File,
    Grid,
    GridAxis,
    IfElse,
    Import,
    In,
    Index,
    Let,
    Logic,
    Macro,
    MacroParam,
    Name,
    Node,
    Number,
    Param,
    Truth,
    Unary,
)


def parse(text: str) -> File:
    return parse_file(Source("test.attn", text))


def parse_expr(text: str) -> Expr:
    clause = parse(f"attention f():\n    score {text}\n").items[0].clauses[0]
    assert isinstance(clause, Clause)
    return clause.value


# ---- the language's own examples -------------------------------------------------------------------

GEMMA = '''"""Causal sliding window with tanh soft-capping (a Gemma 2 local layer)."""

attention gemma2_local(window: int = 4096, cap: float = 50.0):
    mask      j <= i and i - j < window
    score     cap * tanh(dot(q, k) * scale / cap)
    normalize softmax
'''
PACKED = '''"""Packed documents, causal inside each; learned T5-style bias; a learned sink per head."""

attention packed(doc: sorted int[B, N], bias: float[H, 257], sink: float[H]):
    let d = clamp(j - i, -128, 128) + 128
    mask      doc[b, i] == doc[b, j] and j <= i
    score     dot(q, k) * scale + bias[h, d]
    normalize exp(s) / (exp(sink[h]) + sum(exp(s)))
'''
RETENTION = '''"""Retention: linear in length, because the compiler sees that it is."""

attention retention(gamma: float[H]):
    mask      j <= i
    score     dot(q, k) * scale * gamma[h] ** (i - j)
    normalize none
'''
NEIGHBORHOOD = '''"""2-D neighborhood attention: windows shift at the border, they are not cut."""

def start(p, w, n) = clamp(p - w // 2, 0, n - w)
def near(p, r, w, n) = start(p, w, n) <= r < start(p, w, n) + w

attention neighborhood_2d(wy: const int = 7, wx: const int = 7):
    grid      y: rows, x: cols
    mask      near(i.y, j.y, wy, rows) and near(i.x, j.x, wx, cols)
'''
PIECES = """from std import causal, alibi
from masks import near
const BLOCK = 64
def name(a, b = 1) = a + b
def both = causal and window(256)

attention pieces(gate: float[B, H, N, DV], table: int[B, H, (N + 63) // 64, 8]):
    query     l2(q)
    key       relu(k)
    value     gate[b, h, j, :] * v
    mask      both and i // 64 in table[b, h, i // 64, :]
    score     rope(q, i, theta=10000.0)
    output    (1 - u[h]) * o + u[h] * v_i

attention two_grids():
    grid      query(y: a, x: b) key(y: c, x: d)
"""


@pytest.mark.parametrize("text", [GEMMA, PACKED, RETENTION, NEIGHBORHOOD, PIECES])
def test_the_examples_of_the_language_parse_and_are_canonical(text: str) -> None:
    assert print_file(parse(text)) == text


def test_a_whole_tree() -> None:
    near = Call(Name("near"), tuple(map(Name, ("p", "r"))), ((Name("w"), Number(3)),))
    tree = File(
        "Doc.",
        (
            Import(Name("std"), (Name("causal"), Name("alibi"))),
            Const(Name("W"), Number(64)),
            Macro(Name("both"), None, Logic("and", (Name("causal"), near)), "A macro."),
            Macro(Name("at"), (MacroParam(Name("a")), MacroParam(Name("b"), Number(1))), Name("a")),
            Attention(
                Name("f"),
                (
                    Param(Name("w"), "int", const=True, default=Number(7)),
                    Param(Name("doc"), "int", sorted=True, sizes=(Name("B"), Name("N"))),
                ),
                (
                    Grid((GridAxis(Name("y"), Name("rows")),)),
                    Let(Name("d"), Axis(Name("i"), Name("y"))),
                    Clause("mask", In(Name("d"), Index(Name("t"), (Name("b"), All())), negated=True)),
                    Grid((), (GridAxis(Name("y"), Name("a")),), (GridAxis(Name("y"), Name("c")),)),
                ),
                "An attention.",
            ),
        ),
    )
    assert tree == parse(
        '"""Doc."""\nfrom std import (causal, alibi,)\nconst W = 64\ndef both = causal and near(p, r, w=3)\n'
        '    """A macro."""\ndef at(a, b = 1) = a\nattention f(\n  w: const int = 7,\n  doc: sorted int[B, N]\n):\n'
        '    """An attention."""\n    grid y: rows\n    let d = i.y\n    mask d not in t[b, :]\n'
        "    grid query(y: a) key(y: c)\n"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "  \n", "# only a comment", '"""Only a docstring."""'])
def test_a_file_may_hold_nothing(text: str) -> None:
    assert parse(text).items == ()


@pytest.mark.parametrize(
    "text", ["attention f():", "attention f():\n", "attention f():  # plain\n    # nothing to say\n"]
)
def test_every_clause_may_be_left_away(text: str) -> None:
    assert parse(text).items == (
        Attention(
            Name("f"),
            (),
            (),
            trailing=("# nothing to say",) * ("#" in text),
            comments=parse(text).items[0].comments,
        ),
    )


def test_carriage_returns_and_a_byte_order_mark_are_no_text() -> None:
    text = '"""Two\nlines."""\n\nattention f():\n    """More\n    lines."""\n    mask      j <= i  # why\n'
    tree = parse("\ufeff" + text.replace("\n", "\r\n"))
    assert tree == parse(text)
    assert print_file(tree) == text


def test_words_are_special_only_where_they_may_stand() -> None:
    text = "attention mask(int: int, let: const float, query: bool):\n    score     const + key(sorted)\n"
    assert print_file(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("00", 0),
        ("1_000", 1000),
        ("9223372036854775807", 2**63 - 1),
        ("1e5", 1e5),
        ("1E+5", 1e5),
        ("1_0.2_5e-0_1", 1.025),
        (".5", 0.5),
        ("3.", 3.0),
        ("3.e1", 30.0),
        ("007.5", 7.5),
    ],
)
def test_numbers(text: str, value: float) -> None:
    number = parse_expr(text)
    assert isinstance(number, Number) and number.value == value and type(number.value) is type(value)
    assert number.text == text and ast.literal_eval(text) == value


# ---- Python's parser as an oracle ------------------------------------------------------------------


class OutsideError(Exception):
    """Python has it, and the language does not."""


OPERATORS: dict[type, str] = {
    **{
        ast.Add: "+",
        ast.Sub: "-",
        ast.Mult: "*",
        ast.Div: "/",
        ast.FloorDiv: "//",
        ast.Mod: "%",
        ast.Pow: "**",
    },
    **{ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="},
}


def from_python(node: ast.expr) -> Expr:
    """Python's tree of an expression as ours."""
    match node:
        case ast.Constant(value=bool() | None | complex()):
            raise OutsideError
        case ast.Constant(value=int() | float() as value):
            return Number(value)
        case ast.Name(id="true" | "false" as word):
            return Truth(word == "true")
        case ast.Name(id=name):
            return Name(name)
        case ast.UnaryOp(op=ast.USub(), operand=a):
            return Unary("-", from_python(a))
        case ast.UnaryOp(op=ast.Not(), operand=a):
            return Unary("not", from_python(a))
        case ast.BinOp(left=a, op=op, right=b) if type(op) in OPERATORS:
            return Binary(OPERATORS[type(op)], from_python(a), from_python(b))
        case ast.BoolOp(op=op, values=values):
            return Logic("and" if isinstance(op, ast.And) else "or", tuple(map(from_python, values)))
        case ast.Compare(left=a, ops=[ast.In() | ast.NotIn() as op], comparators=[b]):
            return In(from_python(a), from_python(b), isinstance(op, ast.NotIn))
        case ast.Compare(left=a, ops=ops, comparators=others) if all(type(op) in OPERATORS for op in ops):
            return Compare(tuple(OPERATORS[type(op)] for op in ops), tuple(map(from_python, (a, *others))))
        case ast.IfExp(test=c, body=a, orelse=b):
            return IfElse(from_python(a), from_python(c), from_python(b))
        case ast.Call(func=ast.Name() as fn, args=args, keywords=keywords):
            named = tuple((Name(word.arg or ""), from_python(word.value)) for word in keywords)
            return Call(Name(fn.id), tuple(map(from_python, args)), named)
        case ast.Attribute(value=ast.Name(id=base), attr=axis):
            return Axis(Name(base), Name(axis))
        case ast.Subscript(value=ast.Name(id=base), slice=ast.Tuple(elts=[_, *_] as items)):
            return Index(Name(base), (*map(from_python, items[:-1]), _last(items[-1])))
        case ast.Subscript(value=ast.Name(id=base), slice=item):
            return Index(Name(base), (_last(item),))
        case _:
            raise OutsideError


def _last(node: ast.expr) -> Expr:
    match node:
        case ast.Slice(lower=None, upper=None, step=None):
            return All()
        case _:
            return from_python(node)


@given(exprs)
@cases(400, 150)
def test_expressions_bind_as_in_python(expr: Expr) -> None:
    assert from_python(ast.parse(print_expr(expr), mode="eval").body) == expr


TOKENS = [*"ab1+-*/%()<,[].:=f", "2.5", "//", "**", "<=", "==", "!=", "in", "not", "and", "or", "if", "else"]


@given(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=9).map(" ".join))
@cases(3000, 600)
def test_what_python_refuses_is_refused_and_the_rest_is_the_same(text: str) -> None:
    try:
        expected = from_python(ast.parse(text, mode="eval").body)
    except (SyntaxError, OutsideError):
        expected = None
    try:
        found = parse_expr(text)
    except AttncError:
        found = None
    # `a[(b, c)]` is Python's `a[b, c]`; here parentheses hold one expression. A bare tuple is two clauses at most.
    if expected is None or found is not None:
        assert found == expected
    else:
        assert "(" in text and "," in text


# ---- spans -----------------------------------------------------------------------------------------


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for field in fields(node):
        value = getattr(node, field.name)
        if field.name == "comments":
            continue
        for item in value if isinstance(value, tuple) else (value,):
            for part in item if isinstance(item, tuple) else (item,):
                if isinstance(part, Node):
                    yield from nodes(part)


def parse_as(node: Node, text: str) -> object:
    """The node of a kind that a text is, alone."""
    match node:
        case Name():
            return Name(text)
        case All():
            assert text == ":"
            return All()
        case Expr():
            return parse_expr(f"({text}\n)")
        case Param():
            return parse(f"attention f({text}\n):").items[0].params[0]
        case MacroParam():
            return parse(f"def f({text}\n) = 1").items[0].params[0]
        case GridAxis():
            return parse(f"attention f():\n    grid query({text}\n) key(y: x)").items[0].clauses[0].query[0]
        case Grid() | Let() | Clause():
            return parse(f"attention f():\n    {text}").items[0].clauses[0]
        case File():
            return parse(text)
        case _:
            return parse(text).items[0]


def without_comments(value: object) -> object:
    """A node without its comments: they stand outside of its span."""
    if isinstance(value, tuple):
        return tuple(without_comments(item) for item in value)
    if not isinstance(value, Node):
        return value
    kept = {field.name: without_comments(getattr(value, field.name)) for field in fields(value)}
    empty = {"comments": Comments(), "leading": (), "trailing": ()}
    return replace(value, **{name: empty.get(name, part) for name, part in kept.items()})


def check_spans(text: str) -> int:
    count = 0
    for node in nodes(parse(text)):
        assert node.span is not None
        if not isinstance(node, File):
            assert node.span.text == node.span.text.strip() != ""
        again = parse_as(node, node.span.text)
        assert without_comments(again) == without_comments(node), node.span.text
        count += 1
    return count


@given(files())
@cases(80, 40)
def test_a_span_holds_exactly_its_node(file: File) -> None:
    check_spans(print_file(file))


def test_spans_of_examples() -> None:
    assert sum(check_spans(text) for text in (GEMMA, PACKED, RETENTION, NEIGHBORHOOD, PIECES)) > 250


def test_a_span_leaves_out_the_parentheses_around_it_and_holds_those_inside() -> None:
    expr = parse_expr("( (a + b) * c )")
    assert isinstance(expr, Binary) and expr.span is not None and expr.a.span is not None
    assert expr.span.text == "(a + b) * c" and expr.a.span.text == "a + b"


def test_a_clause_knows_its_word() -> None:
    clause = parse(GEMMA).items[0].clauses[0]
    assert isinstance(clause, Clause) and clause.word_span is not None and clause.word_span.text == "mask"
    assert clause.word_span.place == "test.attn:4" and clause.word_span.column == 5


# ---- files -----------------------------------------------------------------------------------------


def test_reading_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.attn"
    path.write_bytes(b"\xef\xbb\xbfattention f():\r\n    mask j <= i\r\n")
    source = read_source(path)
    assert source == Source(str(path), "attention f():\n    mask j <= i\n")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.attn"
    latin.write_bytes(b'"""One\ncaf\xe9"""\n')
    reasons = {
        tmp_path / "none.attn": "there is no such file",
        tmp_path: "it is a directory",
        latin: "line 2 holds the byte 0xe9, which is not UTF-8",
        "a\0b": "embedded null byte",
        tmp_path / ("x" * 5000): "File name too long",
    }
    for path, reason in reasons.items():
        with pytest.raises(AttncError) as caught:
            read_source(path)
        (diagnostic,) = caught.value.diagnostics
        assert diagnostic.code == "unreadable-file" and reason in diagnostic.message


def test_parsing_alone_is_fast() -> None:
    """A process that parses one file loads little, and calls few functions for it, those of imports included."""
    code = """
        import sys
        calls = 0
        def tick(frame, event, of):
            global calls
            calls += event in ("call", "c_call")
        sys.setprofile(tick)
        from attnc.source import Source
        from attnc.syntax.parser import parse_file
        parse_file(Source("x", "attention f():\\n    mask j <= i\\n"))
        sys.setprofile(None)
        heavy = {"torch", "triton", "sympy", "numpy", "rich"} & set(sys.modules)
        assert not heavy, heavy
        assert len(sys.modules) < 300, len(sys.modules)
        assert calls < 2_000_000, calls
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
