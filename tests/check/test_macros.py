"""Macros: pure, hygienic, and over before they cost anything."""

from __future__ import annotations

import pytest
from checking import attention, attentions, codes, mistakes
from effort import at_most

from attnc.ir import nodes as ir
from attnc.ir.text import print_ir


def mask_of(definitions: str, mask: str, params: str = "n: int, w: int[H]") -> str:
    return print_ir(attention(f"{definitions}\nattention a({params}):\n    mask {mask}\n").mask)


@pytest.mark.parametrize(
    ("definitions", "mask", "expected"),
    [
        ("def near = abs(i - j) < 4", "near", "abs(i - j) < 4"),
        ("def near = abs(i - j) < 4", "near()", "abs(i - j) < 4"),
        ("def near() = abs(i - j) < 4", "near", "abs(i - j) < 4"),
        ("def near(w) = abs(i - j) < w", "near(n)", "abs(i - j) < n"),
        ("def near(w = 4) = abs(i - j) < w", "near", "abs(i - j) < 4"),
        ("def near(p, r, w = 4) = abs(p - r) < w", "near(i, j)", "abs(i - j) < 4"),
        ("def near(p, r, w = 4) = abs(p - r) < w", "near(w=n, r=i, p=j)", "abs(j - i) < n"),
        ("const W = 8\ndef near(p, r, w = W * 2) = abs(p - r) < w", "near(i, j)", "abs(i - j) < 16"),
        ("def far(w) = not near(w)\ndef near(w) = abs(i - j) < w", "far(n)", "n <= abs(i - j)"),
        # an array is an argument like any other
        ("def below(t) = i - j < t[h]", "below(w)", "i - j < w[h]"),
        # of the sorts that it is used with
        ("def same(x, y) = x == y", "same(i, j) and same(scale, 0.5)", "i == j and scale == 0.5"),
    ],
)
def test_expansion(definitions: str, mask: str, expected: str) -> None:
    assert mask_of(definitions, mask) == expected


# ---- hygiene ---------------------------------------------------------------------------------------


def test_arguments_are_evaluated_where_they_are_written() -> None:
    """The parameter `w` of the attention is not the argument `w` of the macro."""
    text = """
def near(d, w) = abs(d) < w

attention a(w: int, d: int):
    mask near(i - w, d) and near(w=i - j, d=w)
"""
    assert print_ir(attention(text).mask) == "abs(i - w) < d and abs(w) < i - j"


def test_a_macro_sees_no_parameter_and_no_let() -> None:
    text = "def near = abs(i - j) < w\nattention a(w: int):\n    mask near\n"
    assert codes(text) == ["unknown-name", "unused-parameter"] or codes(text) == ["unknown-name"]
    text = "def near = abs(d) < 4\nattention a():\n    let d = i - j\n    mask near\n"
    assert "unknown-name" in codes(text)


def test_a_macro_sees_the_constants_of_its_own_file() -> None:
    library = "const W = 4\ndef near = abs(i - j) < W\n"
    text = "from masks import near\nconst W = 9\nattention a():\n    mask near and i < W\n"
    assert print_ir(attention(text, masks=library).mask) == "abs(i - j) < 4 and i < 9"


def test_a_parameter_that_hides_a_macro_does_so_in_its_attention_alone() -> None:
    text = """
def width = 4
def near = abs(i - j) < width

attention a(width: int):
    mask near and i < width

attention c():
    mask near and i < width
"""
    first, second = attentions(text)
    assert print_ir(first.mask) == "abs(i - j) < 4 and i < width"
    assert print_ir(second.mask) == "abs(i - j) < 4 and i < 4"


def test_arguments_hide_macros_and_constants() -> None:
    text = "const n = 9\ndef m(x) = x\ndef f(n, m) = n < m\nattention a():\n    mask f(i, j)\n"
    assert print_ir(attention(text).mask) == "i < j"


def test_nested_arguments_do_not_mix() -> None:
    text = """
def swap(x, y) = minus(y, x)
def minus(x, y) = x - y

attention a():
    mask swap(i, j) < swap(swap(i, j), 1)
"""
    assert print_ir(attention(text).mask) == "j - i < 1 - (j - i)"


def test_built_in_names_mean_what_they_mean_where_the_macro_is_used() -> None:
    text = "def here = i\ndef weight = s\nattention a():\n    query q * here\n    normalize weight\n"
    found = attention(text)
    assert print_ir(found.query) == "q * splat(real(i))"
    assert codes("def here = i\nattention a():\n    key k * here\n") == ["name-not-here"]


def test_the_argument_keeps_its_place_in_the_text() -> None:
    text = "def near(d) = abs(d) < 4\nattention a():\n    mask near(i - j)\n"
    mask = attention(text).mask
    assert isinstance(mask, ir.Compare) and isinstance(mask.a, ir.IntAbs)
    assert mask.span is not None and mask.span.text == "abs(d) < 4"
    assert mask.a.a.span is not None and mask.a.a.span.text == "i - j"


def test_macros_of_other_files_are_cited_where_they_are_used() -> None:
    text = "from std import sliding_window\nattention a(w: int):\n    mask sliding_window(w)\n"
    mask = attention(text).mask
    assert isinstance(mask, ir.And)
    assert all(item.span is not None and item.span.text == "sliding_window(w)" for item in mask.items)


# ---- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("definitions", "mask", "expected"),
    [
        ("def f(x) = x", "f", ["missing-argument"]),
        ("def f(x) = x", "f()", ["missing-argument"]),
        ("def f(x) = x", "f(p, p)", ["argument-count"]),
        ("def f(x) = x", "f(p, x=p)", ["duplicate-argument"]),
        ("def f(x) = x", "f(y=p)", ["unknown-argument"]),
        ("def f = p2", "f", ["unknown-name"]),
        ("def f(x, x) = x", "p", ["duplicate-name"]),
        ("def f(i) = i", "p", ["redefined-builtin"]),
        ("def f(x) = g(x)", "f(p)", ["unknown-function"]),
        ("def f(x) = x\ndef f(y) = y", "f(p)", ["duplicate-name"]),
        ("def f(x) = x(1)", "f(p)", ["not-a-function"]),
        ("def f(x) = x[1]", "f(p)", ["not-an-array"]),
        ("def f(x) = x + 1", "f(p)", ["bool-and-number"]),
        ("def f(x) = x + 1", "f(p) and f(p)", ["bool-and-number"]),
        ("def f(x) = exp", "p", ["missing-argument"]),
        ("def g(y) = y\ndef f(x) = g(x, x)", "p", ["argument-count"]),
        ("def f(x) = f(x)", "f(p)", ["macro-recursion"]),
        ("def f(x) = x and g\ndef g = f(true)", "f(p) or g", ["macro-recursion"]),
        ("def f(x = g) = x\ndef g = f()", "f(p)", ["macro-recursion"]),
        ("def f(f) = f", "f(p)", []),
    ],
)
def test_mistake(definitions: str, mask: str, expected: list[str]) -> None:
    assert (
        codes(f"{definitions}\nattention a(p: bool):\n    mask {mask}\n    score 0 if p else 1\n") == expected
    )


def test_every_cycle_is_told_once() -> None:
    text = (
        "def a = c\ndef c = d\ndef d = a and e\ndef e = e\ndef f = a\nattention g():\n    mask a or e or f\n"
    )
    found = mistakes(text)
    assert [(d.code, d.message) for d in found] == [
        ("macro-recursion", "the macro `a` uses itself: `a` -> `c` -> `d` -> `a`"),
        ("macro-recursion", "the macro `e` uses itself: `e` -> `e`"),
    ]


# ---- bombs -----------------------------------------------------------------------------------------


def bomb(levels: int, ways: int, body: str = "x{0} + x{0}") -> str:
    lines = ["def f0 = dot(q, k)"]
    lines += [f"def f{n} = {' + '.join([f'f{n - 1}'] * ways)}" for n in range(1, levels)]
    return "\n".join(lines) + f"\nattention boom():\n    score f{levels - 1}\n"


@pytest.mark.parametrize(("levels", "ways"), [(30, 2), (8, 9), (90, 3)])
def test_macros_that_multiply(levels: int, ways: int) -> None:
    """Written out, the smallest of them is 43 million terms."""
    with at_most(5_000_000):
        assert codes(bomb(levels, ways)) == ["too-large"]


@pytest.mark.parametrize("op", ["+", "*", "-"])
def test_arguments_that_multiply(op: str) -> None:
    nest = "dot(q, k)"
    for _ in range(40):
        nest = f"twice({nest})"
    assert codes(f"def twice(x) = x {op} x\nattention boom():\n    score {nest}\n") == ["too-large"]


def test_lets_that_multiply() -> None:
    lines = ["let x0 = dot(q, k)"] + [f"let x{n} = x{n - 1} * x{n - 1}" for n in range(1, 60)]
    text = "attention boom():\n" + "".join(f"    {line}\n" for line in lines) + "    score x59\n"
    assert codes(text) == ["too-large"]


def test_lets_that_nest() -> None:
    lines = ["let x0 = dot(q, k)"] + [f"let x{n} = exp(x{n - 1})" for n in range(1, 300)]
    text = "attention deep():\n" + "".join(f"    {line}\n" for line in lines) + "    score x299\n"
    assert codes(text) == ["too-large"]


def test_macros_that_nest() -> None:
    lines = ["def f0(x) = x"] + [f"def f{n}(x) = f{n - 1}(x)" for n in range(1, 400)]
    text = "\n".join(lines) + "\nattention deep():\n    score f399(1)\n"
    assert codes(text) == ["too-large"]


def test_long_is_not_large() -> None:
    """What people write by hand or generate line by line stays far below the bounds."""
    mask = " or ".join(f"i - j == {n}" for n in range(400))
    lets = "".join(f"    let x{n} = exp(dot(q, k) * {n})\n" for n in range(200))
    assert codes(f"attention long():\n{lets}    mask {mask}\n    score x7\n") == ["unused-let"] * 199
