"""Lines and comments before any grammar, and what `attnc fmt` does with comments in odd places."""

from __future__ import annotations

from attnc.source import Source
from attnc.syntax.layout import find_lines
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_file


def lines(text: str) -> list[tuple[str, int, int]]:
    return [
        (text[line.start : line.end], line.indent, line.block) for line in find_lines(Source("x", text)).lines
    ]


def tidy(text: str) -> str:
    printed = print_file(parse_file(Source("x", text)))
    assert print_file(parse_file(Source("x", printed))) == printed
    return printed


def test_a_line_goes_on_inside_brackets_and_docstrings() -> None:
    text = 'def f(\n  a,  # why\n) = [\n1]\n"""a\n  b"""  # c\n\n  # d\n  x # e\n    y\n'
    assert lines(text) == [
        ("def f(\n  a,  # why\n) = [\n1]", 0, 0),
        ('"""a\n  b"""', 0, 0),
        ("x", 2, 2),
        ("y", 4, 2),
    ]


def test_brackets_and_hashes_in_comments_and_strings_are_text() -> None:
    text = 'a # (\nb "(#" c\nd """(\n#""" e\n'
    layout = find_lines(Source("x", text))
    assert [text[line.start : line.end] for line in layout.lines] == ["a", 'b "(#" c', 'd """(\n#""" e']
    assert layout.is_regular and [comment.text for comment in layout.comments] == ["# ("]


def test_an_open_bracket_ends_where_a_statement_must_start() -> None:
    assert [text for text, *_ in lines("mask (a\n    score b\n    x\n")] == ["mask (a", "score b", "x"]
    continued = "f(a,\n  key if b else c,\n  value in d,\n  mask: int,\n  query\n)"
    assert [text for text, *_ in lines(continued)] == [continued]


def test_comments_stay_with_what_they_are_about() -> None:
    text = '''# the file

"""Doc."""

# about the import
from std import causal  # beside it

# on its own

# about f
attention f():  # the head
    # about the mask
    mask      causal  # beside the mask

    # about the score

    score     s
    # last of f

# about g
attention g():
    # g has no clauses

# the end
'''
    assert tidy(text) == text


def test_comments_in_brackets_move_above_their_statement() -> None:
    assert tidy("const A = (1  # one\n  + 2  # two\n  )  # sum\n") == "# one\n# two\nconst A = 1 + 2  # sum\n"


def test_comments_of_parameters_stay_with_them() -> None:
    text = "attention f(  # first\n  a: int, b: float[  # inside\n  H], # beside b\n  # last\n):\n"
    assert tidy(text) == (
        "attention f(\n    # first\n    a: int,\n    # inside\n    # last\n    b: float[H],  # beside b\n):\n"
    )
    assert tidy("attention f(\n  # nothing\n):\n") == "# nothing\nattention f():\n"


def test_comments_of_docstrings_move_on() -> None:
    text = 'attention f():\n    """Doc."""  # beside\n    # after\n    mask j\n'
    assert tidy(text) == 'attention f():\n    """Doc."""\n    # beside\n    # after\n    mask      j\n'
    assert tidy('"""Doc."""  # beside\n') == '"""Doc."""\n\n# beside\n'


def test_blank_lines_are_one_at_most() -> None:
    text = (
        "\n\nconst A = 1\n\n\nconst B = 2\nattention f():\n\n    mask a\n\n\n    score s\nconst C = 3\n\n\n"
    )
    assert tidy(text) == (
        "const A = 1\n\nconst B = 2\n\nattention f():\n    mask      a\n\n    score     s\n\nconst C = 3\n"
    )
