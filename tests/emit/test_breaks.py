"""However a statement is broken into lines, it stays the same statement."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st
from properties import cases

from attnc.emit.expression import emit_expression
from attnc.emit.lines import WIDTH
from attnc.emit.writer import Writer
from attnc.kernel.build import Block
from attnc.kernel.expressions import (
    Attr,
    Call,
    Dict,
    Expr,
    Item,
    Lit,
    Op,
    Ternary,
    Text,
    Tuple,
    Unary,
    Var,
)

NAMES = st.integers(1, 24).map(lambda width: Var("n" * width))
TEXTS = st.text('ab "\\', max_size=200).map(Lit)
LEAVES = st.one_of(NAMES, TEXTS, st.sampled_from([Lit(1.0), Lit(-2), Lit(True), Attr(Var("tl"), "float32")]))
QUOTED = st.one_of(NAMES, st.builds(Op, st.sampled_from(["+", "!=", "and"]), NAMES, NAMES))
QUOTING = st.lists(st.text('a {}"\\', max_size=90) | QUOTED, max_size=4).map(tuple).map(Text)
ARITHMETIC = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "&", "|", "<", "<=", "==", "!="])
LOGIC = st.sampled_from(["and", "or"])


def larger(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    several = st.lists(inner, min_size=1, max_size=4).map(tuple)
    functions = st.one_of(NAMES, st.builds(Attr, inner, st.sampled_from(["to", "call"])))
    named = st.lists(st.tuples(st.sampled_from(["mask", "**"]), inner), max_size=1).map(tuple)
    items = st.lists(st.tuples(st.none() | inner, inner), max_size=3).map(tuple)
    return st.one_of(
        st.builds(Op, ARITHMETIC, inner, inner),
        st.builds(Op, ARITHMETIC, inner, inner),
        st.builds(Op, LOGIC, inner, inner),
        st.builds(Unary, st.sampled_from(["-", "~", "not"]), inner),
        st.builds(Attr, inner, st.just("shape")),
        st.builds(Item, inner, several),
        st.builds(Call, functions, several, named),
        st.builds(Call, functions, st.tuples(QUOTING), st.just(())),
        st.builds(Ternary, inner, inner, inner),
        st.builds(Tuple, several),
        st.builds(Dict, items),
    )


EXPRESSIONS = st.recursive(LEAVES, larger, max_leaves=24)


@cases(600, 200)
@given(EXPRESSIONS, st.integers(0, 12), st.sampled_from(["", "spec.attn:12"]))
def test_broken_lines_mean_what_one_line_means(value: Expr, depth: int, note: str) -> None:
    block = Block()
    block.let("name", value, note)
    writer = Writer()
    for _ in range(depth):
        writer._depth += 1
    writer.body(block.stmts)
    text = "if True:\n" * bool(depth) + writer.text
    statement = ast.parse(text).body[0]
    if depth:
        statement = statement.body[0]  # type: ignore[attr-defined]
    whole = ast.parse(f"name = {emit_expression(value)}").body[0]
    assert ast.dump(statement) == ast.dump(whole)
    if len(emit_expression(value)) + 4 * depth + len("name = ") <= WIDTH:
        assert len([line for line in writer.text.splitlines() if "#" not in line or "name" in line]) == 1
