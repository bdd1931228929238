"""Every wrong spec beside its exact text: `NAME.attn` and `NAME.txt`, here and in `syntax/`.

`pytest --update-golden` writes the texts anew. Whoever does so reads the difference like any other change: these texts
are the manners of the compiler.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from attnc.check import find_mistakes
from attnc.compiler import Compilation
from attnc.data import error_codes, error_page
from attnc.errors import AttncError, Diagnostic
from attnc.render import MAX_LINES, render, render_all
from attnc.source import Source
from attnc.syntax.parser import parse_file
from attnc.syntax.reading import read_source

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LIBRARIES = {"lib_masks"}  # what wrong specs import; nothing is wrong with these
SPECS = [path for path in sorted(HERE.rglob("*.attn")) if path.stem not in LIBRARIES]


def mistakes_in(path: Path) -> tuple[Diagnostic, ...]:
    """Everything that `attnc check` says about a file."""
    try:
        return Compilation(read_source(path.name)).checked.diagnostics
    except AttncError as error:
        return error.diagnostics


@pytest.mark.parametrize("path", SPECS, ids=lambda path: str(path.relative_to(HERE).with_suffix("")))
def test_text(path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    text = render_all(mistakes_in(path)) + "\n"
    expected = path.with_suffix(".txt")
    if request.config.getoption("--update-golden"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SPECS, ids=lambda path: str(path.relative_to(HERE).with_suffix("")))
def test_manners(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    found = mistakes_in(path)
    assert found, "this spec is not wrong"
    for diagnostic in found:
        text = render(diagnostic)
        assert diagnostic.label is not None
        assert re.search(r"^ *--> [\w.]+\.attn:\d+:\d+$", text, re.MULTILINE)
        assert len(text.splitlines()) <= MAX_LINES
        for line in (diagnostic.message, *diagnostic.notes, *diagnostic.helps):
            assert not line.endswith((".", "!")) and (line[0].islower() or line[0] in "`&|"), line
        assert "__" not in diagnostic.message and "Token" not in diagnostic.message
    assert len(
        {(d.label.span.source.name, d.label.span.start, d.label.span.end) for d in found if d.label}
    ) == len(found), "two diagnostics for one span"


def test_libraries_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    for name in LIBRARIES:
        assert mistakes_in(HERE / f"{name}.attn") == ()


# ---- codes -----------------------------------------------------------------------------------------

CODE = re.compile(r"[a-z]+(-[a-z]+)+")  # nothing else in the package is written so


def all_codes(*rooms: str) -> set[str]:
    """The codes that the package, or some rooms of it, may give a diagnostic."""
    folders = [ROOT / "attnc" / room for room in rooms] or [ROOT / "attnc"]
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py")]
    nodes = [node for text in texts for node in ast.walk(ast.parse(text))]
    words = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return {word for word in words if CODE.fullmatch(word)}


CODES_OF_SPECS = all_codes("check", "syntax") - {"unreadable-file"}


def test_every_code_has_a_page() -> None:
    assert all_codes() - set(error_codes()) == set()


def test_every_page_has_a_code() -> None:
    assert set(error_codes()) - all_codes() == set()


def test_every_code_of_a_spec_is_shown() -> None:
    """A code that a spec can cause has a spec that causes it."""
    texts = [path.read_text(encoding="utf-8") for path in HERE.rglob("*.txt")]
    assert (
        CODES_OF_SPECS - {code for text in texts for code in re.findall(r"^\w+\[([\w-]+)\]", text, re.M)}
        == set()
    )


# ---- pages -----------------------------------------------------------------------------------------


def examples_of(code: str) -> list[str]:
    """The specs of a page."""
    return re.findall(r"^```attn\n(.*?)^```$", error_page(code) or "", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", error_codes())
def test_page_is_short_and_has_an_example(code: str) -> None:
    page = error_page(code) or ""
    assert page.startswith(f"# `{code}`\n")
    assert re.search(r"^```(attn|python|text)$", page, re.MULTILINE)
    assert 7 <= len(page.splitlines()) <= 40
    assert all(len(line) <= 125 for line in page.splitlines() if "(((" not in line)


@pytest.mark.parametrize(
    "code", [code for code in error_codes() if code in CODES_OF_SPECS and examples_of(code)]
)
def test_page_is_true(code: str) -> None:
    """The first spec of a page causes its code; the others are what to write instead."""
    wrong, *right = examples_of(code)
    assert code in {d.code for d in mistakes_of(wrong)}
    for text in right:
        assert mistakes_of(text) == ()


def mistakes_of(text: str) -> tuple[Diagnostic, ...]:
    try:
        return find_mistakes(parse_file(Source("<string>", text))).diagnostics
    except AttncError as error:
        return error.diagnostics
