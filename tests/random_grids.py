"""Calls of masks on grids, and masks that nobody wrote.

`draw_call` draws numbers for a spec, `random_grids` a spec with the sides of its grid.
"""

from __future__ import annotations

import re

import numpy as np
from hypothesis import strategies as st

from attnc.compiler import Compilation

SIDES = {1: ("x",), 2: ("y", "x"), 3: ("t", "y", "x")}
EXTENTS = {"t": "frames", "y": "rows", "x": "cols"}


def draw_call(compilation: Compilation, r: np.random.Generator) -> dict[str, int | list[int]]:
    """Numbers of a call: a small grid, and parameters that are about as large as its sides."""
    attention = compilation.attention
    names = {param.name for param in attention.params if param.sort == "int" and not param.sizes}
    extents = [name for name in EXTENTS.values() if name in names]
    values: dict[str, int | list[int]] = {
        name: int(r.integers(1, 9 if len(extents) < 3 else 5)) for name in extents
    }
    side = max([int(values[name]) for name in extents] or [8])  # type: ignore[arg-type]
    for param in attention.params:
        if param.name not in extents:
            values[param.name] = (
                [int(n) for n in r.integers(0, 5, 2)] if param.sizes else int(r.integers(1, side + 2))
            )
    rows = int(np.prod([int(values[name]) for name in extents])) if extents else 1  # type: ignore[arg-type]
    n = rows if attention.grid else rows * int(r.integers(1, 5)) + int(r.integers(0, 5))
    return {**values, "N": n, "M": n, "H": 2, "h": int(r.integers(0, 2)), "b": 0}


# What a query coordinate `{i}` sees along an axis of `{n}` coordinates; `{a}`, `{c}` and `{d}` are numbers.
ALONG = {
    "nothing said": "true",
    "own": "{i} == {j}",
    "cut window": "{i} - {a} <= {j} and {j} < {i} + {c}",
    "shifted window": "near({i}, {j}, {a}, {n})",
    "window of a group": "near(min({i} // {d} * {d} + {d} // 2, {n} - 1), {j}, {a}, {n})",
    "causal": "{j} <= {i}",
    "causal window": "{j} <= {i} and {i} - {j} < {a}",
    "causal window of a group": (
        "max(min({i} // {d} * {d} + {d} - 1, {n} - 1) - {a} + 1, 0) <= {j} and {j} <= {i}"
    ),
    "blocks": "({i} + {c}) // {a} == ({j} + {c}) // {a}",
    "blocks before": "{j} // {a} <= {i} // {a}",
    "halo": "{i} // {a} * {a} - {c} <= {j} and {j} < {i} // {a} * {a} + {a} + {c}",
    "class": "{i} % {d} == {j} % {d}",
    "window of a class": "{i} % {d} == {j} % {d} and abs({i} // {d} - {j} // {d}) <= {a}",
    "shifted window of a class": (
        "{i} % {d} == {j} % {d} and near({i} // {d}, {j} // {d}, {a}, ({n} - 1 - {i} % {d}) // {d} + 1)"
    ),
    "every other distance": "({i} - {j}) % {d} == 0 and abs({i} - {j}) <= {d} * {a}",
    "first keys": "{j} < {c}",
    "first queries": "{i} < {c}",
    "first keys or window": "({j} < {c} or abs({i} - {j}) < {a})",
    "not a window": "abs({i} - {j}) > {a}",
    "by head": "({j} <= {i} or h == 0)",
}
MIXED = ("j <= i", "i.x <= j.y", "i % 3 == j % 3", "b == 0")


@st.composite
def random_grids(draw: st.DrawFn) -> tuple[str, dict[str, int]]:
    """A spec, and the sides of its grid."""
    names = SIDES[draw(st.integers(1, 3))]
    sides = {EXTENTS[name]: draw(st.integers(1, 30 // len(names) ** 2)) for name in names}

    def along(name: str) -> str:
        text = ALONG[draw(st.sampled_from(sorted(ALONG)))]
        numbers = {each: draw(st.integers(1, 5)) for each in "acd"}
        return text.format(i=f"i.{name}", j=f"j.{name}", n=EXTENTS[name], **numbers)

    products = []
    for _ in range(draw(st.integers(1, 3))):
        clauses = [along(name) for name in names]
        if draw(st.integers(0, 9)) == 0:
            clauses.append(draw(st.sampled_from(MIXED if "y" in names else MIXED[:1])))
        products.append(" and ".join(clauses))
    grid = ", ".join(f"{name}: {EXTENTS[name]}" for name in names)
    text = f"from std import near\n\nattention a():\n    grid {grid}\n    mask {' or '.join(products)}\n"
    return text, sides


# The digits of three axes, as nobody has to write them who declares a grid.
DIGITS = {"t": "({} // (rows * cols))", "y": "({} // cols % rows)", "x": "({} % cols)"}


def written_out(text: str) -> str:
    """The same spec with digits in place of coordinates, and parameters in place of a grid."""
    mask = text.partition("mask ")[2]
    digits = DIGITS if "i.t" in mask else DIGITS | {"y": "({} // cols)"}
    for side in ("i", "j"):
        for name, digit in digits.items():
            mask = mask.replace(f"{side}.{name}", digit.format(side))
    used = [name for name in EXTENTS.values() if re.search(rf"\b{name}\b", mask)]
    params = ", ".join(f"{name}: int" for name in used)
    return f"from std import near\n\nattention a({params}):\n    mask {mask}"
