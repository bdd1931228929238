"""The value of a term at one place, against the same by hand."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from read_ir import parse_term

from attnc.errors import AttncError
from attnc.ir import nodes as ir
from attnc.ir.arithmetic import Function
from attnc.run.coordinates import tile_end
from attnc.run.scaled import call
from attnc.run.values import int_value

SORTS = {
    "a": "int",
    "c": "int",
    "x": "float",
    "on": "bool",
    "row": "int",
    "table": "int",
    "lines": "int",
    "heat": "float",
}
AT: dict[str, Any] = {
    "N": 8, "b": 1, "h": 2, "a": -7, "c": 3, "x": 2.5, "on": True, "row": [1, 1, 4, 9],
    "table": [[0, 0, 5], [2, 2, 7]], "lines": [[0], [2, 2, 7]], "heat": [0.5, 1.5, 2.5], "scale": 0.25,
    tile_end("i", "first"): 1, tile_end("i", "last"): 3,
}  # fmt: skip
FUNCTIONS = get_args(Function)
TESTS = [
    lambda a: ir.Compare("<", a, ir.RealConst(0.0)),
    lambda a: ir.Compare("<", ir.RealConst(0.0), a),
    lambda a: ir.Compare("==", a, ir.RealConst(math.inf)),
    lambda a: ir.Compare("==", a, ir.RealConst(-math.inf)),
]


def term(text: str) -> ir.Int:
    parsed = parse_term(text, SORTS)
    assert isinstance(parsed, ir.Int)
    return parsed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a // c + a % c", -3 + 2),
        ("min(a, c) * max(a, N)", -56),
        ("abs(a) - h * b", 5),
        ("last(i) - first(i)", 2),
        ("row[b + 1]", 4),
        ("table[b, c - 1]", 7),
        ("c if on and not a < c else N", 8),
        ("c if 4 in row[:] else N", 3),
        ("floor(x * 2.0 + heat[h])", 7),
        ("floor(sqrt(x * 10.0) + abs(x - 3.0))", 5),
        ("c if exp(x * 1000.0) < x else N", 8),
        ("c if log(x - 3.0) < x else N", 8),
        ("floor(exp(x) + scale)", 12),
        ("N if exp(1000.0) < 1.0 else c", 3),
        ("N if log(0.0) < 1.0 else c", 8),
        ("N if sqrt(x - 3.0) < 1.0 else c", 3),
        ("c if 0.0 < sum_d(heat[:]) - 4.0 else N", 3),
        ("floor(dot(heat[:], heat[:]) * 2.0)", 17),
        ("floor(sum_d(l2(heat[:])) * 100.0)", 152),
        ("floor(sum_d(relu(heat[:] - splat(1.0))))", 2),
        ("floor(sum_d(heat[:] if on else splat(1.0)))", 4),
        ("rank(row[:], 4)", 2),
        ("rank(row[:], 10)", 4),
        ("rank(table[b, :], 2)", 0),
        ("least(i, row[i] - 2 * i)", -1),
        ("greatest(i, row[i] - 2 * i)", 3),
    ],
)
def test_values(text: str, value: int) -> None:
    assert int_value(term(text), AT) == value
    arrays = {
        n: torch.tensor(each) if isinstance(each, list) and n != "lines" else each for n, each in AT.items()
    }
    assert int_value(term(text), arrays) == value


@pytest.mark.parametrize("fn", FUNCTIONS)
@pytest.mark.parametrize("x", [math.inf, -math.inf, math.nan, 0.0, -1.0, 1000.0, -1000.0])
def test_functions_without_a_finite_value_are_those_of_torch(fn: Function, x: float) -> None:
    """Seen by comparisons, which is all that an end of a range can make of them."""
    meant = float(call(fn, torch.tensor([x], dtype=torch.float64)))
    got = [
        int_value(ir.IntIf(of(ir.RealCall(fn, ir.RealConst(x))), ir.IntConst(1), ir.IntConst(0)), {})
        for of in TESTS
    ]
    assert got == [meant < 0, meant > 0, meant == math.inf, meant == -math.inf]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("N // (c - 3)", "division-by-zero", "`N // (c - 3)` divides by 0"),
        ("a % (c - 3)", "division-by-zero", "`a % (c - 3)` divides by 0"),
        ("floor(x / 0.0)", "floor-of-no-number", "`floor(x / 0.0)` holds the `floor` of no number"),
        (
            "floor(1e308 * 1e308)",
            "floor-of-no-number",
            "`floor(1e+308 * 1e+308)` holds the `floor` of no number",
        ),
        ("row[c + 1]", "index-out-of-range", "`row[4]` is read, and lies outside the array"),
        ("row[a]", "index-out-of-range", "`row[-7]` is read, and lies outside the array"),
        ("row[b, h]", "wrong-rank", "`row` needs 2 dimensions, got 1"),
        ("lines[b, h]", "wrong-shape", "`lines` needs rows of one length"),
        ("M", "missing-argument", "`M` decides which tiles are visited, and has no value"),
    ],
)
def test_no_value(text: str, code: str, message: str) -> None:
    with pytest.raises(AttncError) as caught:
        int_value(term(text), AT)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == (code, message)
