"""The values of terms at one place, or at many at once, in NumPy.

Enters: terms as they stand at the ends of ranges, a value for everything that they speak of (numbers, and arrays as
nested sequences or tensors), and what is another number at each place: positions, the ends of a tile, the number of a
period. Leaves: a number for each place, or an `AttncError`. What is equal in several terms is found once. `and`, `or`
and `if` go on with the places that still need an answer, so an array is read only where the language says; the
interpreter (`terms.py`) does the same in torch, which differentiates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from attnc.errors import AttncError, CompilerBug, Diagnostic
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
    Node,
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
    Residue,
    Scale,
    Size,
    Splat,
    SumD,
    TileEnd,
    Total,
    Truth,
    Vec,
    VecCall,
    VecIf,
    VecLoad,
    VecOp,
    VecTotal,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import holds
from attnc.run.arithmetic import (
    CALL,
    COMPARE,
    FAR,
    REAL,
    Array,
    absolute,
    as_array,
    broadcast,
    integer,
    operate,
    sum_features,
    to_integers,
)
from attnc.run.coordinates import PERIODS, RESIDUE, Coordinates, Places, period_end, tile_end


def real_value(term: Real, at: Mapping[str, Any]) -> float:
    """The number that a real stands for, among the named values `at`."""
    return float(Columns((), at).entries(term, Coordinates({}, (1,)))[0])


def int_value(term: Int, at: Mapping[str, Any]) -> int:
    """The number that `term` stands for."""
    return int(Columns((), at).entries(term, Coordinates({}, (1,)))[0])


class Columns:
    """Several terms: an array of entries for each, one for each place or one for all."""

    def __init__(self, terms: Sequence[Int], values: Mapping[str, Any]) -> None:
        self.terms, self.values = terms, values
        self._arrays: dict[str, Array] = {}
        self._numbers: dict[int, int] = {}  # by the identity of a term; equal ones have the same
        self._distinct: dict[Node, int] = {}

    def at(self, places: Places, asked: Array | None = None) -> list[NDArray[np.int64]]:
        """The numbers of each term where `asked`; those that 64 bits do not hold are 2**62 or -2**62."""
        here = Coordinates(places, np.broadcast_shapes((1,), *(x.shape for x in places.values())))
        which = broadcast(np.array(True) if asked is None else asked, here.shape)
        if which.all():
            return [broadcast(self._cut(term, here), here.shape) for term in self.terms]
        found = [np.zeros(here.shape, np.int64) for _ in self.terms]
        if which.any():
            chosen = here.where(which)
            for term, entries in zip(self.terms, found, strict=True):
                entries[which] = self._cut(term, chosen)
        return found

    def _cut(self, term: Int, here: Coordinates) -> NDArray[np.int64]:
        return np.clip(self.entries(term, here), -FAR, FAR).astype(np.int64)

    def entries(self, term: Int | Real, here: Coordinates) -> Array:
        """Whatever their size."""
        with np.errstate(all="ignore"):
            return self._of(term, here)

    def _of(self, term: Int | Bool | Real, here: Coordinates) -> Array:
        if (key := id(term)) not in self._numbers:
            self._numbers[key] = self._distinct.setdefault(term, len(self._distinct))
        number = self._numbers[key]
        if (found := here.known(number)) is None:
            evaluate: Callable[[Any, Coordinates], Array] = (
                self._int if isinstance(term, Int) else self._bool if isinstance(term, Bool) else self._real
            )
            found = here.found[number] = evaluate(term, here)
        return found

    # ---- of each sort ------------------------------------------------------------------------------

    def _int(self, term: Int, here: Coordinates) -> Array:
        match term:
            case IntConst(value):
                return integer(value)
            case Size(name) | IntParam(name):
                return integer(int(self._value(name)))
            case Index(name):
                return self._place(name, here)
            case TileEnd(axis, end):
                return self._place(tile_end(axis, end), here)
            case Period(end):
                return self._place(period_end(end), here)
            case Residue():
                return self._place(RESIDUE, here)
            case OverTile(kind, axis, a):
                return self._over_tile(np.minimum if kind == "min" else np.maximum, axis, a, here)
            case Rank(array, index, value):
                return self._rank(self._load(array, index, here, 1), self._of(value, here))
            case IntOp(op, a, b):
                x, y = self._of(a, here), self._of(b, here)
                if op in ("//", "%") and not y.all():
                    raise AttncError(Diagnostic("division-by-zero", f"`{print_ir(term)}` divides by 0"))
                return operate(op, x, y)
            case IntAbs(a):
                return absolute(self._of(a, here))
            case IntIf(cond, a, b):
                return self._chosen(cond, a, b, self._of, here)
            case IntLoad(array, index):
                return self._load(array, index, here)
            case Floor(a):
                x = np.floor(self._of(a, here))
                if not np.isfinite(x).all():
                    what = f"`{print_ir(term)}` holds the `floor` of no number"
                    raise AttncError(Diagnostic("floor-of-no-number", what))
                return to_integers(x)
            case _:
                raise CompilerBug(f"the end of a key range holds {term!r}")

    def _bool(self, term: Bool, here: Coordinates) -> Array:
        match term:
            case Truth(value):
                return np.array([value])
            case BoolParam(name):
                return np.array([bool(self._value(name))])
            case Compare(op, a, b):
                return COMPARE[op](self._of(a, here), self._of(b, here)).astype(np.bool_)
            case And(items):
                return self._until(False, items, here)
            case Or(items):
                return self._until(True, items, here)
            case Not(a):
                return ~self._of(a, here)
            case BoolIf(cond, a, b):
                return self._chosen(cond, a, b, self._of, here)
            case BoolLoad(array, index):
                return self._load(array, index, here).astype(np.bool_)
            case Member(item, array, index):
                wanted, row = self._of(item, here), self._load(array, index, here, 1)
                return np.logical_and(np.logical_or.reduce(row == wanted[..., None], -1), wanted >= 0)
            case IsPow2(a):
                x = self._of(a, here)
                found: Array = (x > 0) & (x & (x - 1) == 0)
                return found.astype(np.bool_)
            case _:
                raise CompilerBug(f"the end of a key range holds {term!r}")

    def _real(self, term: Real, here: Coordinates) -> Array:
        match term:
            case RealConst(value):
                return np.array([value], np.float64)
            case FromInt(a):
                return self._of(a, here).astype(np.float64)
            case RealParam(name):
                return np.array([float(self._value(name))])
            case Scale():
                return np.array([float(self._value("scale"))])
            case RealOp(op, a, b):
                return REAL[op](self._of(a, here), self._of(b, here))
            case RealCall(fn, a):
                return CALL[fn](self._of(a, here))
            case RealIf(cond, a, b):
                return self._chosen(cond, a, b, self._of, here)
            case RealLoad(array, index):
                return self._load(array, index, here).astype(np.float64)
            case Total(array, index):
                return self._total(array, index, here, 0)
            case Dot(a, b):
                return sum_features(self._vector(a, here) * self._vector(b, here))
            case SumD(a):
                return sum_features(self._vector(a, here))
            case _:
                raise CompilerBug(f"the end of a key range holds {term!r}")

    def _vector(self, term: Vec, here: Coordinates) -> Array:
        """Its features along an axis more; one number where it is the same for all of them."""
        match term:
            case VecLoad(array, index):
                return self._load(array, index, here, 1).astype(np.float64)
            case VecTotal(array, index):
                return self._total(array, index, here, 1)
            case Splat(a):
                return self._of(a, here)[..., None]
            case VecOp(op, a, b):
                return REAL[op](self._vector(a, here), self._vector(b, here))
            case VecCall("l2", a):
                row = self._vector(a, here)
                return row / np.maximum(np.sqrt(sum_features(row * row)), 1e-12)[..., None]
            case VecCall(fn, a) if fn != "l2":
                return CALL[fn](self._vector(a, here))
            case VecIf(cond, a, b):
                return self._chosen(cond, a, b, self._vector, here)
            case _:
                raise CompilerBug(f"the end of a key range holds {term!r}")

    # ---- which places are asked --------------------------------------------------------------------

    def _chosen(
        self, cond: Bool, a: Any, b: Any, evaluate: Callable[[Any, Coordinates], Array], here: Coordinates
    ) -> Array:
        """Each branch where it is taken, and only there."""
        which = broadcast(self._of(cond, here), here.shape)
        if which.all() or not which.any():
            return evaluate(a if which.all() else b, here)
        x, y = evaluate(a, here.where(which)), evaluate(b, here.where(~which))
        wide = np.broadcast_shapes(x.shape[1:], y.shape[1:])
        entries = np.empty((*here.shape, *wide), np.result_type(x, y))
        entries[which], entries[~which] = x, y
        return entries

    def _until(self, decisive: bool, items: Sequence[Bool], here: Coordinates) -> Array:
        """`or` goes on until an item holds, `and` until one does not; those behind it are not asked."""
        if not items:
            return np.array([not decisive])
        found = self._of(items[0], here)
        going = broadcast(found != decisive, here.shape)
        if not items[1:] or not going.any():
            return found
        if going.all():
            return self._until(decisive, items[1:], here)
        found = np.full(here.shape, decisive)
        found[going] = self._until(decisive, items[1:], here.where(going))
        return found

    # ---- what is known by name ---------------------------------------------------------------------

    def _value(self, name: str) -> Any:
        if name not in self.values:
            what = f"`{name}` decides which tiles are visited, and has no value"
            raise AttncError(Diagnostic("missing-argument", what, helps=(f"pass `{name}=...`",)))
        return self.values[name]

    def _place(self, name: str, here: Coordinates) -> Array:
        return here.places[name] if name in here.places else integer(int(self._value(name)))

    def _array(self, name: str, dimensions: int) -> Array:
        if name not in self._arrays:
            self._arrays[name] = as_array(name, self._value(name))
        array = self._arrays[name]
        if array.ndim != dimensions:
            what = f"`{name}` needs {dimensions} dimension{'s' * (dimensions != 1)}, got {array.ndim}"
            raise AttncError(Diagnostic("wrong-rank", what))
        return array

    def _load(self, name: str, index: Sequence[Int], here: Coordinates, row_of: int = 0) -> Array:
        """An entry for each place, or the row of entries that has `row_of` dimensions more."""
        return self._entries(name, self._array(name, len(index) + row_of), index, here)

    def _total(self, name: str, index: Sequence[Int], here: Coordinates, row_of: int) -> Array:
        """The sum of the entries in front of each place, or of the rows."""
        array = self._array(name, len(index) + row_of).astype(np.float64)
        nothing = np.zeros_like(array[(slice(None),) * (len(index) - 1) + (slice(0, 1),)])
        sums = np.concatenate([nothing, array.cumsum(len(index) - 1)], len(index) - 1)
        return self._entries(name, sums, index, here)

    def _entries(self, name: str, array: Array, index: Sequence[Int], here: Coordinates) -> Array:
        places = np.broadcast_arrays(*(self._of(position, here) for position in index))
        outside = [(at < 0) | (at >= size) for at, size in zip(places, array.shape, strict=False)]
        if outside and (bad := np.logical_or.reduce(outside)).any():
            read = ", ".join(str(at[bad][0]) for at in places)
            what = f"`{name}[{read}]` is read, and lies outside the array"
            raise AttncError(Diagnostic("index-out-of-range", what))
        return array[tuple(at.astype(np.int64) for at in places)] if index else array[None]

    def _rank(self, rows: Array, value: Array) -> Array:
        """One search for all places that look into the same row."""
        if rows.size == rows.shape[-1]:
            return np.searchsorted(rows.reshape(-1), value)
        wide = np.broadcast_shapes(rows.shape[:-1], value.shape)
        looks = zip(
            broadcast(rows, (*wide, rows.shape[-1])).reshape(-1, rows.shape[-1]),
            broadcast(value, wide).reshape(-1),
            strict=True,
        )
        return np.array([np.searchsorted(row, each) for row, each in looks]).reshape(wide)

    def _over_tile(self, choose: np.ufunc, axis: Literal["i", "j"], a: Int, here: Coordinates) -> Array:
        """From the term at every position of every tile, one after the other; once for neighbors that are alike."""
        ends = {tile_end(axis, end): self._place(tile_end(axis, end), here) for end in ("first", "last")}
        periods = () if holds(a, Period) else PERIODS
        places = {name: x for name, x in {**here.places, **ends}.items() if name not in periods}
        each = np.stack([broadcast(x, here.shape).reshape(-1) for x in places.values()])
        is_new = np.append(True, (each[:, 1:] != each[:, :-1]).any(0))
        places = dict(zip(places, each[:, is_new], strict=True))
        first, last = (places[name] for name in ends)
        lengths = last - first + 1
        starts = np.cumsum(lengths) - lengths
        tile = np.repeat(np.arange(len(lengths)), lengths)
        position = np.arange(len(tile)) - np.repeat(starts - first, lengths)
        inside = Coordinates({**{name: x[tile] for name, x in places.items()}, axis: position}, tile.shape)
        found = choose.reduceat(broadcast(self._of(a, inside), tile.shape), starts)
        return np.take(found, np.cumsum(is_new) - 1).reshape(here.shape)
