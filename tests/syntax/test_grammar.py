"""The grammar itself: no hidden conflict, no word that is both a name and not, and one parser for many threads."""

from __future__ import annotations

import keyword
import logging
import re
from concurrent.futures import ThreadPoolExecutor

import lark
import pytest

from attnc.data import data_folder
from attnc.source import Source
from attnc.syntax.grammar import Blocks, load_grammar
from attnc.syntax.mistakes.words import NUMBER
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_file

TEXT = (data_folder("grammars") / "attn.lark").read_text(encoding="utf-8")


def test_no_conflict_is_resolved_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    options = {"parser": "lalr", "start": ["file", "line"], "postlex": Blocks(), "debug": True}
    lark.logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.DEBUG, logger=lark.logger.name):
            lark.Lark(TEXT, **options)
            assert "Shift/Reduce" not in caplog.text
            lark.Lark(TEXT.replace("_NOT negation", "negation _OR negation"), **options)
            assert "Shift/Reduce" in caplog.text
    finally:
        lark.logger.removeHandler(caplog.handler)


def test_every_rule_has_an_example_above_it() -> None:
    lines = TEXT.split("\n")
    rules = [n for n, line in enumerate(lines) if re.match(r"\??[a-z_]+(\{x\})?:", line)]
    assert len(rules) > 30
    bare = [lines[n] for n in rules if not lines[n - 1].startswith("// ")]
    # A rule that only serves the one above it has its example there.
    assert [line.split(":")[0] for line in bare] == SERVING


SERVING = ["macro_line", "attention_line", "body", "clause", "_argument", "keyword", "_item", "all"]


def pattern(name: str) -> re.Pattern[str]:
    (terminal,) = (t for t in load_grammar().terminals if t.name == name)
    return re.compile(terminal.pattern.to_regexp())


def test_no_word_of_python_is_a_name() -> None:
    name = pattern("NAME")
    assert not [word for word in [*keyword.kwlist, "true", "false"] if name.fullmatch(word)]
    assert all(name.fullmatch(f"{word}x") and name.fullmatch(f"x{word}") for word in keyword.kwlist)


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "00",
        "7",
        "1_0",
        "007",
        "1__0",
        "_1",
        "1_",
        ".5",
        "5.",
        "1.5",
        "1e5",
        "1e",
        "0e0",
        "01.5",
        "1_0.0_1e+1_0",
    ],
)
def test_messages_know_the_same_numbers_as_the_grammar(text: str) -> None:
    is_number = bool(pattern("INT").fullmatch(text) or pattern("FLOAT").fullmatch(text))
    assert bool(NUMBER.fullmatch(text)) == is_number


def test_threads_may_parse_at_once() -> None:
    texts = [
        f"attention f{n}(\n    a: int,\n):\n    mask      {'(i' + ' + (1' * (n // 2) + ')' * (n // 2) + ')'} < a\n"
        for n in range(60)
    ]
    with ThreadPoolExecutor(8) as pool:
        trees = list(pool.map(lambda text: parse_file(Source("x", text)), texts * 3))
    assert [tree.items[0].name.id for tree in trees] == [f"f{n}" for n in range(60)] * 3
    assert print_file(trees[0]) == "attention f0(a: int):\n    mask      i < a\n"
