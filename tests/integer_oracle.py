"""What integer and boolean terms mean, in plain Python: the oracle of the tests for sets and ranges.

It shares nothing with the package but the nodes. A read outside of an array raises, unless `outside` says what is found
there: ends of ranges may read where no pair is visible, and must be right whatever they find.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

from attnc.ir import nodes as ir
from attnc.ir.walk import axes_of

Values = Mapping[str, Any]

OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "min": min,
    "max": max,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


def evaluate(term: ir.Node, values: Values, outside: int | None = None) -> Any:
    """The value of a term; `values` is by name, a tile end is `i.first`, an array a nested list."""

    def of(node: ir.Node) -> Any:
        match node:
            case ir.IntConst(value) | ir.Truth(value) | ir.RealConst(value):
                return value
            case ir.Index(name) | ir.Size(name) | ir.IntParam(name) | ir.BoolParam(name) | ir.RealParam(name):
                return values[name]
            case ir.Coordinate(axis, name):
                return values[f"{axis}.{name}"]
            case ir.Residue():
                return values["residue"]
            case ir.Period(end):
                return values[f"period.{end}"]
            case ir.TileEnd(axis, end):
                return values[f"{axis}.{end}"]
            case ir.OverTile(kind, axis, a):
                places = range(values[f"{axis}.first"], values[f"{axis}.last"] + 1)
                return OPERATORS[kind](evaluate(a, {**values, axis: place}, outside) for place in places)
            case ir.Rank(array, index, value):
                row = read(values[array], [of(place) for place in index])
                wanted = of(value)
                return 0 if row == outside else sum(entry < wanted for entry in row)
            case ir.IntOp(op, a, b) | ir.RealOp(op, a, b) | ir.Compare(op, a, b):
                return OPERATORS[op](of(a), of(b))
            case ir.IntAbs(a):
                return abs(of(a))
            case ir.IntIf(cond, a, b) | ir.BoolIf(cond, a, b):
                return of(a) if of(cond) else of(b)
            case ir.FromInt(a):
                return float(of(a))
            case ir.Floor(a):
                return math.floor(of(a))
            case ir.And(items):
                return all(of(item) for item in items)
            case ir.Or(items):
                return any(of(item) for item in items)
            case ir.Not(a):
                return not of(a)
            case ir.IsPow2(a):
                return of(a) in [2**n for n in range(40)]
            case ir.IntLoad(array, index) | ir.BoolLoad(array, index):
                return read(values[array], [of(item) for item in index])
            case ir.Member(item, array, index):
                row = read(values[array], [of(place) for place in index])
                return of(item) in [entry for entry in row if entry >= 0]
            case _:
                raise AssertionError(f"no meaning for {node!r}")

    def read(array: Any, places: list[int]) -> Any:
        for place in places:
            if not 0 <= place < len(array):
                if outside is None:
                    raise IndexError(place)
                return outside
            array = array[place]
        return array

    return of(term)


def heads(mask: ir.Bool, values: Values) -> list[dict[str, Any]]:
    """The same call at each head and batch entry where the mask may differ."""
    axes = axes_of(mask)
    batches, each_head = (
        range(values[size] if axis in axes else 1) for axis, size in (("b", "B"), ("h", "H"))
    )
    return [{**values, "b": b, "h": h} for b, h in product(batches, each_head)]
