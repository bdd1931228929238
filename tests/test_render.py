"""The exact look of diagnostics."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attnc.errors import AttncError, Diagnostic, Label
from attnc.render import MAX_COLUMNS, MAX_LINES, render, render_all
from attnc.source import Source, Span

SPEC = Source(
    "causal_window.attn", "attention causal_window(window: int):\n    mask   i - j < windw\n    score  s\n"
)


def label(source: Source, text: str, what: str = "") -> Label:
    start = source.text.index(text)
    return Label(Span(source, start, start + len(text)), what)


def test_two_labels_and_a_help() -> None:
    diagnostic = Diagnostic(
        "unknown-name",
        "`windw` is not defined in this spec",
        label(SPEC, "windw", "not a parameter, an index or a builtin"),
        related=(label(SPEC, "window:", "a parameter with a close name"),),
    )
    assert render(diagnostic) == (
        "error[unknown-name]: `windw` is not defined in this spec\n"
        " --> causal_window.attn:2:20\n"
        "  |\n"
        "1 | attention causal_window(window: int):\n"
        "  |                         ------- a parameter with a close name\n"
        "2 |     mask   i - j < windw\n"
        "  |                    ^^^^^ not a parameter, an index or a builtin"
    )


def test_a_warning_with_a_note_of_two_lines() -> None:
    diagnostic = Diagnostic(
        "dense-mask",
        "every tile must be visited",
        label(SPEC, "i - j < windw"),
        notes=("the kernel is correct\nand costs as much as full attention",),
        severity="warning",
    )
    assert render(diagnostic) == (
        "warning[dense-mask]: every tile must be visited\n"
        " --> causal_window.attn:2:12\n"
        "  |\n"
        "2 |     mask   i - j < windw\n"
        "  |            ^^^^^^^^^^^^^\n"
        "  |\n"
        "  = note: the kernel is correct\n"
        "          and costs as much as full attention"
    )


def test_without_a_place() -> None:
    diagnostic = Diagnostic("unreadable-file", "cannot read `a`", notes=("why",), helps=("what to do",))
    assert render(diagnostic) == "error[unreadable-file]: cannot read `a`\n= note: why\n= help: what to do"


def test_lines_that_are_far_apart_and_of_other_files() -> None:
    long = Source("long.attn", "\n" * 8 + "def f = 1\n" + "\n" * 3 + "def f = 2\n")
    other = Source("lib/other.attn", "def f = 3\n")
    diagnostic = Diagnostic(
        "duplicate-name",
        "`f` is defined twice",
        Label(Span(long, 25, 26), "again"),
        related=(Label(Span(long, 12, 13), "first"), Label(Span(other, 4, 5), "and here")),
    )
    assert render(diagnostic) == (
        "error[duplicate-name]: `f` is defined twice\n"
        "  --> long.attn:13:5\n"
        " 9 | def f = 1\n"
        "   |     - first\n"
        "...\n"
        "13 | def f = 2\n"
        "   |     ^ again\n"
        "  ::: lib/other.attn:1:5\n"
        " 1 | def f = 3\n"
        "   |     - and here"
    )


def test_two_labels_of_one_line() -> None:
    diagnostic = Diagnostic(
        "wrong-sort",
        "an int and a bool do not mix",
        label(SPEC, "windw", "a bool"),
        related=(label(SPEC, "i - j", "an int"),),
    )
    assert render(diagnostic).split("\n")[3:] == [
        "2 |     mask   i - j < windw",
        "  |                    ^^^^^ a bool",
        "  |            ----- an int",
    ]


def underlined(text: str, part: str, what: str = "") -> list[str]:
    source = Source("a.attn", text)
    return [line[4:] for line in render(Diagnostic("a-b", "m", label(source, part, what))).split("\n")[3:]]


def test_tabs_and_wide_characters() -> None:
    assert underlined("\tmask\tjj", "jj") == ["    mask    jj", "            ^^"]
    assert underlined("# 注意 e\u0301 jj", "jj") == ["# 注意 e\u0301 jj", "         ^^"]
    assert underlined("# 注意", "意", "wide") == ["# 注意", "    ^^ wide"]


def test_characters_that_would_move_the_cursor_are_replaced() -> None:
    assert underlined("a \x1b[31m \u202e jj", "jj") == ["a \ufffd[31m \ufffd jj", "          ^^"]
    assert "\x1b" not in render(Diagnostic("a-b", "bad \x1b[31m", notes=("\x07",)))


def test_the_end_of_a_line_and_of_a_text() -> None:
    source = Source("a.attn", "mask\nj")
    for at, lines in ((4, ["1 | mask", "  |     ^"]), (6, ["2 | j", "  |  ^"])):
        assert render(Diagnostic("a-b", "m", Label(Span(source, at, at)))).split("\n")[3:] == lines


def test_an_empty_text() -> None:
    source = Source("a.attn", "")
    assert render(Diagnostic("a-b", "m", Label(Span(source, 0, 0)))).split("\n")[3:] == ["1 |", "  | ^"]


def test_a_span_of_several_lines_is_underlined_in_its_first() -> None:
    assert underlined("mask (a\n  and b)", "(a\n  and b)", "all") == ["mask (a", "     ^^ all"]


def test_a_carriage_return_is_not_drawn() -> None:
    assert underlined("mask j\r\n", "j\r") == ["mask j", "     ^"]


WIDE = MAX_COLUMNS - len("1 | ")


def test_a_long_line_is_cut_on_the_right() -> None:
    assert underlined("jj " + "x" * 200, "jj", "here") == ["jj " + "x" * (WIDE - 6) + "...", "^^ here"]


def test_a_long_line_is_cut_on_the_left() -> None:
    text, marks = underlined("x" * 200 + " jj", "jj", "here")
    assert text == "..." + "x" * (WIDE - 11) + " jj" and len(marks) == WIDE
    assert text.index("jj") == marks.index("^^") and marks.endswith("^^ here")


def test_a_long_line_is_cut_on_both_sides() -> None:
    text, marks = underlined("x" * 200 + " jj " + "y" * 200, "jj", "here")
    assert text.startswith("...x") and text.endswith("y...") and len(text) == WIDE
    assert text.index("jj") == marks.index("^^")


def test_a_long_span_is_cut() -> None:
    text, marks = underlined("x" * 30 + "y" * 300, "y" * 300)
    assert text == "..." + "x" * 9 + "y" * (WIDE - 15) + "..."
    assert marks == " " * 12 + "^" * (WIDE - 12)


@given(st.text(max_size=300), st.integers(0, 300), st.integers(0, 60), st.text(max_size=20))
@example("0000\U00018cd60", 5, 1, "")  # wide, but not printable: what stands in its place is not
def test_any_place_of_any_text_is_drawn_in_bounds(text: str, start: int, length: int, what: str) -> None:
    source = Source("a.attn", text)
    start = min(start, len(text))
    span = Span(source, start, min(start + length, len(text)))
    lines = render(Diagnostic("a-b", "m", Label(span, what), helps=("one", "two"))).split("\n")
    assert len(lines) <= MAX_LINES
    assert all(len(line) <= MAX_COLUMNS + len(what) + 1 for line in lines)
    assert "^" in lines[4]
    char = text[start : start + 1]
    if length and char.isalnum() and char.isascii() and len(text) < 100:
        before = lines[4].index("^")
        drawn = lines[3]
        columns = "".join(
            c + "\0" * (unicodedata.east_asian_width(c) in "WF")
            for c in drawn
            if not unicodedata.combining(c)
        )
        assert columns[before] == char


def test_at_most_eight_lines() -> None:
    hints = {"notes": ("one",), "helps": ("two", "three")}
    drawn = render(Diagnostic("a-b", "m", label(SPEC, "windw"), **hints)).split("\n")
    assert drawn[4:] == ["  |                    ^^^^^", "  = note: one", "  = help: two", "  = help: three"]
    assert len(drawn) == MAX_LINES
    both = render(Diagnostic("a-b", "m", label(SPEC, "windw"), (label(SPEC, "window:"),), **hints)).split(
        "\n"
    )
    assert "  |" not in both and len(both) == 9


def test_all_are_ordered_by_place_and_one_a_span() -> None:
    other = Source("other.attn", "x")
    late = Diagnostic("late-one", "late", label(SPEC, "score"))
    early = Diagnostic("early-one", "early", label(SPEC, "window:"))
    same = Diagnostic("same-span", "again", label(SPEC, "score"))
    warned = Diagnostic("warned-first", "warned", label(SPEC, "window:"), severity="warning")
    free = Diagnostic("no-place", "free")
    far = Diagnostic("far-away", "far", label(other, "x"))
    codes = re.findall(r"\[(.*?)\]", render_all([late, far, warned, early, same, free, free, late]))
    assert codes == ["no-place", "early-one", "late-one", "far-away"]


def test_all_are_separated_by_an_empty_line() -> None:
    drawn = render_all([Diagnostic("a-b", "one"), Diagnostic("c-d", "two")])
    assert drawn == "error[a-b]: one\n\nerror[c-d]: two"
    assert render_all([]) == ""
    assert str(AttncError(Diagnostic("a-b", "one"))) == "error[a-b]: one"


@pytest.mark.parametrize(("severity", "strong"), [("error", "1;31"), ("warning", "1;33")])
def test_color_adds_nothing_but_color(severity: str, strong: str) -> None:
    diagnostic = Diagnostic(
        "a-b", "m", label(SPEC, "windw", "x"), (label(SPEC, "window:"),), ("n",), (), severity=severity
    )
    colored = render(diagnostic, color=True)
    assert re.sub(r"\033\[[\d;]*m", "", colored) == render(diagnostic)
    assert colored.startswith(f"\033[{strong}m{severity}[a-b]\033[0m\033[1m: m\033[0m\n")
    assert f"\033[{strong}m                   ^^^^^ x\033[0m" in colored
    assert "\033" not in render(diagnostic)
