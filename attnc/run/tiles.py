"""How many tiles a call visits, without making the call.

Enters: the key ranges of an attention, tile sizes, and a value for everything that their ends speak of. Leaves: counts.
The work is one evaluation of the ends for each tile of queries; no key is ever looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import add, eq, floordiv, le, lt, mod, mul, ne, sub, truediv
from typing import Any

from attnc.analyze.facts import Ranges
from attnc.errors import AttncError, CompilerBug, Diagnostic
from attnc.ir.nodes import (
    And,
    Bool,
    BoolIf,
    BoolLoad,
    BoolParam,
    Compare,
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
    Real,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    RealParam,
    Size,
    TileEnd,
    Truth,
)
from attnc.ir.text import print_ir
from attnc.run import messages


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tiles of one head of one batch entry: of `total`, `visited` are looked at and `full` of those need no mask."""

    visited: int
    full: int
    total: int


def count_tiles(keys: Ranges, values: Mapping[str, Any], block_q: int, block_k: int) -> Tiles:
    """Count tiles of `block_q` queries by `block_k` keys; `values` has `N`, `M`, and what else the ends name."""
    for required in keys.requires:
        if (value := _int(required.term, values)) < 1:
            what = messages.wrong_type(print_ir(required.term), "1 or more", str(value))
            raise AttncError(Diagnostic("wrong-value", what, notes=(required.reason.text,)))
    queries, size = int(values["N"]), int(values["M"])
    columns = -(-size // block_k)
    visited = full = 0
    for first in range(0, queries, block_q):
        at = {**values, _tile("first"): first, _tile("last"): min(first + block_q, queries) - 1}
        near: list[tuple[int, int]] = []
        whole: list[tuple[int, int]] = []
        for interval in keys.visited:
            lo, hi = max(_int(interval.lo, at), 0), min(_int(interval.hi, at), size)
            if lo < hi:
                near.append((lo // block_k, -(-hi // block_k)))
        for inside in keys.full:
            if inside is None:
                continue
            lo, hi = max(_int(inside.lo, at), 0), min(_int(inside.hi, at), size)
            # The last tile may be cut short by the end of the keys, and is whole all the same.
            whole.append((-(-lo // block_k), columns if hi == size else hi // block_k))
        visited += _union(near)
        full += _union(whole)
    return Tiles(visited, full, -(-queries // block_q) * columns)


def _union(intervals: list[tuple[int, int]]) -> int:
    """How many integers lie in any of the intervals."""
    count, done = 0, 0
    for lo, hi in sorted(intervals):
        count += max(hi - max(lo, done), 0)
        done = max(done, hi)
    return count


def _tile(end: str) -> str:
    """The key of a tile's end among the values: no parameter can be called this."""
    return f"{end} query"


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
        case Index(axis) if axis in "bh":
            return int(_value(axis, at))
        case TileEnd("i", end):
            return int(at[_tile(end)])
        case IntOp(op, a, b):
            return int(_INT[op](_int(a, at), _int(b, at)))
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
        case RealOp(op, a, b):
            return float(_REAL[op](_real(a, at), _real(b, at)))
        case RealIf(cond, a, b):
            return _real(a if _bool(cond, at) else b, at)
        case RealLoad(array, index):
            return float(_load(array, index, at))
        case _:
            raise CompilerBug(f"the end of a key range holds {term!r}")


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
