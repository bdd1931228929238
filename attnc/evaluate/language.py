"""The functions of `triton.language`, as far as emitted kernels use them.

Enters: tiles and numbers. Leaves: tiles. Names and arguments are Triton's. Products of float16 and bfloat16 are exact
in float32, and all sums are of float32, as matrix units have them; the order of a sum is NumPy's, a GPU has its own.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import numpy as np

from attnc.evaluate.dtypes import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT1,
    INT8,
    INT16,
    INT32,
    INT64,
    Array,
    DType,
    KernelFault,
    promote,
    rounded,
)
from attnc.evaluate.memory import Pointer
from attnc.evaluate.tile import Operand, Tile, as_tile, in_type, meet

UNDEFINED = {"bool": True, "int": 0x5A, "float": np.nan}  # what a masked load gives where `other` is not said


class Language:
    """`tl`. It knows which program of which launch is running."""

    int1, int8, int16, int32, int64 = INT1, INT8, INT16, INT32, INT64
    float16, bfloat16, float32, float64 = FLOAT16, BFLOAT16, FLOAT32, FLOAT64

    def __init__(self) -> None:
        self.running = False
        self.program: tuple[int, ...] = (0, 0, 0)
        self.grid: tuple[int, ...] = (1, 1, 1)

    class constexpr:
        """What is known when a kernel is compiled is a number of Python."""

        def __new__(cls, value: Any) -> Any:
            return value

    # ---- places ------------------------------------------------------------------------------------

    def program_id(self, axis: int) -> Tile:
        return Tile(self.program[axis], INT32)

    def num_programs(self, axis: int) -> Tile:
        return Tile(self.grid[axis], INT32)

    @staticmethod
    def arange(start: int, end: int) -> Tile:
        _check_shape([end - start])
        return Tile(np.arange(start, end), INT32)

    def range(self, *ends: Operand, **options: Any) -> Iterable[Any]:
        """The ints of a loop: scalars of a kernel that runs, else those of Python. Options are for a compiler."""
        if not self.running:
            return builtins.range(*ends)  # type: ignore[arg-type]
        tiles = [as_tile(end) for end in ends]
        if any(tile.data.ndim or tile.dtype.kind == "float" for tile in tiles):
            raise KernelFault("a loop goes from one int to another")
        # What is not said, where a loop begins and its step, has 32 bits.
        dtype = reduce(promote, (tile.dtype for tile in tiles), tiles[0].dtype if len(tiles) == 3 else INT32)
        return (Tile(n, dtype) for n in builtins.range(*(int(tile.data) for tile in tiles)))

    static_range = staticmethod(builtins.range)

    # ---- memory ------------------------------------------------------------------------------------

    @staticmethod
    def load(pointer: Pointer, mask: Operand = True, other: Operand | None = None) -> Tile:
        dtype = pointer.dtype.element_ty
        offsets, shown = np.broadcast_arrays(pointer.offsets, _condition(mask))
        found = np.full(offsets.shape, UNDEFINED[dtype.kind], dtype.held)
        if other is not None:
            found[...] = as_tile(other).to(dtype).data
        found[shown] = pointer.memory.read(offsets[shown])
        return Tile(found, dtype)

    @staticmethod
    def store(pointer: Pointer, value: Operand, mask: Operand = True) -> None:
        given = as_tile(value)
        offsets, shown, values = np.broadcast_arrays(pointer.offsets, _condition(mask), given.data)
        written = Tile(values[shown], given.dtype).to(pointer.dtype.element_ty)
        pointer.memory.write(offsets[shown], written.data)

    # ---- tiles -------------------------------------------------------------------------------------

    @staticmethod
    def full(shape: list[int], value: Operand, dtype: DType) -> Tile:
        _check_shape(shape)
        return Tile(np.full(shape, in_type(value, dtype)), dtype)

    @staticmethod
    def zeros(shape: list[int], dtype: DType) -> Tile:
        return Language.full(shape, 0, dtype)

    @staticmethod
    def zeros_like(tile: Tile) -> Tile:
        return Tile(np.zeros_like(tile.data), tile.dtype)

    @staticmethod
    def cast(value: Operand, dtype: DType) -> Tile:
        return as_tile(value).to(dtype)

    @staticmethod
    def where(condition: Operand, a: Operand, b: Operand) -> Tile:
        x, y, dtype = meet(a, b)
        return Tile(np.where(_condition(condition), x, y), dtype)

    @staticmethod
    def cdiv(a: Any, b: Any) -> Any:
        return (a + (b - 1)) // b

    # ---- products and sums -------------------------------------------------------------------------

    @staticmethod
    def dot(a: Tile, b: Tile, acc: Tile | None = None, input_precision: str = "tf32") -> Tile:
        if a.dtype != b.dtype or a.dtype.kind != "float":
            raise KernelFault(f"a product of {a.dtype} and {b.dtype}")
        if a.dtype == FLOAT32 and input_precision != "ieee":
            raise KernelFault(f"a product of float32 with input_precision={input_precision!r}")
        wide = FLOAT64 if a.dtype == FLOAT64 else FLOAT32
        product = Tile(rounded(a.data, wide) @ rounded(b.data, wide), wide)
        if acc is not None and acc.dtype != wide:
            raise KernelFault(f"a product of {a.dtype} and {b.dtype} added to {acc.dtype}")
        return product if acc is None else acc + product

    @staticmethod
    def sum(tile: Tile, axis: int | None = None) -> Tile:
        if tile.dtype not in (FLOAT32, FLOAT64, INT32, INT64):
            raise KernelFault(f"a sum of {tile.dtype}")
        if tile.dtype.kind == "float":
            return Tile(tile.data.sum(axis, dtype=tile.dtype.held), tile.dtype)
        exact = np.asarray(tile.data.astype(object).sum(axis))
        ends = np.iinfo(tile.dtype.held)
        for total in exact.flat:
            if not ends.min <= total <= ends.max:
                raise KernelFault(f"a sum of {total} does not fit {tile.dtype}")
        return Tile(exact, tile.dtype)

    @staticmethod
    def max(tile: Tile, axis: int | None = None, return_indices: bool = False) -> Any:
        largest = Tile(np.fmax.reduce(tile.data, axis), tile.dtype)
        return (largest, _first(tile, largest, axis)) if return_indices else _widened(largest)

    @staticmethod
    def min(tile: Tile, axis: int | None = None, return_indices: bool = False) -> Any:
        least = Tile(np.fmin.reduce(tile.data, axis), tile.dtype)
        return (least, _first(tile, least, axis)) if return_indices else _widened(least)

    # ---- one number at a time ----------------------------------------------------------------------

    @staticmethod
    def maximum(a: Operand, b: Operand) -> Tile:
        x, y, dtype = meet(a, b)
        return Tile(np.fmax(x, y), dtype)

    @staticmethod
    def minimum(a: Operand, b: Operand) -> Tile:
        x, y, dtype = meet(a, b)
        return Tile(np.fmin(x, y), dtype)

    @staticmethod
    def abs(value: Operand) -> Tile:
        tile = as_tile(value)
        if tile.dtype.kind == "int" and (tile.data == np.iinfo(tile.dtype.held).min).any():
            raise KernelFault(f"abs({np.iinfo(tile.dtype.held).min}) does not fit {tile.dtype}")
        return Tile(np.abs(tile.data), tile.dtype)


def _of_float32(function: Callable[[Array], Array]) -> staticmethod[[Operand], Tile]:
    """A function that a GPU has for float32, and by way of software for float64."""

    def apply(value: Operand) -> Tile:
        tile = as_tile(value)
        if tile.dtype not in (FLOAT32, FLOAT64):
            raise KernelFault(f"{function.__name__} of {tile.dtype}")
        return Tile(function(tile.data), tile.dtype)

    return staticmethod(apply)


def sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


for each in (np.exp, np.exp2, np.log, np.log2, np.sqrt, np.floor, np.sin, np.cos, sigmoid):
    setattr(Language, each.__name__, _of_float32(each))


def _widened(tile: Tile) -> Tile:
    """What Triton finds among numbers of less than 32 bits has 32."""
    if tile.dtype.primitive_bitwidth >= 32:
        return tile
    return tile.to(FLOAT32 if tile.dtype.kind == "float" else INT32)


def _first(tile: Tile, found: Tile, axis: int | None) -> Tile:
    """Where along an axis the number that was found stands first."""
    if axis is None:
        raise KernelFault("places of a number are found along an axis")
    return Tile((tile.data == np.expand_dims(found.data, axis)).argmax(axis), INT32)


def _condition(value: Operand) -> Array:
    tile = as_tile(value)
    if tile.dtype != INT1:
        raise KernelFault(f"a condition of {tile.dtype}")
    return tile.data


def _check_shape(shape: list[int]) -> None:
    if any(size < 1 or size & (size - 1) for size in shape):
        raise KernelFault(f"the sizes of a tile are powers of two, not {shape}")
