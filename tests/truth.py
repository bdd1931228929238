"""What a mask says of every pair, by numpy, and of every tile of pairs.

Enters: the mask of one head of one call. Leaves: a matrix of bools, and the class of each tile in it. It shares
nothing with the package but the nodes; where a pair has no meaning in plain Python (a read outside of an array, a
division by 0) it raises as Python does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from integer_oracle import OPERATORS, evaluate

from attnc.ir import nodes as ir

Matrix = np.ndarray[Any, Any]
Role = Literal["keys", "queries"]
ROLES: tuple[Role, ...] = ("keys", "queries")

# The class of a tile: none of its pairs is seen, or some are, or all are.
NONE, EDGE, FULL = 0, 1, 2

LOOKED_AT = 12
BINARY = OPERATORS | {"min": np.minimum, "max": np.maximum}


def pairs_of(mask: ir.Bool, values: Mapping[str, Any]) -> Matrix:
    """`[N, M]`: may query `i` see key `j`?"""
    shape = values["N"], values["M"]
    indices = {"i": np.arange(shape[0])[:, None], "j": np.arange(shape[1])[None, :]}
    return seen_at(mask, {**values, **indices}, shape)


def seen_at(mask: ir.Bool, values: Mapping[str, Any], shape: tuple[int, ...]) -> Matrix:
    """What a mask says where some of the values are arrays that broadcast to a shape."""
    seen = _Reading(values).of(mask, np.ones((1, 1), bool))
    return np.array(np.broadcast_to(seen, shape))


def pairs_seen(mask: ir.Bool, values: Mapping[str, Any]) -> list[list[bool]]:
    """A row for each query; some pairs are looked at by plain Python too."""
    seen: list[list[bool]] = pairs_of(mask, values).tolist()
    rows, columns = values["N"], values["M"]
    for n in range(min(LOOKED_AT, rows * columns)):
        i, j = 17 * n % rows, 31 * n % columns
        assert seen[i][j] == evaluate(mask, {**values, "i": i, "j": j}), (i, j)
    return seen


def value_at(term: ir.Int, values: Mapping[str, Any]) -> Matrix:
    """A term where some of the values are arrays, which broadcast."""
    return np.asarray(_Reading(values).of(term, np.ones((1, 1), bool)))


def classes_of(seen: Matrix, rows: int, columns: int) -> Matrix:
    """The class of each tile of `rows` by `columns`; those at the end may be cut short."""
    tops, lefts = np.arange(0, seen.shape[0], rows), np.arange(0, seen.shape[1], columns)

    def totals(pairs: Matrix) -> Matrix:
        return np.add.reduceat(np.add.reduceat(pairs.astype(np.int64), tops, axis=0), lefts, axis=1)

    found, all_pairs = totals(seen), totals(np.ones_like(seen))
    return np.where(found == 0, NONE, np.where(found == all_pairs, FULL, EDGE))


def in_role(seen: Matrix, role: Role) -> Matrix:
    """A row for each position that tiles are made of: the queries where keys are looked for, and the other way."""
    return seen if role == "keys" else seen.T


@dataclass(frozen=True)
class _Reading:
    values: Mapping[str, Any]

    def of(self, term: ir.Node, active: Matrix) -> Any:
        """The value of a term; where a pair is not active nobody asks, and anything may be there."""
        match term:
            case ir.IntConst(value) | ir.Truth(value) | ir.RealConst(value):
                return np.asarray(value)
            case ir.Index(name) | ir.Size(name) | ir.IntParam(name) | ir.BoolParam(name) | ir.RealParam(name):
                return np.asarray(self.values[name])
            case ir.Coordinate(axis, name):
                return np.asarray(self.values[f"{axis}.{name}"])
            case ir.TileEnd(axis, end):
                return np.asarray(self.values[f"{axis}.{end}"])
            case ir.Residue():
                return np.asarray(self.values["residue"])
            case ir.IntOp("//" | "%" as op, a, b):
                return self._divided(op, self.of(a, active), self.of(b, active), active)
            case ir.IntOp(op, a, b) | ir.RealOp(op, a, b) | ir.Compare(op, a, b):
                return BINARY[op](self.of(a, active), self.of(b, active))
            case ir.IntAbs(a):
                return np.abs(self.of(a, active))
            case ir.IntIf(cond, a, b) | ir.BoolIf(cond, a, b):
                test = self.of(cond, active)
                return np.where(test, self.of(a, active & test), self.of(b, active & ~test))
            case ir.FromInt(a):
                return self.of(a, active).astype(np.float64)
            case ir.Floor(a):
                return np.floor(self.of(a, active)).astype(np.int64)
            case ir.And(items):
                return self._in_turn(items, active, until=False)
            case ir.Or(items):
                return self._in_turn(items, active, until=True)
            case ir.Not(a):
                return ~self.of(a, active)
            case ir.IsPow2(a):
                return np.isin(self.of(a, active), 2 ** np.arange(40))
            case ir.IntLoad(array, index) | ir.BoolLoad(array, index):
                return self._read(array, index, active)
            case ir.Member(item, array, index):
                row, wanted = self._read(array, index, active), self.of(item, active)
                return ((row == np.asarray(wanted)[..., None]) & (row >= 0)).any(axis=-1)
            case _:
                raise AssertionError(f"no meaning for {term!r}")

    def _in_turn(self, items: tuple[ir.Bool, ...], active: Matrix, until: bool) -> Any:
        """From left to right; no pair asks further once an item is `until`."""
        found = np.asarray(not until)
        for item in items:
            value = self.of(item, active)
            found = found | value if until else found & value
            active = active & (value != until)
        return found

    def _divided(self, op: str, a: Any, n: Any, active: Matrix) -> Any:
        if (active & (n == 0)).any():
            raise ZeroDivisionError
        return BINARY[op](a, np.where(n == 0, 1, n))

    def _read(self, array: str, index: tuple[ir.Int, ...], active: Matrix) -> Any:
        entries = np.asarray(self.values[array])
        places = []
        for size, position in zip(entries.shape, index, strict=False):
            place = self.of(position, active)
            if (active & ((place < 0) | (place >= size))).any():
                raise IndexError(f"{array} is read outside of its {size} entries")
            places.append(np.clip(place, 0, max(size - 1, 0)))
        return entries[tuple(places)]
