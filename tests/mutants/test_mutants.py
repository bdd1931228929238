"""The list of mutants: every one can be made, and none relies on a golden file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from mutant import Mutant
from mutants import MUTANTS

ROOT = Path(__file__).parents[2]


def test_there_are_many_with_names_of_their_own() -> None:
    assert len(MUTANTS) >= 60
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    assert max(Counter((mutant.file, mutant.before, mutant.after) for mutant in MUTANTS).values()) == 1
    assert sum(bool(mutant.reason) for mutant in MUTANTS) <= 2


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_can_be_made(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert mutant.file.startswith("attnc/")
    assert text.count(mutant.before) == 1
    changed = mutant.applied(text)
    assert changed is not None and changed != text
    compile(changed, mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_tests_are_there(mutant: Mutant) -> None:
    files = [argument.split("::")[0] for argument in mutant.tests]
    assert files and all((ROOT / file).exists() for file in files)
    assert not any("golden" in file for file in files)


def test_the_page_has_them_all() -> None:
    lines = (ROOT / "docs" / "mutants.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert rows[1:] == [mutant.name for mutant in MUTANTS]
