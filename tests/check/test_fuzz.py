"""Whatever the text: a right spec, or diagnostics. Never anything else, and never slowly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from effort import assert_linear, at_most
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from verify_ir import verify

from attnc.check import find_mistakes
from attnc.check.vocabulary import BUILT_IN, RESERVED
from attnc.errors import AttncError
from attnc.render import render_all
from attnc.source import Source
from attnc.syntax.parser import parse_file

ROOT = Path(__file__).parent.parent.parent
FILES = [
    *sorted((ROOT / "examples").glob("*.attn")),
    *sorted((ROOT / "attnc" / "std").glob("*.attn")),
    *sorted((ROOT / "tests" / "diagnostics").glob("*.attn")),
]
TEXTS = [path.read_text(encoding="utf-8") for path in FILES]
PIECES = [re.findall(r"\w+|\*\*|//|[<>=!]=|\n *|[^\w\s]|[ \t]+", text) for text in TEXTS]
MOST = 1_500_000  # calls of functions for a text: most are those of the first, which makes the parser
WORDS = sorted({piece for pieces in PIECES for piece in pieces} | set(BUILT_IN) | set(RESERVED))

edits = st.lists(
    st.tuples(
        st.sampled_from(("drop", "double", "swap", "put", "copy", "cut")),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
    ),
    min_size=1,
    max_size=6,
)


def mutated(which: int, changes: list[tuple[str, int, int]]) -> str:
    pieces = list(PIECES[which])
    for change, a, b in changes:
        if not pieces:
            break
        at, other = a % len(pieces), b % len(pieces)
        match change:
            case "drop":
                del pieces[at]
            case "double":
                pieces.insert(at, pieces[at])
            case "swap":
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case "put":
                pieces[at] = WORDS[b % len(WORDS)]
            case "copy":
                pieces[at : at + 1] = pieces[other : other + 7]
            case "cut":
                del pieces[at : at + b % 9]
    return "".join(pieces)


def check_text(text: str, calls: int = MOST) -> None:
    """A right spec, or diagnostics that can be drawn, soon."""
    with at_most(calls):
        _check_text(text)


def _check_text(text: str) -> None:
    try:
        file = parse_file(Source("<string>", text))
    except AttncError as error:
        assert error.diagnostics
        render_all(error.diagnostics)
        return
    checked = find_mistakes(file)
    if checked.is_fine:
        for attention in checked.attentions:
            verify(attention)
    else:
        assert not checked.attentions
    render_all(checked.diagnostics)
    for diagnostic in checked.diagnostics:
        assert diagnostic.label is not None
        assert diagnostic.label.span.source.name == "<string>"
        assert diagnostic.message and len(diagnostic.message) < 250


@cases(400, 150)
@given(st.integers(0, len(TEXTS) - 1), edits)
def test_mutated_specs(which: int, changes: list[tuple[str, int, int]]) -> None:
    check_text(mutated(which, changes))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@cases(5_000)
@given(which=st.integers(0, (len(TEXTS) - 1) // 4), changes=edits)
def test_mutated_specs_at_length(part: int, which: int, changes: list[tuple[str, int, int]]) -> None:
    """20,000 in all; each part has every fourth file."""
    check_text(mutated((4 * which + part) % len(TEXTS), changes))


names = st.sampled_from([*sorted(BUILT_IN), "a", "t", "u", "w", "softmax", "none"])
atoms = names | st.sampled_from(["0", "1", "2.5", "true", "t[h, i]", "u[b, :]", "i.y", "j.x", "u[b, j]"])


def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(("+", "-", "*", "/", "//", "%", "**", "<", "<=", "==", "!=", "and", "or"))
    return st.one_of(
        st.tuples(inner, signs, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        inner.map(lambda t: f"(-{t})"),
        inner.map(lambda t: f"(not {t})"),
        inner.map(lambda t: f"({t} in u[b, :])"),
        st.tuples(names, st.lists(inner, max_size=3)).map(lambda t: f"{t[0]}({', '.join(t[1])})"),
        st.tuples(st.sampled_from("tuaw"), st.lists(inner, min_size=1, max_size=3)).map(
            lambda t: f"{t[0]}[{', '.join(t[1])}]"
        ),
    )


expressions = st.recursive(atoms, grow, max_leaves=8)


@cases(400, 100)
@given(
    st.sampled_from(("query", "key", "value", "mask", "score", "normalize", "output")),
    expressions,
    expressions,
    expressions,
)
def test_unsorted_expressions(word: str, body: str, let: str, use: str) -> None:
    """Any expression in any clause, straight and through a `let` and a macro."""
    check_text(f"""
def m(a, w = 2) = {body}

attention spec(t: float[H, N], u: int[B, 8], w: float):
    grid y: rows, x: cols
    let a = {let}
    {word} {use} + m({let})
""")


@cases(100, 50)
@given(expressions)
def test_constants_sizes_and_defaults(text: str) -> None:
    check_text(
        f"const C = {text}\nattention spec(a: int[{text}], w: float = {text}):\n    grid y: {text}\n    mask j < C\n"
    )


@pytest.mark.parametrize("frames", [0, 300, 600])
def test_deep_texts_from_deep_inside(frames: int) -> None:
    """Two equal terms as deep as a term may be, compared as deep inside an expression as one may be."""
    if frames:
        return test_deep_texts_from_deep_inside(frames - 1)
    lines = [f"    let {a}0 = dot(q, k)\n" for a in "xy"]
    lines += [f"    let {a}{n} = exp({a}{n - 1})\n" for a in "xy" for n in range(1, 115)]
    nest = "exp(" * 90 + "min(x114, y114)" + ")" * 90
    check_text(f"attention deep():\n{''.join(lines)}    score {nest}\n")


def test_long_texts_are_quick() -> None:
    def check(count: int) -> None:
        lines = "".join(f"    let x{n} = i - j + x{max(n - 1, 0)}\n" for n in range(count))
        _check_text(f"attention long():\n{lines}    mask x{count - 1} < 0\n")

    assert_linear(check, 1000)


@pytest.mark.parametrize(
    "line",
    ["def f{n}(x) = nowhere{n} + x\n", "def nowhere{n}(x) = nowhere{n}{n} + x\n", "const c{n} = c{n}{n} + 1\n",
     "def f{n}(x) = dot(x, y{n}=1)\n", "attention a{n}(w: int):\n    mask j <= i + nowhere{n}\n",
     "attention a{n}(w: int):\n    mask j <= i\n"],
)  # fmt: skip
def test_texts_with_many_mistakes_are_quick(line: str) -> None:
    """Each looks for the names that may have been meant, but not each at all others."""
    assert_linear(lambda count: _check_text("".join(line.format(n=n) for n in range(count))), 800)
