"""The meaning of terms a second time: one point after another, in plain Python.

An oracle for the interpreter and for folding. It shares no code with the package but the nodes.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from attnc.ir import nodes as ir


class Undefined(Exception):
    """The term has no value here: a read outside an array, an integer division by zero, the floor of no number."""


@dataclass(frozen=True)
class Scene:
    """Where a term is evaluated, and everything it may speak of. Arrays are nested lists."""

    values: dict[str, Any] = field(default_factory=dict)
    # Each is computed when it is spoken of: what is not read cannot be read outside an array.
    vectors: dict[str, Callable[[], list[float]]] = field(default_factory=dict)
    score: float = 0.0
    # For a normalization: the scene of every visible key of the row.
    row: tuple[Scene, ...] = ()

    def where(self, **values: Any) -> Scene:
        return replace(self, values=self.values | values)


def meaning(term: ir.Node, scene: Scene) -> Any:
    with np.errstate(all="ignore"):
        return _meaning(term, scene)


def _meaning(term: ir.Node, scene: Scene) -> Any:
    def of(node: ir.Node) -> Any:
        return _meaning(node, scene)

    match term:
        case ir.IntConst(x) | ir.Truth(x):
            return x
        case ir.RealConst(x):
            return np.float64(x)
        case ir.Index(name) | ir.Size(name) | ir.IntParam(name) | ir.BoolParam(name):
            return scene.values[name]
        case ir.RealParam(name):
            return np.float64(scene.values[name])
        case ir.Scale():
            return np.float64(scene.values["scale"])
        case ir.IntOp(op, a, b):
            return integer(op, of(a), of(b))
        case ir.IntAbs(a):
            return abs(of(a))
        case ir.Floor(a):
            x = of(a)
            if not np.isfinite(x):
                raise Undefined
            return math.floor(x)
        case ir.IntIf(c, a, b) | ir.BoolIf(c, a, b) | ir.RealIf(c, a, b) | ir.VecIf(c, a, b):
            return of(a) if of(c) else of(b)
        case ir.IntLoad(name, index) | ir.RealLoad(name, index) | ir.BoolLoad(name, index):
            found = entry(name, index, scene)
            return np.float64(found) if isinstance(term, ir.RealLoad) else found
        case ir.VecLoad(name, index):
            return [np.float64(x) for x in entry(name, index, scene)]
        case ir.Total(name, index) | ir.VecTotal(name, index):
            return in_front(name, index, scene)
        case ir.Member(item, name, index):
            x = of(item)
            return x in [y for y in entry(name, index, scene) if y >= 0]
        case ir.Compare(op, a, b):
            x, y = of(a), of(b)
            return bool({"<": x < y, "<=": x <= y, "==": x == y, "!=": x != y}[op])
        case ir.And(items):
            return all(of(item) for item in items)
        case ir.Or(items):
            return any(of(item) for item in items)
        case ir.Not(a):
            return not of(a)
        case ir.IsPow2(a):
            return of(a) in [2**n for n in range(70)]
        case ir.FromInt(a):
            return np.float64(of(a))
        case ir.RealOp(op, a, b):
            return real(op, of(a), of(b))
        case ir.RealCall(fn, a):
            return call(fn, of(a))
        case ir.TileEnd(axis, end):
            return scene.values[f"{end} {axis}"]
        case ir.Period(end):
            return scene.values[f"{end} period"]
        case ir.OverTile(kind, axis, a):
            first, last = (scene.values[f"{end} {axis}"] for end in ("first", "last"))
            found = [_meaning(a, scene.where(**{axis: at})) for at in range(first, last + 1)]
            return min(found) if kind == "min" else max(found)
        case ir.Rank(name, index, a):
            return bisect_left(entry(name, index, scene), of(a))
        case ir.Dot(a, b):
            x, y = of(a), of(b)
            width = max(len(x), len(y))
            return sum(s * t for s, t in zip(stretch(x, width), stretch(y, width), strict=True))
        case ir.SumD(a):
            return sum(of(a))
        case ir.Score():
            return np.float64(scene.score)
        case ir.Count():
            return np.float64(len(scene.row))
        case ir.Row(kind, a):
            xs = [_meaning(a, replace(other, row=scene.row)) for other in scene.row]
            return {"sum": sum, "max": max, "min": min, "mean": lambda x: sum(x) / len(x)}[kind](xs)
        case ir.VecInput(name):
            return scene.vectors[name]()
        case ir.Splat(a):
            return [of(a)]
        case ir.VecOp(op, a, b):
            x, y = of(a), of(b)
            width = max(len(x), len(y))
            return [real(op, s, t) for s, t in zip(stretch(x, width), stretch(y, width), strict=True)]
        case ir.VecCall("l2", a):
            x = of(a)
            norm = max(np.sqrt(sum(t * t for t in x)), 1e-12)
            return [t / norm for t in x]
        case ir.VecCall(fn, a):
            return [call(fn, t) for t in of(a)]
        case ir.Rope(a, position, theta):
            return rotate(of(a), of(position), of(theta))
        case _:
            raise AssertionError(f"no meaning for {term!r}")


def stretch(x: list[float], width: int) -> list[float]:
    return x * width if len(x) == 1 else x


def entry(name: str, index: tuple[ir.Int, ...], scene: Scene) -> Any:
    # All of an index is evaluated before any of it is used.
    places = [_meaning(item, scene) for item in index]
    found = scene.values[name]
    for place in places:
        if not 0 <= place < len(found):
            raise Undefined
        found = found[place]
    return found


def in_front(name: str, index: tuple[ir.Int, ...], scene: Scene) -> Any:
    """The sum of what stands in front of the last place: numbers, or rows of them."""
    *before, end = (_meaning(item, scene) for item in index)
    found = scene.values[name]
    for place in before:
        if end != 0 and not 0 <= place < len(found):
            raise Undefined
        found = found[place % len(found)]
    if not 0 <= end <= len(found):
        raise Undefined
    if not isinstance(found[0], list):
        return sum(map(np.float64, found[:end]), np.float64(0.0))
    return [sum(map(np.float64, column[:end]), np.float64(0.0)) for column in zip(*found, strict=True)]


def integer(op: str, x: int, y: int) -> int:
    match op:
        case "//" | "%":
            if y == 0:
                raise Undefined
            quotient = math.floor(x / y)  # small numbers only: exact
            return quotient if op == "//" else x - quotient * y
        case "+":
            return x + y
        case "-":
            return x - y
        case "*":
            return x * y
        case "min":
            return x if x < y else y
        case "max":
            return x if x > y else y
    raise AssertionError(op)


def real(op: str, x: Any, y: Any) -> Any:
    x, y = np.float64(x), np.float64(y)
    match op:
        case "+":
            return x + y
        case "-":
            return x - y
        case "*":
            return x * y
        case "/":
            return x / y
        case "**":
            return np.power(x, y)
        case "min":
            return np.minimum(x, y)
        case "max":
            return np.maximum(x, y)
    raise AssertionError(op)


def call(fn: str, x: Any) -> Any:
    x = np.float64(x)
    match fn:
        case "sigmoid":
            return 1 / (1 + np.exp(-x))
        case "relu":
            return np.maximum(x, 0.0)
        case "silu":
            return x / (1 + np.exp(-x))
        case "softplus":
            return np.logaddexp(x, 0.0)
        case _:
            return getattr(np, fn)(x)


def rotate(x: list[float], position: float, theta: float) -> list[float]:
    """The pairs (x[t], x[t + half]) as complex numbers, turned."""
    half = len(x) // 2
    turned = [
        complex(x[t], x[t + half]) * np.exp(1j * position * np.power(theta, -2 * t / len(x)))
        for t in range(half)
    ]
    return [np.float64(z.real) for z in turned] + [np.float64(z.imag) for z in turned]
