"""The texts for people: commands print what they are said to print, links lead somewhere, tables leave nothing out.

In a `console` block a line `$ attnc ...` is run and must print the lines below it; `...` stands for any lines. A block
that opens with `# NAME.attn` is the file of that name for the commands of its page; the examples are in `examples/`.
`$ attnc inspect` compiles, so that it is run with the tests that do.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnc.cli import commands, main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of every fenced block."""
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield found[1], found[2]


Session = tuple[list[str], list[str]]


def sessions(text: str) -> Iterator[Session]:
    """The arguments of every `$ attnc ...` and the lines that are said to follow."""
    for language, block in blocks(text):
        if language == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                line, *said = part.rstrip("\n").split("\n")
                program, *arguments = shlex.split(line, comments=True)
                if program == "attnc":
                    yield arguments, [text for text in said if text]


def follows(said: list[str], printed: list[str]) -> bool:
    """Whether the printed lines are those that are said, where `...` is any number of lines."""
    if not said:
        return not printed
    if said[0] == "...":
        return any(follows(said[1:], printed[n:]) for n in range(len(printed) + 1))
    return bool(printed) and said[0] == printed[0] and follows(said[1:], printed[1:])


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def commands_of_a_page(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Session]:
    """The commands of a page, with the files that they speak of."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", "examples")
    text = request.param.read_text(encoding="utf-8")
    for _, block in blocks(text):
        if name := re.match(r"# (\w+\.attn)\n", block):
            Path(name[1]).write_text(block, encoding="utf-8")
    return list(sessions(text))


def test_commands_print_what_they_are_said_to_print(
    commands_of_a_page: list[Session], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in commands_of_a_page:
        if arguments[0] == "inspect":
            continue
        main(arguments)
        out, err = capsys.readouterr()
        printed = [line for line in (out + err).splitlines() if line]
        assert follows(said, printed), f"attnc {shlex.join(arguments)} prints\n{out}{err}"


@pytest.mark.compiles
def test_machine_code_is_what_it_is_said_to_be(
    commands_of_a_page: list[Session], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, said in commands_of_a_page:
        if arguments[0] == "inspect":
            main(arguments)
            assert [line for line in capsys.readouterr().out.splitlines() if line] == said


@page
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_names_every_example_and_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = {path.stem for path in (ROOT / "examples").glob("*.attn")}
    assert set(re.findall(r"\(examples/(\w+)\.attn\)", text)) == examples
    listed = re.findall(r"^\| `attnc (\w+)", text, re.MULTILINE)
    assert listed == [command.name for command in commands.COMMANDS]


def test_dots_stand_for_any_lines() -> None:
    assert follows(["a", "...", "d"], ["a", "b", "c", "d"])
    assert follows(["..."], [])
    assert not follows(["a", "...", "d"], ["a", "b", "c"])
    assert not follows(["a"], ["a", "b"])


def test_readme_shows_what_is_written() -> None:
    """The kernel's heart in README is the golden kernel's, but for spaces and the place of the mask in its file."""
    shown = re.search(r"```python\n(score = .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    written = (ROOT / "tests/golden/sliding_window/module.py").read_text()

    def words(text: str) -> str:
        return " ".join(re.sub(r"attn:\d+", "attn", text).split())

    assert words(shown[1]) in words(written)


def test_words_of_our_own_are_used_where_they_are_said_to_be() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*([\w ,]+)\*\* \|.*\| `([\w./]+)` \|$", text, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| \*\*", text, re.MULTILINE)) > 10
    for words, place in rows:
        files = sorted((ROOT / place).rglob("*.py")) if place.endswith("/") else [ROOT / place]
        code = "\n".join(file.read_text(encoding="utf-8") for file in files).lower()
        for word in words.split(", "):
            assert word.split()[0] in code, f"{word} in {place}"


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/glossary.md", "docs/adr/README.md"])
def test_rooms_that_are_named_are_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    below = ROOT / "attnc" if name.endswith("adr/README.md") else ROOT
    named = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    places = [place for row in named for place in re.findall(r"`((?:[\w]+/)+[\w.]*)`", row)]
    assert len(places) > 10
    assert [place for place in places if not (below / place).exists()] == []
