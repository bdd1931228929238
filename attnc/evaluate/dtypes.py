"""The element types of kernels.

Enters: types and arrays. Leaves: the type of a result, and arrays in it. NumPy has no bfloat16: its numbers are held in
float32, each rounded to the nearest that bfloat16 has, ties to even, as a GPU rounds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]
Scalar: TypeAlias = bool | int | float
KINDS = ("bool", "int", "float")


class KernelFault(Exception):
    """A fault of a kernel: an access or a number that a GPU would let pass."""


@dataclass(frozen=True)
class DType:
    """One type; `held` is NumPy's that holds its numbers. Kernels ask for `primitive_bitwidth`, as Triton calls it."""

    name: str
    kind: Literal["bool", "int", "float"]
    primitive_bitwidth: int
    held: np.dtype[Any]

    def __str__(self) -> str:
        return self.name


INT1 = DType("int1", "bool", 1, np.dtype(np.bool_))
INT8 = DType("int8", "int", 8, np.dtype(np.int8))
INT16 = DType("int16", "int", 16, np.dtype(np.int16))
INT32 = DType("int32", "int", 32, np.dtype(np.int32))
INT64 = DType("int64", "int", 64, np.dtype(np.int64))
FLOAT16 = DType("float16", "float", 16, np.dtype(np.float16))
BFLOAT16 = DType("bfloat16", "float", 16, np.dtype(np.float32))
FLOAT32 = DType("float32", "float", 32, np.dtype(np.float32))
FLOAT64 = DType("float64", "float", 64, np.dtype(np.float64))
DTYPES = (INT1, INT8, INT16, INT32, INT64, FLOAT16, BFLOAT16, FLOAT32, FLOAT64)


def type_of(number: Scalar) -> DType:
    """The type of a number of Python that stands alone."""
    if isinstance(number, bool):
        return INT1
    if isinstance(number, int):
        if not -(2**63) <= number < 2**63:
            raise KernelFault(f"{number} does not fit int64")
        return INT32 if -(2**31) <= number < 2**31 else INT64
    least, most = (float(end) for end in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
    return FLOAT32 if number == 0 or least <= abs(number) <= most or not np.isfinite(number) else FLOAT64


def promote(a: DType, b: DType) -> DType:
    """The type in which two tiles meet: the wider of two ints, float16 before bfloat16, a float before an int."""
    if a == b:
        return a
    if "float" not in (a.kind, b.kind):
        return max(a, b, key=lambda dtype: dtype.primitive_bitwidth)
    for wide in (FLOAT64, FLOAT32, FLOAT16):
        if wide in (a, b):
            return wide
    return FLOAT32  # bfloat16 and an int


def promote_number(number: Scalar, dtype: DType) -> DType:
    """The type in which a tile meets a number of Python, which is as narrow as the tile if it can be."""
    own = type_of(number)
    return promote(own, dtype) if KINDS.index(own.kind) > KINDS.index(dtype.kind) else dtype


def constant(number: Scalar, dtype: DType) -> Array:
    """A number of Python as the compiler writes it: a float by way of float32, and in bfloat16 with six decimals."""
    if dtype.kind == "int" and not np.iinfo(dtype.held).min <= number <= np.iinfo(dtype.held).max:
        raise KernelFault(f"{number} does not fit {dtype}")
    if dtype.kind == "float" and dtype != FLOAT64:
        single = np.float32(number)
        return rounded(np.asarray(np.float32(f"{single:f}") if dtype == BFLOAT16 else single), dtype)
    return np.asarray(number).astype(dtype.held)


def rounded(data: Array, dtype: DType) -> Array:
    """What an operation found, in the type of its result."""
    if dtype == BFLOAT16:
        return _rounded_to_bfloat16(data.astype(np.float32, copy=False))
    return data.astype(dtype.held, copy=False)


def converted(data: Array, dtype: DType) -> Array:
    """Numbers of one type in another. A float becomes an int towards zero, and with 16 bits or more the nearest."""
    if dtype.kind == "float":
        return rounded(data, dtype)
    if dtype.kind == "bool":
        return np.not_equal(data, 0)
    if data.dtype.kind == "f":
        return _truncated(data, dtype)
    narrow = data.astype(dtype.held)
    if (narrow != data).any():
        raise KernelFault(f"{data[narrow != data].flat[0]} does not fit {dtype}")
    return narrow


def bits_of(data: Array, dtype: DType) -> Array:
    """The bits of numbers, as ints of the same width."""
    if dtype == BFLOAT16:
        return (data.view(np.uint32) >> 16).astype(np.uint16).view(np.int16)
    return data.view(np.dtype(f"int{dtype.primitive_bitwidth}"))


def from_bits(bits: Array, dtype: DType) -> Array:
    """The numbers that have these bits."""
    if dtype == BFLOAT16:
        return (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return bits.view(dtype.held)


def _truncated(data: Array, dtype: DType) -> Array:
    """Towards zero, and at the ends of the type where a number lies beyond it, as PTX has it.

    What is no number becomes 0, or the least int where either side has 64 bits. PTX knows no int8: the low bits of an
    int16 are kept, and what does not fit is a fault here.
    """
    least, most = np.iinfo(dtype.held).min, np.iinfo(dtype.held).max
    whole, no_number = np.trunc(data.astype(np.float64)), np.isnan(data)
    above, below = whole >= float(most) + 1.0, whole < float(least)
    if dtype == INT8 and (above | below).any():
        raise KernelFault(f"{data[above | below].flat[0]} does not fit {dtype}")
    if dtype == INT64 or np.float64 == data.dtype:
        below |= no_number
    inside = np.where(above | below | no_number, 0.0, whole).astype(dtype.held)
    return np.where(above, most, np.where(below, least, inside)).astype(dtype.held)


def _rounded_to_bfloat16(data: Array) -> Array:
    bits = data.view(np.uint32)
    nearest = (bits + (0x7FFF + ((bits >> 16) & 1))) & 0xFFFF0000
    return np.where(np.isnan(data), np.float32(np.nan), nearest.astype(np.uint32).view(np.float32))
