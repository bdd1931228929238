"""The value of a term at one place, in plain Python.

Enters: a term as it stands at the end of a range, and a value for everything it speaks of: numbers, arrays as nested
sequences or tensors, and the ends of a tile under `tile_end`. Leaves: an `int`. Nothing heavy is loaded for it; the
interpreter (`terms.py`) does the same for many places at once, of any term.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from operator import add, eq, floordiv, le, lt, mod, mul, ne, sub, truediv
from typing import Any, Literal

from attnc.errors import AttncError, CompilerBug, Diagnostic
from attnc.ir.arithmetic import Function, RealOperator, function_value
from attnc.ir.nodes import (
    And,
    Bool,
    BoolIf,
    BoolLoad,
    BoolParam,
    Compare,
    Dot,
    Floor,
    FromInt,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntIf,
    IntLoad,
    IntOp,
    IntParam,
    IsPow2,
    Member,
    Not,
    Or,
    OverTile,
    Period,
    Rank,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    RealParam,
    Scale,
    Size,
    Splat,
    SumD,
    TileEnd,
    Truth,
    Vec,
    VecCall,
    VecIf,
    VecLoad,
    VecOp,
)
from attnc.ir.text import print_ir


def real_value(term: Real, at: Mapping[str, Any]) -> float:
    """The number that a real stands for."""
    return _real(term, at)


def int_value(term: Int, at: Mapping[str, Any]) -> int:
    """The number that `term` stands for, among the named values `at`."""
    try:
        return _int(term, at)
    except ZeroDivisionError:
        code, what = "division-by-zero", f"`{print_ir(term)}` divides by 0"
    except (OverflowError, ValueError):
        code, what = "floor-of-no-number", f"`{print_ir(term)}` holds the `floor` of no number"
    raise AttncError(Diagnostic(code, what))


def tile_end(axis: Literal["i", "j"], end: Literal["first", "last"]) -> str:
    """The key of a tile's end among the values: no parameter can be called this."""
    return f"{end} {axis}"


def period_end(end: Literal["first", "last"]) -> str:
    """The key of the number of a period among the values: no parameter can be called this."""
    return f"{end} period"


_Operator = Callable[[Any, Any], Any]
_INT: dict[str, _Operator] = {"+": add, "-": sub, "*": mul, "//": floordiv, "%": mod, "min": min, "max": max}
_REAL: dict[str, _Operator] = {"+": add, "-": sub, "*": mul, "/": truediv, "**": pow, "min": min, "max": max}
_COMPARE: dict[str, _Operator] = {"<": lt, "<=": le, "==": eq, "!=": ne}


def _int(term: Int, at: Mapping[str, Any]) -> int:
    match term:
        case IntConst(value):
            return value
        case Size(name) | IntParam(name):
            return int(_value(name, at))
        case Index(axis):
            return int(_value(axis, at))
        case TileEnd(axis, end):
            return int(at[tile_end(axis, end)])
        case Period(end):
            return int(at[period_end(end)])
        case OverTile(kind, axis, a):
            return _over_tile(min if kind == "min" else max, axis, a, at)
        case Rank(array, index, value):
            row = _load(array, index, at)
            return bisect_left(range(len(row)), _int(value, at), key=lambda place: int(row[place]))
        case IntOp(op, a, b):
            x, y = _int(a, at), _int(b, at)
            if y == 0 and op in ("//", "%"):
                raise AttncError(Diagnostic("division-by-zero", f"`{print_ir(term)}` divides by 0"))
            return int(_INT[op](x, y))
        case IntAbs(a):
            return abs(_int(a, at))
        case IntIf(cond, a, b):
            return _int(a if _bool(cond, at) else b, at)
        case IntLoad(array, index):
            return int(_load(array, index, at))
        case Floor(a):
            return math.floor(_real(a, at))
        case _:
            raise CompilerBug(f"the end of a key range holds {term!r}")


def _over_tile(
    choose: Callable[[Iterable[int]], int], axis: Literal["i", "j"], a: Int, at: Mapping[str, Any]
) -> int:
    here = dict(at)

    def at_position(position: int) -> int:
        here[axis] = position
        return _int(a, here)

    return choose(map(at_position, range(at[tile_end(axis, "first")], at[tile_end(axis, "last")] + 1)))


def _bool(term: Bool, at: Mapping[str, Any]) -> bool:
    match term:
        case Truth(value):
            return value
        case BoolParam(name):
            return bool(_value(name, at))
        case Compare(op, a, b):
            return bool(_COMPARE[op](_number(a, at), _number(b, at)))
        case And(items):
            return all(_bool(item, at) for item in items)
        case Or(items):
            return any(_bool(item, at) for item in items)
        case Not(a):
            return not _bool(a, at)
        case BoolIf(cond, a, b):
            return _bool(a if _bool(cond, at) else b, at)
        case BoolLoad(array, index):
            return bool(_load(array, index, at))
        case Member(item, array, index):
            wanted = _int(item, at)
            return wanted >= 0 and any(int(entry) == wanted for entry in _load(array, index, at))
        case IsPow2(a):
            return _int(a, at).bit_count() == 1 and _int(a, at) > 0
        case _:
            raise CompilerBug(f"the end of a key range holds {term!r}")


def _real(term: Real, at: Mapping[str, Any]) -> float:
    match term:
        case RealConst(value):
            return value
        case FromInt(a):
            return float(_int(a, at))
        case RealParam(name):
            return float(_value(name, at))
        case Scale():
            return float(_value("scale", at))
        case RealOp(op, a, b):
            return _operate(op, _real(a, at), _real(b, at))
        case RealCall(fn, a):
            return _call(fn, _real(a, at))
        case RealIf(cond, a, b):
            return _real(a if _bool(cond, at) else b, at)
        case RealLoad(array, index):
            return float(_load(array, index, at))
        case Dot(a, b):
            return math.fsum(_each("*", _vector(a, at), _vector(b, at)))
        case SumD(a):
            return math.fsum(_vector(a, at))
        case _:
            raise CompilerBug(f"the end of a key range holds {term!r}")


def _vector(term: Vec, at: Mapping[str, Any]) -> list[float]:
    """The features of a vector; one number where it is the same for all of them."""
    match term:
        case VecLoad(array, index):
            return [float(entry) for entry in _load(array, index, at)]
        case Splat(a):
            return [_real(a, at)]
        case VecOp(op, a, b):
            return _each(op, _vector(a, at), _vector(b, at))
        case VecCall("l2", a):
            row = _vector(a, at)
            return _each("/", row, [max(math.hypot(*row), 1e-12)])
        case VecCall(fn, a) if fn != "l2":
            return [_call(fn, x) for x in _vector(a, at)]
        case VecIf(cond, a, b):
            return _vector(a if _bool(cond, at) else b, at)
        case _:
            raise CompilerBug(f"the end of a key range holds {term!r}")


def _each(op: RealOperator, a: list[float], b: list[float]) -> list[float]:
    """`a op b`, feature by feature."""
    width = max(len(a), len(b))
    wide = (row * width if len(row) == 1 else row for row in (a, b))
    return [_operate(op, x, y) for x, y in zip(*wide, strict=True)]


def _operate(op: RealOperator, x: float, y: float) -> float:
    return float(_REAL[op](x, y))


def _call(fn: Function, x: float) -> float:
    """`fn(x)`; where that is no finite number, inf or nan as in torch."""
    found = function_value(fn, x)
    if found is not None:
        return found
    match fn:
        case "log" if x == 0:
            return -math.inf
        case "exp" | "relu" | "softplus" | "silu" | "log" | "sqrt" if x > 0:
            return math.inf
        case "abs" if not math.isnan(x):
            return math.inf
        case _:
            return math.nan


def _number(term: Int | Real, at: Mapping[str, Any]) -> float:
    return _int(term, at) if isinstance(term, Int) else _real(term, at)


def _load(array: str, index: tuple[Int, ...], at: Mapping[str, Any]) -> Any:
    entry = _value(array, at)
    places = tuple(_int(position, at) for position in index)
    for place in places:
        if not 0 <= place < len(entry):
            read = f"`{array}[{', '.join(map(str, places))}]`"
            raise AttncError(Diagnostic("index-out-of-range", f"{read} is read, and lies outside the array"))
        entry = entry[place]
    return entry


def _value(name: str, at: Mapping[str, Any]) -> Any:
    if name not in at:
        what = f"`{name}` decides which tiles are visited, and has no value"
        raise AttncError(Diagnostic("missing-argument", what, helps=(f"pass `{name}=...`",)))
    return at[name]
