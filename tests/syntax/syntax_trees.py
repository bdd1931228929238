"""Random trees: every shape the grammar has, with names that are words of the language elsewhere."""

from __future__ import annotations

import keyword

from hypothesis import strategies as st

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
    Number,
    Param,
    Truth,
    Unary,
)

NOT_NAMES = {*keyword.kwlist, "true", "false"}
CONTEXTUAL = [
    "mask",
    "score",
    "let",
    "const",
    "sorted",
    "int",
    "float",
    "query",
    "key",
    "attention",
    "state",
    "std",
]

names = st.one_of(
    st.sampled_from([*"ijhbqkvs", *CONTEXTUAL]),
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True).filter(lambda text: text not in NOT_NAMES),
).map(Name)
numbers = st.one_of(
    st.integers(0, 2**63 - 1),
    st.floats(min_value=0, allow_infinity=False, allow_nan=False),
    st.sampled_from([0, 1, 4096, 50.0, 1e-6, 0.5]),
).map(Number)
docs = st.text(max_size=40).filter(lambda t: '"""' not in t and not t.endswith('"') and "\r" not in t)
comment = st.text(st.characters(exclude_characters="\n\r"), max_size=20).map(lambda text: f"#{text}".rstrip())


@st.composite
def comment_blocks(draw: st.DrawFn, blank_below: bool = False) -> tuple[str, ...]:
    """Comment lines with single blank lines between some of them."""
    lines: list[str] = []
    for text in draw(st.lists(comment, max_size=3)):
        if lines and draw(st.booleans()):
            lines.append("")
        lines.append(text)
    if lines and blank_below and draw(st.booleans()):
        lines.append("")
    return tuple(lines)


statement_comments = st.builds(Comments, comment_blocks(blank_below=True), st.just("") | comment)
param_comments = st.one_of(
    st.just(Comments()), st.builds(Comments, st.lists(comment, max_size=2).map(tuple), st.just("") | comment)
)


def _larger(exprs: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    several = st.lists(exprs, min_size=2, max_size=4).map(tuple)
    comparisons = st.lists(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), min_size=1, max_size=3)

    @st.composite
    def compares(draw: st.DrawFn) -> Compare:
        ops = draw(comparisons)
        return Compare(tuple(ops), tuple(draw(exprs) for _ in range(len(ops) + 1)))

    @st.composite
    def indices(draw: st.DrawFn) -> Index:
        items: list[Expr] = draw(st.lists(exprs, max_size=3))
        if not items or draw(st.booleans()):
            items.append(All())
        return Index(draw(names), tuple(items))

    keywords = st.lists(st.tuples(names, exprs), max_size=2).map(tuple)
    return st.one_of(
        st.builds(Unary, st.sampled_from(["-", "not"]), exprs),
        st.builds(Binary, st.sampled_from(["+", "-", "*", "/", "//", "%", "**"]), exprs, exprs),
        compares(),
        st.builds(In, exprs, exprs, st.booleans()),
        st.builds(Logic, st.sampled_from(["and", "or"]), several),
        st.builds(IfElse, exprs, exprs, exprs),
        st.builds(Call, names, st.lists(exprs, max_size=3).map(tuple), keywords),
        indices(),
    )


exprs = st.recursive(
    st.one_of(names, numbers, st.booleans().map(Truth), st.builds(Axis, names, names)), _larger, max_leaves=12
)

params = st.builds(
    Param,
    names,
    st.sampled_from(["int", "float", "bool"]),
    st.booleans(),
    st.booleans(),
    st.none() | st.lists(exprs, min_size=1, max_size=3).map(tuple),
    st.none() | exprs,
    comments=param_comments,
)
macro_params = st.builds(MacroParam, names, st.none() | exprs)
axis_names = names.filter(lambda name: name.id != "query")
axes = st.lists(st.builds(GridAxis, axis_names, exprs), min_size=1, max_size=3).map(tuple)
around = {"comments": statement_comments, "blank_above": st.booleans()}
words = st.sampled_from(["query", "key", "value", "mask", "score", "normalize", "output"])
clauses = st.one_of(
    st.builds(Clause, words, exprs, **around),
    st.builds(Let, names, exprs, **around),
    st.builds(Grid, axes, **around),
    st.builds(Grid, st.just(()), axes, axes, **around),
)
items = st.one_of(
    st.builds(Import, names, st.lists(names, min_size=1, max_size=6).map(tuple), **around),
    st.builds(Const, names, exprs, **around),
    st.builds(Macro, names, st.none() | st.lists(macro_params, max_size=4).map(tuple), exprs, docs, **around),
    st.builds(
        Attention,
        names,
        st.lists(params, max_size=4).map(tuple),
        st.lists(clauses, max_size=4).map(tuple),
        docs,
        comment_blocks(),
        **around,
    ),
)


@st.composite
def files(draw: st.DrawFn) -> File:
    doc = draw(docs)
    leading = draw(comment_blocks(blank_below=True)) if doc else ()
    return File(doc, tuple(draw(st.lists(items, max_size=4))), draw(comment_blocks()), leading)
