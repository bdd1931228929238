"""Values of terms at many places at once, one place for each tile, in NumPy.

Enters: terms as they stand at the ends of ranges, values by name, and numbers that are others at each place: the ends
of a tile, the numbers of a period. Leaves: a number for each place, the same that `values.py` finds there. What is
equal in several terms is found once.

Both branches of an `if` are evaluated, and every item of an `and`. A place where one of them has no value, as where an
array would be read outside, is open until the language is known to ask for it there; it is then left to `values.py`,
which has the words for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnc.errors import CompilerBug
from attnc.ir.nodes import (
    And,
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
    Node,
    Not,
    Or,
    OverTile,
    Period,
    Rank,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    RealParam,
    Size,
    TileEnd,
    Truth,
)
from attnc.ir.walk import children
from attnc.run.values import int_value, period_end, tile_end

Array = NDArray[Any]
Places = Mapping[str, NDArray[np.int64]]

# Numbers from here on have no place in 64 bits, sums of two of them included.
FAR = 2**62
Truths = NDArray[np.bool_] | np.bool_
NOWHERE, EVERYWHERE = np.False_, np.True_


@dataclass(frozen=True)
class Column:
    """One entry for each place, or one for all.

    No integer of them is farther from 0 than `most`. `open` says where there is no value.
    """

    entries: Array
    most: int = 0
    open: Truths = NOWHERE


class Columns:
    """Several terms, in the order in which they and their parts are evaluated, each once."""

    def __init__(self, terms: Sequence[Int], values: Mapping[str, Any]) -> None:
        self.terms = terms
        self.values = values
        self._arrays: dict[str, Array] = {}
        self._inner: dict[Node, Columns] = {}
        self._numbers: dict[Node, int] = {}
        self._steps: list[tuple[Node, tuple[int, ...]]] = []
        self._ends = [self._number(term) for term in terms]
        self._last_use = {part: at for at, (_, parts) in enumerate(self._steps) for part in parts}

    def _number(self, term: Node) -> int:
        """Of the step that evaluates the term."""
        if term not in self._numbers:
            if isinstance(term, OverTile):
                self._inner[term] = Columns((term.a,), self.values)
            parts = () if isinstance(term, OverTile) else tuple(map(self._number, children(term)))
            self._numbers[term] = len(self._steps)
            self._steps.append((term, parts))
        return self._numbers[term]

    def at(self, places: Places, asked: Truths = EVERYWHERE) -> list[NDArray[np.int64]]:
        """The numbers of each term where `asked`; those that 64 bits do not hold are 2**62 or -2**62."""
        columns = self._evaluate(places)
        shape = np.broadcast_shapes(*(x.shape for x in places.values())) if places else (1,)
        return [
            self._closed(term, columns[end], places, shape, asked)
            for term, end in zip(self.terms, self._ends, strict=True)
        ]

    def _closed(
        self, term: Int, column: Column, places: Places, shape: tuple[int, ...], asked: Truths
    ) -> NDArray[np.int64]:
        entries = np.clip(column.entries, -FAR, FAR) if column.most > FAR else column.entries
        found = np.broadcast_to(entries.astype(np.int64), shape)
        still = column.open & asked
        if still.any():
            found = found.copy()
            for at in zip(*np.broadcast_to(still, shape).nonzero(), strict=True):
                here = {name: int(np.broadcast_to(x, shape)[at]) for name, x in places.items()}
                found[at] = max(-FAR, min(int_value(term, {**self.values, **here}), FAR))
        return found

    def _evaluate(self, places: Places) -> dict[int, Column]:
        """The columns of the terms; what is not needed any more is forgotten on the way."""
        columns: dict[int, Column] = {}
        kept = set(self._ends)
        with np.errstate(all="ignore"):
            for at, (term, parts) in enumerate(self._steps):
                columns[at] = self._column(term, [columns[part] for part in parts], places)
                for part in set(parts):
                    if self._last_use[part] == at and part not in kept:
                        del columns[part]
        return columns

    # ---- one step ----------------------------------------------------------------------------------

    def _column(self, term: Node, parts: list[Column], places: Places) -> Column:
        match term:
            case IntConst(value) | RealConst(value) | Truth(value):
                return _constant(value)
            case TileEnd(axis, end):
                return _integers(places[tile_end(axis, end)])
            case Period(end):
                return _integers(places[period_end(end)])
            case Index(name) if name in places:
                return _integers(places[name])
            case Index(name) | Size(name) | IntParam(name) | RealParam(name) | BoolParam(name):
                if name not in self.values:
                    return _unknown()
                kind = float if isinstance(term, RealParam) else bool if isinstance(term, BoolParam) else int
                return _constant(kind(self.values[name]))
            case IntOp(op):
                return _operate(op, *parts)
            case IntAbs():
                return Column(np.abs(parts[0].entries), parts[0].most, parts[0].open)
            case FromInt():
                return Column(parts[0].entries.astype(np.float64), 0, parts[0].open)
            case Floor():
                return _rounded_down(parts[0])
            case RealOp("**") | RealCall():
                return _unknown()  # the last digits are Python's
            case RealOp(op):
                return _operate_real(op, *parts)
            case Compare(op):
                compared = _COMPARE[op](parts[0].entries, parts[1].entries)
                return Column(compared, 0, parts[0].open | parts[1].open)
            case Not():
                return Column(~parts[0].entries, 0, parts[0].open)
            case And():
                return _until(False, parts)
            case Or():
                return _until(True, parts)
            case IntIf() | BoolIf() | RealIf():
                return _chosen(*parts)
            case IntLoad(array) | BoolLoad(array) | RealLoad(array):
                return self._load(array, parts)
            case Member(_, array):
                return self._member(array, parts[0], parts[1:])
            case IsPow2():
                x = parts[0].entries
                return Column(((x > 0) & ((x & (x - 1)) == 0)).astype(np.bool_), 0, parts[0].open)
            case Rank(array):
                return self._rank(array, parts[:-1], parts[-1])
            case OverTile():
                return self._over_tile(term, places)
            case _:
                raise CompilerBug(f"the end of a key range holds {term!r}")

    # ---- arrays ------------------------------------------------------------------------------------

    def _array(self, name: str, dimensions: int) -> Array | None:
        """None where there is no such array, or its rows are not alike."""
        if name not in self._arrays and name in self.values:
            try:
                self._arrays[name] = _as_array(self.values[name])
            except ValueError:
                return None
        array = self._arrays.get(name)
        return array if array is not None and array.ndim == dimensions else None

    def _load(self, name: str, index: list[Column], row_of: int = 0) -> Column:
        """An entry for each place, or the row of entries that has `row_of` dimensions more."""
        array = self._array(name, len(index) + row_of)
        if array is None or 0 in array.shape:
            return _unknown()
        inside: list[NDArray[np.int64]] = []
        outside: Truths = NOWHERE
        for position, size in zip(index, array.shape[: len(index)], strict=True):
            at = position.entries
            outside = outside | position.open | (at < 0) | (at >= size)
            inside.append(np.clip(at, 0, size - 1).astype(np.int64))
        found = array[tuple(inside)] if inside else array[None]
        most = max(int(found.max()), -int(found.min())) if array.dtype.kind == "i" else 0
        return Column(found, most, outside)

    def _member(self, name: str, wanted: Column, index: list[Column]) -> Column:
        row = self._load(name, index, 1)
        if row.open.all():
            return _unknown()
        found = (row.entries == wanted.entries[..., None]).any(-1) & (wanted.entries >= 0)
        return Column(found.astype(np.bool_), 0, row.open | wanted.open)

    def _rank(self, name: str, index: list[Column], value: Column) -> Column:
        """One search for all places where they look into the same row."""
        array = self._array(name, len(index) + 1)
        if array is None or any(position.entries.size > 1 for position in index) or value.most > FAR:
            return _unknown()
        row, isopen = array[None], value.open
        if index:
            found = self._load(name, index, 1)
            row, isopen = found.entries, isopen | found.open
        if isopen.all():
            return _unknown()
        entries = np.searchsorted(row.reshape(-1), value.entries.astype(np.int64))
        return Column(entries, array.shape[-1], isopen)

    def _over_tile(self, term: OverTile, places: Places) -> Column:
        """From the term at every position of every tile, one after the other."""
        first, last = (places[tile_end(term.axis, end)] for end in ("first", "last"))
        inner = self._inner[term]
        if any(isinstance(part, Period) for part, _ in inner._steps):
            return _unknown()
        lengths = (last - first + 1).reshape(-1)
        starts = np.cumsum(lengths) - lengths
        tile = np.repeat(np.arange(len(lengths)), lengths)
        position = np.arange(len(tile)) - np.repeat(starts - first.reshape(-1), lengths)
        of_tiles = {name: x.reshape(-1)[tile] for name, x in places.items() if x.shape == first.shape}
        (column,) = inner._evaluate({**of_tiles, term.axis: position}).values()
        reduce = np.minimum if term.kind == "min" else np.maximum
        entries = np.broadcast_to(column.entries, tile.shape)
        isopen = np.broadcast_to(column.open, tile.shape)
        return Column(
            reduce.reduceat(entries, starts).reshape(first.shape),
            column.most,
            np.logical_or.reduceat(isopen, starts).reshape(first.shape),
        )


def _as_array(value: Any) -> Array:
    """Integers of 64 bits, doubles or bools, of an array of any kind."""
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError):  # a tensor of another device, or with a gradient
        array = np.asarray(value.tolist())
    return array.astype({"i": np.int64, "u": np.int64, "f": np.float64}.get(array.dtype.kind, array.dtype))


# ---- operators -------------------------------------------------------------------------------------


def _constant(value: int | float | bool) -> Column:
    if isinstance(value, bool | float):
        return Column(np.array([value]))
    return Column(np.array([value], np.int64 if abs(value) < FAR else object), abs(value))


def _integers(entries: NDArray[np.int64]) -> Column:
    return Column(entries, max(int(entries.max()), -int(entries.min())) if entries.size else 0)


def _unknown() -> Column:
    return Column(np.zeros(1, np.int64), 0, EVERYWHERE)


_INT: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "//": np.floor_divide,
    "%": np.remainder,
    "min": np.minimum,
    "max": np.maximum,
}
_REAL: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "min": lambda x, y: np.where(y < x, y, x),
    "max": lambda x, y: np.where(y > x, y, x),
}
_COMPARE: dict[str, Callable[[Array, Array], Array]] = {
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


def _operate(op: str, a: Column, b: Column) -> Column:
    """In 64 bits where they hold whatever may come out, and in Python's integers where not."""
    most = {"+": a.most + b.most, "-": a.most + b.most, "*": a.most * b.most}.get(op, max(a.most, b.most))
    x, y, isopen = a.entries, b.entries, a.open | b.open
    if op in ("//", "%"):
        isopen = isopen | (y == 0)
        y = np.where(y == 0, np.ones_like(y), y)
    if most >= FAR:
        x, y = x.astype(object), y.astype(object)
    return Column(_INT[op](x, y), most, isopen)


def _operate_real(op: str, a: Column, b: Column) -> Column:
    """As Python's floats."""
    isopen = a.open | b.open
    return Column(_REAL[op](a.entries, b.entries), 0, isopen | (b.entries == 0) if op == "/" else isopen)


def _rounded_down(a: Column) -> Column:
    isopen = a.open | ~(np.abs(a.entries) < FAR)
    return Column(np.where(isopen, 0, np.floor(a.entries)).astype(np.int64), FAR, isopen)


def _until(decisive: bool, items: Sequence[Column]) -> Column:
    """`or` goes on until an item holds, `and` until one does not; those behind it are not asked."""
    entries: Array = np.array([not decisive])
    isopen: Truths = NOWHERE
    for item in items:
        isopen = isopen | ((entries != decisive) & item.open)
        entries = entries | item.entries if decisive else entries & item.entries
    return Column(entries, 0, isopen)


def _chosen(condition: Column, a: Column, b: Column) -> Column:
    isopen = condition.open | np.where(condition.entries, a.open, b.open)
    return Column(np.where(condition.entries, a.entries, b.entries), max(a.most, b.most), isopen)
