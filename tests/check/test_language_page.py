"""The page of the language is true: each block checks, and its tables name everything there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checking import attentions, mistakes

from attnc.check.standard import standard_names
from attnc.check.vocabulary import CLAUSES, LATER, NAMES, SIGNATURES
from attnc.source import Source
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_file

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```attn\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: re.search(r"attention (\w+)", text)[1])
def test_block(text: str) -> None:
    assert mistakes(text) == ()
    assert len(attentions(text)) == 1
    assert print_file(parse_file(Source("spec.attn", text))) == text, "not formatted"


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 10
    assert PAGE.count("```attn") == len(BLOCKS)


def test_the_page_names_everything() -> None:
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", PAGE))))
    assert (set(SIGNATURES) | NAMES | set(CLAUSES) | set(LATER)) - words == set()
    helpers = {"near_start", "t5_far", "t5_near_or_far", "t5_one_sided", "t5_two_sided"}
    assert set(standard_names()) - helpers - words == set()


def test_named_normalizations_are_written_as_they_are() -> None:
    std = (ROOT / "attnc" / "std" / "normalizations.attn").read_text(encoding="utf-8")
    for name, formula in re.findall(r"^\| `([\w()]+)` \| `([^`]+)` \|$", PAGE, re.MULTILINE):
        if f"def {name} =" in std:
            assert f"def {name} = {formula}" in std


def test_links_lead_somewhere() -> None:
    titles = {
        re.sub(r"[^\w -]", "", t).strip().lower().replace(" ", "-")
        for t in re.findall(r"^#+ (.+)$", PAGE, re.M)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) <= titles
