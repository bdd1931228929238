"""Files that take from each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from checking import attention, codes, mistakes

from attnc.check import find_mistakes
from attnc.ir.text import print_ir
from attnc.source import Source
from attnc.syntax.parser import parse_file
from attnc.syntax.reading import read_source

NEAR = "const W = 4\ndef near(w = W) = abs(i - j) < w\n"


def test_macros_and_constants() -> None:
    text = "from masks import near, W\nattention a():\n    mask near or i < W\n"
    assert print_ir(attention(text, masks=NEAR).mask) == "abs(i - j) < 4 or i < 4"


def test_imports_of_imports() -> None:
    text = "from two import far\nattention a():\n    mask far(3)\n"
    two = "from one import near\ndef far(w) = not near(w)\n"
    assert print_ir(attention(text, one=NEAR, two=two).mask) == "3 <= abs(i - j)"
    assert codes(text.replace("far", "near"), one=NEAR, two=two) == ["unknown-import"]


def test_a_file_is_read_once_and_its_mistakes_are_told_once() -> None:
    text = "from one import near\nfrom two import far\nattention a():\n    mask near or far\n"
    one = "def near = abs(i - j) < nowhere\n"
    two = "from one import near\ndef far = not near\n"
    (found,) = mistakes(text, one=one, two=two)
    assert found.label is not None and found.label.span.source.name == "one.attn"


def test_syntax_mistakes_of_an_imported_file() -> None:
    found = mistakes(
        "from one import near\nattention a():\n    mask near and nowhere\n", one="def near = = 4\n"
    )
    assert len(found) == 2
    assert {d.label.span.source.name for d in found if d.label} == {"spec.attn", "one.attn"}


@pytest.mark.parametrize(
    ("text", "modules", "expected"),
    [
        ("from one import a2\n", {}, ["unknown-module"]),
        ("from masks import nea\n", {"masks": NEAR}, ["unknown-import"]),
        ("from masks import near, near\n", {"masks": NEAR}, ["duplicate-name"]),
        ("from masks import near\ndef near = true\n", {"masks": NEAR}, ["duplicate-name"]),
        ("from masks import full\n", {"masks": "attention full():\n    mask true\n"}, ["not-importable"]),
        ("from std import nothing_like_it\n", {}, ["unknown-import"]),
        ("from spec import a2\n", {}, ["import-cycle"]),
        ("from one import a2\n", {"one": "from one import a3\ndef a2 = a3\n"}, ["import-cycle"]),
        (
            "from one import a2\n",
            {"one": "from two import a3\ndef a2 = a3\n", "two": "from one import a2\ndef a3 = a2\n"},
            ["import-cycle"],
        ),
    ],
)
def test_mistake(text: str, modules: dict[str, str], expected: list[str]) -> None:
    assert codes(text, **modules) == expected


def test_an_unknown_module_has_suggestions() -> None:
    (found,) = mistakes("from mask import near\n", masks=NEAR, biases=NEAR)
    assert found.helps == ("did you mean `masks`?",)


def test_files_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "masks.attn").write_text(NEAR)
    path = tmp_path / "spec.attn"
    path.write_text("from masks import near\nattention a(w: int):\n    mask near(w)\n")
    (found,) = find_mistakes(parse_file(read_source(path))).attentions
    assert print_ir(found.mask) == "abs(i - j) < w"
    path.write_text("from mask import near\nattention a(w: int):\n    mask near(w)\n")
    (mistake,) = find_mistakes(parse_file(read_source(path))).diagnostics
    assert mistake.helps == ("did you mean `masks`?",)


def test_a_text_has_no_files_beside_it() -> None:
    text = "from pyproject import near\nattention a():\n    mask near\n"
    assert [d.code for d in find_mistakes(parse_file(Source("<string>", text))).diagnostics] == [
        "unknown-module"
    ]


def test_only_names_of_this_folder(tmp_path: Path) -> None:
    """A module is a name, so nothing outside the folder can be named."""
    (tmp_path / "outside.attn").write_text(NEAR)
    (tmp_path / "inside").mkdir()
    path = tmp_path / "inside" / "spec.attn"
    path.write_text("from outside import near\nattention a():\n    mask near\n")
    assert [d.code for d in find_mistakes(parse_file(read_source(path))).diagnostics] == ["unknown-module"]
