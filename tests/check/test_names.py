"""Names: the nearest ones, and what is said once."""

from __future__ import annotations

import re
from functools import cache

import pytest
from checking import codes, mistakes
from hypothesis import given
from hypothesis import strategies as st

from attnc.check import vocabulary
from attnc.check.lookup import ADVICE
from attnc.check.names import edit_distance, find_near
from attnc.check.report import Search
from attnc.compiler import Compilation
from attnc.source import Source

words = st.text("abcd", max_size=6)


def plain_distance(a: str, b: str) -> int:
    """The same by trying everything."""

    @cache
    def of(m: int, n: int) -> int:
        if not m or not n:
            return m + n
        ways = [of(m - 1, n) + 1, of(m, n - 1) + 1, of(m - 1, n - 1) + (a[m - 1] != b[n - 1])]
        if m > 1 and n > 1 and a[m - 1] == b[n - 2] and a[m - 2] == b[n - 1]:
            ways.append(of(m - 2, n - 2) + 1)
        return min(ways)

    return of(len(a), len(b))


@given(words, words)
def test_edit_distance(a: str, b: str) -> None:
    assert edit_distance(a, b) == plain_distance(a, b) == edit_distance(b, a)


@given(words, st.lists(words, max_size=12))
def test_near_names(name: str, candidates: list[str]) -> None:
    near = find_near(name, candidates, Search())
    assert len(near) <= 3 and len(set(near)) == len(near)
    assert set(near) <= set(candidates)
    assert near == find_near(name, list(reversed(candidates)), Search())


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("windw", ["window", "w", "wide"], ("window",)),
        ("Window", ["window"], ("window",)),
        ("tahn", ["tanh", "sin"], ("tanh",)),
        ("slope", ["slopes", "scope", "slop", "elope"], ("elope", "scope", "slop")),
        ("x", ["y", "z"], ()),
        ("H", ["h", "B"], ("h",)),
        ("nothing", ["near", "far"], ()),
    ],
)
def test_suggestions(name: str, candidates: list[str], expected: tuple[str, ...]) -> None:
    assert find_near(name, candidates, Search()) == expected


def test_names_are_looked_for_as_long_as_that_is_little_work() -> None:
    search = Search(left=100)
    assert find_near("windw", ["w", "window"], search) == ("window",)
    assert search.left == 100 - 1 - 5 * 6
    assert find_near("windw", ["window"] * 3, search) == ()
    assert not search.goes_on


def test_an_unknown_name_is_told_once() -> None:
    assert codes(
        "attention a():\n    mask doc[b, i] == doc[b, j] and doc[b, i] > 0\n    score doc[b, i]\n"
    ) == ["unknown-name"]


@pytest.mark.parametrize("name", sorted(vocabulary.BUILT_IN))
@pytest.mark.parametrize("use", ["{}[b]", "{} * scale", "{}(scale)", "{}(scale, 1)"])
def test_a_built_in_name_is_refused_once(name: str, use: str) -> None:
    term = use.format(name)
    assert codes(f"attention a({name}: float[B]):\n    score dot(q, k) + {term}\n") == ["redefined-builtin"]
    macro = f"def f({name}) = {term}\nattention a():\n    mask j <= i\n"
    assert codes(macro) == ["redefined-builtin"]


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = """
def half(x) = x / too

attention first(n: int = 1.5):
    mask  i - j < n and nowhere
    score exp(i < j)

attention second(h: int):
    key       k * i
    normalize sum(exp(x))
"""
    expected = ["unknown-name", "wrong-default", "unknown-name", "bool-and-number", "redefined-builtin",
                "name-not-here", "unknown-name"]  # fmt: skip
    assert codes(text) == expected


def test_mistakes_are_in_the_order_of_the_text() -> None:
    text = "attention a():\n    output nowhere\n    mask there\nconst W = N\n"
    spans = [d.label.span.start for d in mistakes(text) if d.label]
    assert spans == sorted(spans) and len(spans) == 3


@pytest.mark.parametrize(
    ("text", "helps"),
    [
        ("mask q_idx >= kv_idx", ("in this language it is `i`",)),
        ("mask causal", ("add `from std import causal` at the top of the file",)),
        ("mask windwo", ("did you mean `window`?",)),
        ("mask doc", ()),
        ("score alibi(1)", ("add `from std import alibi` at the top of the file",)),
        ("score pow(dot(q, k), 2)", ("in this language it is `a ** b`",)),
        ("score sqr(dot(q, k))", ("did you mean `sqrt`?",)),
    ],
)
def test_help(text: str, helps: tuple[str, ...]) -> None:
    found = mistakes(f"attention a(window: int):\n    let w = window\n    {text}\n    output o * w\n")
    assert found[0].helps == helps


@pytest.mark.parametrize("name", ADVICE)
def test_advice_compiles(name: str) -> None:
    """What is said to whoever looks for another thing is a spec that has a kernel."""
    texts = re.findall(r"`([^`]+)`", ADVICE[name])
    assert texts
    for text in texts:
        if text == "mask":
            continue
        lines = text
        if not text.startswith(("mask ", "normalize ")):
            of_row = f"let x = {text}\n    normalize exp(s - x) / sum(exp(s - x))"
            of_pair = f"let a = q\n    let x = i / 2\n    score {text}"
            lines = of_row if "s" in re.findall(r"\w+", text) else of_pair
        spec = f"attention spec({PASSED}):\n    {lines}\n"
        assert [d for d in mistakes(spec) if d.severity == "error"] == []
        assert Compilation(Source("spec.attn", spec)).plan


PASSED = "keep: float[B, H, N, M], chosen: int[B, H, N, 8], threshold: float[B, H, N], steps: float[B, H, N]"
