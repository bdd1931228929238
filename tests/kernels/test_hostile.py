"""Text of a spec never becomes code of a module: not from comments, docstrings, names of files, nor anywhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.run.loader import load_module
from attnc.source import Source

PAYLOADS = {
    "nothing": "",
    "statement": "import os; os.abort()",
    "triple quotes": '""" + boom() + """',
    "single quotes": "''' + boom() + '''",
    "backslash at the end": "boom \\",
    "escapes": "\\n boom() \\x0a boom() \\u000a boom() \\N{LINE FEED} boom()",
    "carriage return": "a\rboom()",
    "form feed": "a\x0cboom()",
    "vertical tab": "a\x0bboom()",
    "file separator": "a\x1cboom()",
    "next line": "a\x85boom()",
    "line separator": "a\u2028boom()",
    "paragraph separator": "a\u2029boom()",
    "no character": "a\x00boom()",
    "right to left": "a\u202eboom()\u202c",
    "zero width": "a\u200bboom()\ufeff",
    "surrogate pair": "\U0001f600 boom()",
    "coding line": "-*- coding: utf-7 -*-",
    "braces": "{boom()} %s {0} {q}",
    "hash": "# boom()",
    "long": "boom " * 400,
}
SPEC = '''"""{file}"""
# {above}

attention hostile(bias: float[H, N, M], w: int = 3):
    """{doc}"""
    # {inside}
    let near = i - j < w  # {behind}
    mask j <= i and near
    score dot(q, k) * scale + bias[h, i, j]
'''
PLACES = ("file", "above", "doc", "inside", "behind")


def module_of(places: dict[str, str], name: str = "hostile.attn") -> str:
    return Compilation(Source(name, SPEC.format(**dict.fromkeys(PLACES, "") | places))).module


def tree(text: str) -> str:
    return ast.dump(ast.parse(text))


HARMLESS = tree(module_of({}))


@pytest.mark.parametrize("what", PAYLOADS)
def test_comments_and_docstrings(what: str) -> None:
    """In all places at once; where a spec refuses such text, in one after another. What is taken stays text."""
    is_taken_everywhere = is_text(dict.fromkeys(PLACES, PAYLOADS[what]))
    if not is_taken_everywhere:
        for place in PLACES:
            is_text({place: PAYLOADS[what]})
    assert is_taken_everywhere or not PAYLOADS[what].isprintable() or "quotes" in what


def is_text(places: dict[str, str]) -> bool:
    """Does a spec take it? Then nothing else is in its module than there was."""
    try:
        text = module_of(places)
    except AttncError:
        return False
    assert tree(text) == HARMLESS
    assert text.isprintable() or set(filter(lambda c: not c.isprintable(), text)) == {"\n"}
    return True


@pytest.mark.parametrize("what", PAYLOADS)
def test_names_of_files(what: str) -> None:
    for name in (f"{PAYLOADS[what]}.attn", f"a\n{PAYLOADS[what]}\n.attn", f"a/\n{PAYLOADS[what]}"):
        text = module_of({}, name)
        assert tree(text) == HARMLESS


def test_nothing_happens_when_a_module_is_imported(tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    boom = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    for place in PLACES:
        for before in ("", '"""\n', "'''\n", "\n", "\r", "\x0c", "\u2028", "\\\n"):
            try:
                text = module_of({place: f"{before}{boom}"})
            except AttncError:
                continue
            load_module("hostile", text)
    assert not mark.exists()


@pytest.mark.parametrize("name", ["é", "ｆｕｌｌ", "ª", "λ", "x" * 300, "µ"])
def test_unusual_names_of_parameters(name: str) -> None:
    """Python reads some letters as others: a name is what it reads, or the spec is refused."""
    text = f"attention hostile({name}: int = 3):\n    mask j <= i + {name}\n"
    try:
        module = Compilation(Source("hostile.attn", text)).module
    except AttncError:
        return
    load_module("hostile", module)


@pytest.mark.parametrize("number", ["1e308", "1e-320", "0.1", "123456789.125", "-0.0", "2.5e10"])
def test_numbers_are_written_as_they_were_read(number: str) -> None:
    text = f"attention hostile():\n    score dot(q, k) + {number}\n"
    module = Compilation(Source("hostile.attn", text)).module
    numbers = {node.value for node in ast.walk(ast.parse(module)) if isinstance(node, ast.Constant)}
    assert abs(float(number)) in numbers or abs(float(number)) * 1.4426950408889634 in numbers
