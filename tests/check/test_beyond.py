"""A mistake in the syntax hides no other mistake of the file, and makes none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import cases

from attnc.compiler import Compilation
from attnc.errors import AttncError, Diagnostic
from attnc.source import Source

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.attn"))
ALONE = [path for path in EXAMPLES if "from " not in path.read_text().replace("from std", "")]
WRONG = "\n\nattention wrong():\n    score exp(i < j)\n"

# What people write, and the code of it. Those of the first kind are read as they were meant, the others left out.
MEANT = [
    (
        re.compile(r"^    (mask|score|normalize|query|key|value|output) +", re.M),
        r"    \1: ",
        "clause-punctuation",
    ),
    (
        re.compile(r"^    (mask|score|normalize|query|key|value|output) +", re.M),
        r"    \1 = ",
        "clause-punctuation",
    ),
    (re.compile(r"(?<=[\w\])]) and (?=[\w(])"), " & ", "wrong-operator"),
    (re.compile(r"(?<=[\w\])]) or (?=[\w(])"), " || ", "wrong-operator"),
    (re.compile(r" <= "), " ≤ ", "wrong-operator"),
    (re.compile(r" == (?=[\w(])"), " = ", "single-equals"),
    (re.compile(r"^    normalize", re.M), "    normalise", "unknown-clause"),
]
LEFT_OUT = [
    (
        re.compile(r"^    (mask|score|normalize|query|key|value|output) +", re.M),
        r"    \1 $ ",
        "unknown-character",
    ),
    (re.compile(r"^    let ", re.M), "    let 3 ", "missing-name"),
    (re.compile(r"^    (mask|score) +", re.M), r"    \1 ) ", "unmatched-bracket"),
    (re.compile(r"^attention ", re.M), "attention @", "unknown-character"),
    (re.compile(r"^    grid ", re.M), "    grid @ ", "unknown-character"),
]


def mistakes(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(AttncError) as caught:
        Compilation(Source("spec.attn", text)).checked  # noqa: B018
    return caught.value.diagnostics


@cases(600, 80)
@given(st.sampled_from(ALONE), st.sampled_from(MEANT + LEFT_OUT), st.integers(0, 3))
def test_one_mistake_of_each_kind(path: Path, change: tuple[re.Pattern[str], str, str], place: int) -> None:
    """Somewhere in a spec that is right; another one follows it, with a mistake of its own."""
    pattern, new, code = change
    text = path.read_text()
    found = list(pattern.finditer(text))
    found = [each for each in found if not _in_comment(text, each.start())]
    if not found:
        return
    match = found[place % len(found)]
    broken = text[: match.start()] + match.expand(new) + text[match.end() :] + WRONG
    line = broken.count("\n", 0, match.start() + 1) + 1
    told = [(each.code, each.label.span.line) for each in mistakes(broken) if each.label]
    assert told == [(code, line), ("bool-and-number", broken.count("\n"))]
    assert all(each.label.span.source.text == broken for each in mistakes(broken) if each.label)


def _in_comment(text: str, at: int) -> bool:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return "#" in line or text.count('"""', 0, at) % 2 == 1


ROUNDS = """\
attention a(w: int):
    mask: i - j < w & j <= i
    score = dot(q, k) * scale && w
    normalize softmax(s)
"""


def test_what_took_three_rounds_takes_one() -> None:
    told = [
        (each.code, each.label.span.line, each.label.span.text) for each in mistakes(ROUNDS) if each.label
    ]
    assert told == [
        ("clause-punctuation", 2, ":"),
        ("wrong-operator", 2, "&"),
        ("clause-punctuation", 3, "="),
        ("bool-and-number", 3, "dot(q, k) * scale"),
        ("wrong-operator", 3, "&&"),
        ("bool-and-number", 3, "w"),
        ("argument-count", 4, "softmax(s)"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "def near(w = i - j < w\n\nattention a(w: int):\n    mask near(w)\n",
        "const W = 3 3\n\nattention a():\n    mask i - j < W\n",
        "attention a():\n    let d = $\n    mask d < 3\n",
        "attention a():\n    grid $\n    mask i.y == j.y\n",
        "from std imprt causal\n\nattention a():\n    mask causal\n",
        "attention a(w: $):\n    mask i - j < w\n",
        "attention a(w: int):\n    mask $\n",
    ],
)
def test_what_hangs_on_a_lost_line_is_not_told(text: str) -> None:
    assert len(mistakes(text)) == 1


@cases(400, 60)
@given(st.text('aijs =<&():,$\n#\t[]+"', max_size=60))
def test_any_text_is_answered(text: str) -> None:
    """Nothing but diagnostics comes of it, each in the text, no two of them the same."""
    broken = f"attention a():\n    mask {text}\n    score $\n"
    found = mistakes(broken)
    assert found and len(set(found)) == len(found)
    for each in found:
        assert each.label is None or 0 <= each.label.span.start <= each.label.span.end <= len(broken)
