"""Parameters, constants and grids."""

from __future__ import annotations

from itertools import product

import pytest
from checking import attention, codes
from scalar_meaning import Scene, meaning

from attnc.ir import nodes as ir
from attnc.ir.text import print_ir


def one(param: str, use: str = "true") -> ir.Param:
    (found,) = attention(f"attention a({param}):\n    mask {use}\n").params
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n: int", ir.Param("n", "int")),
        ("n: int = 4096", ir.Param("n", "int", default=4096)),
        ("n: int = -1", ir.Param("n", "int", default=-1)),
        ("n: int = 2 * 3 + 7 // 2", ir.Param("n", "int", default=9)),
        ("n: const int = 7", ir.Param("n", "int", const=True, default=7)),
        ("x: float = 50.0", ir.Param("x", "float", default=50.0)),
        ("x: float = 50", ir.Param("x", "float", default=50.0)),
        ("x: float = 1 / 4", ir.Param("x", "float", default=0.25)),
        ("p: bool = true", ir.Param("p", "bool", default=True)),
        ("p: bool = 1 < 2 and not false", ir.Param("p", "bool", default=True)),
        ("d: sorted int[B, N]", ir.Param("d", "int", sorted=True, sizes=(ir.Size("B"), ir.Size("N")))),
        ("t: float[H, 257]", ir.Param("t", "float", sizes=(ir.Size("H"), ir.IntConst(257)))),
    ],
)
def test_parameter(text: str, expected: ir.Param) -> None:
    found = one(text)
    assert found == expected
    assert type(found.default) is type(expected.default)


def test_sizes_may_use_any_parameter_and_the_grid() -> None:
    text = """
const PAD = 2
attention a(t: float[2 * n - 1 + PAD, rows, max(M, N)], n: int):
    grid y: rows, x: cols
    score t[i.x, i.y, j] + n
"""
    (t, n, rows, cols) = attention(text).params
    assert [print_ir(size) for size in t.sizes] == ["2 * n - 1 + 2", "rows", "max(M, N)"]
    assert (n.name, rows, cols) == ("n", ir.Param("rows", "int"), ir.Param("cols", "int"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("t: int[x], x: float", "wrong-size"),
        ("t: int[N / 2]", "wrong-size"),
        ("t: int[i]", "name-not-here"),
        ("t: int[0]", "wrong-size"),
        ("t: int[3 - 5]", "wrong-size"),
        ("t: int[u[0]], u: int[4]", "wrong-size"),
        ("t: int[4 if M < N else 5]", "wrong-size"),
        ("t: int[p], p: bool", "bool-and-number"),
        ("t: int[M = 4]", "single-equals"),
        ("t: int[4] = 0", "array-default"),
        ("t: const int[4]", "const-array"),
        ("t: sorted int", "sorted-scalar"),
        ("t: sorted bool[4]", "sorted-scalar"),
        ("n: int = 1.0", "wrong-default"),
        ("n: int = true", "wrong-default"),
        ("x: float = false", "wrong-default"),
        ("p: bool = 0", "wrong-default"),
        ("n: int = N", "not-constant"),
        ("n: int = m, m: int = 4", "not-constant"),
        ("x: float = log(0)", "not-constant"),
        ("n: int = 1 // 0", "division-by-zero"),
        ("n: int = nowhere", "unknown-name"),
        ("n: int, n: float", "duplicate-name"),
        ("N: int", "redefined-builtin"),
        ("exp: float", "redefined-builtin"),
        ("v_i: float", "redefined-builtin"),
        ("let: int", "reserved-name"),
        ("sorted: int", "reserved-name"),
        ("state: int", "reserved-name"),
        ("std: int", "reserved-name"),
        ("_n: int", "reserved-name"),
        ("__class__: int", "reserved-name"),
        ("return_lse: bool", "reserved-name"),
        ("self: int", "reserved-name"),
        ("lambda: int", "reserved-name"),
        ("None: int", "reserved-name"),
        ("class: int", "reserved-name"),
        ("import: int", "reserved-name"),
    ],
)
def test_wrong_parameter(text: str, code: str) -> None:
    found = [c for c in codes(f"attention a({text}):\n    mask true\n") if not c.startswith("unused")]
    assert found == [code]


@pytest.mark.parametrize("name", ["class", "lambda", "__import__", "mask", "exp", "i", "_a", "None"])
def test_wrong_names_of_other_things(name: str) -> None:
    for text in (f"attention {name}():\n    mask true\n", f"def {name}(x) = x\n", f"const {name} = 1\n"):
        assert codes(text) in (["reserved-name"], ["redefined-builtin"])


@pytest.mark.parametrize("name", ["print", "open", "match", "id", "kernel", "acc", "row_max", "forward"])
def test_names_that_only_python_knows_are_fine(name: str) -> None:
    """What the emitted code must not collide with, it renames; the writer of a spec need not know."""
    assert attention(f"attention {name}({name}2: int):\n    mask i - j < {name}2\n").name == name


@pytest.mark.parametrize("name", ["torch", "triton", "tl", "type", "range", "max_width", "TILES"])
def test_a_name_of_the_module_is_no_attention(name: str) -> None:
    """A parameter of that name is renamed inside; an attention is what the module is asked for."""
    assert attention(f"attention f({name}: int):\n    mask i - j < {name}\n").params[0].name == name
    if name != "max_width":
        assert codes(f"attention {name}():\n    mask j <= i\n") == ["reserved-name"]


# ---- constants -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64", "64"),
        ("64 * 2 - 1", "127"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("max(3, min(9, 4))", "4"),
        ("clamp(12, 0, 9)", "9"),
        ("floor(2.7)", "2"),
        ("8 if true else 9", "8"),
    ],
)
def test_constant(text: str, expected: str) -> None:
    found = attention(f"const W = {text}\nattention a():\n    mask i - j < W\n")
    assert print_ir(found.mask) == f"i - j < {expected}"


def test_constants_of_constants_and_macros() -> None:
    text = "const A = 4\ndef twice(x) = x + x\nconst B2 = twice(A) + 1\nattention a():\n    mask i < B2\n"
    assert print_ir(attention(text).mask) == "i < 9"


# ---- grids -----------------------------------------------------------------------------------------


def test_grid_in_two_dimensions() -> None:
    found = attention("attention a():\n    grid y: rows, x: cols\n    mask i.y == j.y and i.x <= j.x\n")
    assert print_ir(found.mask) == "i // cols == j // cols and i % cols <= j % cols"
    assert [(a.side, a.name, print_ir(a.extent)) for a in found.grid] == [
        ("query", "y", "rows"),
        ("query", "x", "cols"),
        ("key", "y", "rows"),
        ("key", "x", "cols"),
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_grid_is_row_major(count: int) -> None:
    """Every coordinate of every token, against counting through the grid."""
    axes = ["t", "z", "y", "x"][-count:]
    extents = [2, 3, 4, 5][-count:]
    lines = f"    grid {', '.join(f'{a}: n_{a}' for a in axes)}\n"
    lines += "".join(f"    let at_{a} = i.{a}\n" for a in axes)
    found = dict(attention(f"attention spec():\n{lines}    mask true\n").lets)
    values = {f"n_{a}": extent for a, extent in zip(axes, extents, strict=True)}
    for token, coordinates in enumerate(product(*map(range, extents))):
        scene = Scene({**values, "i": token})
        assert tuple(meaning(found[f"at_{a}"], scene) for a in axes) == coordinates


def test_two_sides() -> None:
    text = """
attention a(f: int):
    grid query(y: rows, x: cols) key(y: rows // f, x: cols // f)
    mask i.y // f == j.y and i.x // f == j.x
"""
    found = attention(text)
    assert [p.name for p in found.params] == ["f", "rows", "cols"]
    assert print_ir(found.mask) == "i // cols // f == j // (cols // f) and i % cols // f == j % (cols // f)"


def test_extents_that_are_known() -> None:
    text = "const COLS = 16\nattention a(rows: int):\n    grid y: rows, x: COLS\n    mask i.y == j.y\n"
    found = attention(text)
    assert [p.name for p in found.params] == ["rows"]
    assert print_ir(found.mask) == "i // 16 == j // 16"


def test_an_axis_through_macros() -> None:
    text = "def same_row(p, r) = p.y == r.y\nattention a():\n    grid y: rows, x: cols\n    mask same_row(i, j)\n"
    assert print_ir(attention(text).mask) == "i // cols == j // cols"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("mask i.y == 0", "unknown-axis"),
        ("grid y: rows\n    mask i.z == 0", "unknown-axis"),
        ("grid y: rows\n    mask h.y == 0", "unknown-axis"),
        ("grid y: rows\n    key k * i.y", "name-not-here"),
        ("grid y: rows, y: cols\n    mask i.y == 0", "duplicate-name"),
        ("grid i: rows, x: cols\n    mask i.x == 0", "redefined-builtin"),
        ("grid y: rows * nowhere\n    mask i.y == 0", "unknown-name"),
        ("grid y: 2.5\n    mask i.y == 0", "wrong-size"),
        ("grid y: i\n    mask i.y == 0", "name-not-here"),
        ("grid y: rows\n    grid y: rows\n    mask i.y == 0", "duplicate-clause"),
        ("grid y: rows\n    let rows = 4\n    mask i.y == rows", "duplicate-name"),
    ],
)
def test_wrong_grid(lines: str, code: str) -> None:
    if "rows * nowhere" in lines:
        assert set(codes(f"attention a():\n    {lines}\n")) == {code}
    else:
        assert codes(f"attention a():\n    {lines}\n") == [code]
