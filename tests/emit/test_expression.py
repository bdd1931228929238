"""Parentheses: exact texts, and Python's own parser as an independent oracle."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnc.emit.expression import emit_expression
from attnc.kernel.build import Namespace, function
from attnc.kernel.expressions import (
    Attr,
    Call,
    Expr,
    Item,
    List,
    Lit,
    Op,
    Ternary,
    Text,
    Tuple,
    Unary,
    Var,
)

a, b, c = Var("a"), Var("b"), Var("c")
tl = Namespace("tl")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (a - (b - c), "a - (b - c)"),
        ((a - b) - c, "a - b - c"),
        (a * (b % c), "a * (b % c)"),
        ((a * b) % c, "a * b % c"),
        (a // (b // c), "a // (b // c)"),
        ((a <= b) & (a - b < c), "(a <= b) & (a - b < c)"),
        ((a & b) | c, "a & b | c"),
        (a & (b | c), "a & (b | c)"),
        (-(a + b), "-(a + b)"),
        (-a * b, "-a * b"),
        (Unary("~", a & b), "~(a & b)"),
        (Op("**", Unary("-", a), Lit(2)), "(-a)**2"),
        (Op("**", a, Unary("-", b)), "a**-b"),
        (Op("**", Op("**", a, b), c), "(a**b)**c"),
        (a - Lit(-1), "a - -1"),
        (Lit(-1) * a, "-1 * a"),
        (Op("**", Lit(-1), a), "(-1)**a"),
        (Op("**", a[0], Lit(-0.5)), "a[0] ** -0.5"),
        ((a + b)[:, None], "(a + b)[:, None]"),
        (a[b:c, :], "a[b:c, :]"),
        (a[:, : b - c], "a[:, : b - c]"),
        (a.to(tl.value("float32")), "a.to(tl.float32)"),
        (tl.load(a + b, mask=a < b, other=0), "tl.load(a + b, mask=a < b, other=0)"),
        ((a < b).equals(c), "(a < b) == c"),
        (Ternary(a, b, Ternary(b, c, a)), "a if b else b if c else a"),
        (Ternary(Ternary(a, b, c), b, c), "(a if b else c) if b else c"),
        (Op("and", Op("or", a, b), Unary("not", c)), "(a or b) and not c"),
        (Tuple((a, b)), "a, b"),
        (Tuple((a,)), "a,"),
        (function("f")(Tuple((a, b)), c), "f((a, b), c)"),
        (List((a, b)), "[a, b]"),
        (Lit(float("-inf")), 'float("-inf")'),
        (Lit('a"b\\\n'), '"a\\"b\\\\\\n"'),
        (Text(("got ", a + b, ' of {"all"}')), 'f"got {a + b} of {{\\"all\\"}}"'),
        (Text(("nothing",)), '"nothing"'),
        (Attr(Lit(1) + a, "T"), "(1 + a).T"),
    ],
)
def test_text(value: Expr, text: str) -> None:
    assert emit_expression(value) == text
    ast.parse(text, mode="eval")


OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "&", "|", "<", "<=", "==", "!=", "and", "or"]


def expressions() -> st.SearchStrategy[Expr]:
    leaves = st.sampled_from([a, b, c, Lit(2), Lit(-3), Lit(0.5), Lit(True)])

    def grow(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
        return st.one_of(
            st.builds(Op, st.sampled_from(OPERATORS), inner, inner),
            st.builds(Unary, st.sampled_from(["-", "~", "not"]), inner),
            st.builds(Ternary, inner, inner, inner),
            st.builds(lambda x, y: Item(x, (slice(None), y)), inner, inner),
            st.builds(lambda x, y: Call(Var("f"), (x,), (("k", y),)), inner, inner),
            st.builds(lambda x: Attr(x, "T"), inner),
        )

    return st.recursive(leaves, grow, max_leaves=12)


def tree(value: Expr) -> str:
    """The tree that Python must find in the text, spelled as `ast.dump` spells it after full parenthesization."""
    match value:
        case Var(name):
            return name
        case Lit(number):
            return repr(number) if not (isinstance(number, int | float) and number < 0) else f"(-{-number!r})"
        case Op("and" | "or" as op, Op(inner, _, _) as x, y) if inner == op:  # one chain, for Python too
            return f"({tree(x)[1:-1]} {op} {tree(y)})"
        case Op(op, x, y):
            return f"({tree(x)} {op} {tree(y)})"
        case Unary(op, x):
            return f"({op} {tree(x)})"
        case Ternary(x, y, z):
            return f"({tree(x)} if {tree(y)} else {tree(z)})"
        case Item(x, index):
            return f"({tree(x)})[:, {tree(index[1])}]"  # type: ignore[arg-type]
        case Call(fn, args, kwargs):
            return f"{tree(fn)}({tree(args[0])}, k={tree(kwargs[0][1])})"
        case Attr(x, name):
            return f"({tree(x)}).{name}"
    raise AssertionError(value)


@given(expressions())
def test_python_reads_the_tree_that_was_written(value: Expr) -> None:
    printed = ast.dump(ast.parse(emit_expression(value), mode="eval"))
    assert printed == ast.dump(ast.parse(tree(value), mode="eval"))
