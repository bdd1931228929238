"""A tile of numbers, and its operators.

Enters: tiles, and numbers of Python. Leaves: tiles. Numbers of Python are as narrow as the tile that they meet. Ints
are divided towards zero, as a GPU does it; an int that does not fit the bits of its type wraps around there without a
word, and is a fault here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from attnc.evaluate.dtypes import (
    FLOAT32,
    FLOAT64,
    INT1,
    INT64,
    Array,
    DType,
    KernelFault,
    Scalar,
    bits_of,
    constant,
    converted,
    from_bits,
    promote,
    promote_number,
    rounded,
    type_of,
)

Operand: TypeAlias = "Tile | Scalar"


class Tile:
    """Numbers of one type; a scalar of a kernel is a tile without axes."""

    __slots__ = ("data", "dtype")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: Any, dtype: DType) -> None:
        self.data: Array = np.asarray(data, dtype.held)
        self.dtype = dtype

    @property
    def T(self) -> Tile:
        return Tile(self.data.T, self.dtype)

    def __getitem__(self, index: Any) -> Tile:
        return Tile(self.data[index], self.dtype)

    def __bool__(self) -> bool:
        if self.data.ndim:
            raise KernelFault("a kernel branches on scalars alone")
        return bool(self.data)

    def to(self, dtype: DType, bitcast: bool = False) -> Tile:
        """The same numbers in another type, or with `bitcast` the numbers that have the same bits."""
        if self.dtype == dtype:
            return self
        if not bitcast:
            return Tile(converted(self.data, dtype), dtype)
        if self.dtype.primitive_bitwidth != dtype.primitive_bitwidth:
            raise KernelFault(f"{self.dtype} and {dtype} have not as many bits")
        return Tile(from_bits(bits_of(self.data, self.dtype), dtype), dtype)

    def __add__(self, other: Any) -> Any:
        # A pointer adds what is in front of it.
        return arithmetic("+", self, other) if isinstance(other, Tile | Scalar) else NotImplemented

    def __radd__(self, other: Operand) -> Tile:
        return arithmetic("+", other, self)

    def __sub__(self, other: Operand) -> Tile:
        return arithmetic("-", self, other)

    def __rsub__(self, other: Operand) -> Tile:
        return arithmetic("-", other, self)

    def __mul__(self, other: Operand) -> Tile:
        return arithmetic("*", self, other)

    def __rmul__(self, other: Operand) -> Tile:
        return arithmetic("*", other, self)

    def __neg__(self) -> Tile:
        if self.dtype.kind == "float":
            return Tile(-self.data, self.dtype)
        return arithmetic("-", Tile(0, self.dtype), self)

    def __truediv__(self, other: Operand) -> Tile:
        return _divided(self, other)

    def __rtruediv__(self, other: Operand) -> Tile:
        return _divided(other, self)

    def __floordiv__(self, other: Operand) -> Tile:
        return _truncated("//", self, other)

    def __rfloordiv__(self, other: Operand) -> Tile:
        return _truncated("//", other, self)

    def __mod__(self, other: Operand) -> Tile:
        return _truncated("%", self, other)

    def __rmod__(self, other: Operand) -> Tile:
        return _truncated("%", other, self)

    def __and__(self, other: Operand) -> Tile:
        return _bitwise(np.bitwise_and, self, other)

    __rand__ = __and__

    def __or__(self, other: Operand) -> Tile:
        return _bitwise(np.bitwise_or, self, other)

    __ror__ = __or__

    def __invert__(self) -> Tile:
        return _bitwise(np.bitwise_xor, self, True if self.dtype == INT1 else -1)

    def __lt__(self, other: Operand) -> Tile:
        return _compared(np.less, self, other)

    def __le__(self, other: Operand) -> Tile:
        return _compared(np.less_equal, self, other)

    def __gt__(self, other: Operand) -> Tile:
        return _compared(np.greater, self, other)

    def __ge__(self, other: Operand) -> Tile:
        return _compared(np.greater_equal, self, other)

    def __eq__(self, other: Operand) -> Tile:  # type: ignore[override]
        return _compared(np.equal, self, other)

    def __ne__(self, other: Operand) -> Tile:  # type: ignore[override]
        return _compared(np.not_equal, self, other)


def as_tile(value: Operand) -> Tile:
    """A tile as it is, and a number of Python as a scalar."""
    return value if isinstance(value, Tile) else Tile(value, type_of(value))


def meet(a: Operand, b: Operand) -> tuple[Array, Array, DType]:
    """Two operands in the type that both take."""
    dtype = _common_type(a, b)
    return in_type(a, dtype), in_type(b, dtype), dtype


def _common_type(a: Operand, b: Operand) -> DType:
    if isinstance(a, Tile) and isinstance(b, Tile):
        return promote(a.dtype, b.dtype)
    if isinstance(a, Tile):
        return promote_number(_number(b), a.dtype)
    if isinstance(b, Tile):
        return promote_number(_number(a), b.dtype)
    return promote(type_of(a), type_of(b))


def _number(value: Operand) -> Scalar:
    if not isinstance(value, Scalar):
        raise KernelFault(f"a tile meets a {type(value).__name__}")
    return value


def in_type(value: Operand, dtype: DType) -> Array:
    """An operand in a type: a tile is converted, a number of Python is written in it."""
    if not isinstance(value, Tile):
        return constant(value, dtype)
    return value.to(dtype).data


ARITHMETIC: dict[str, Callable[..., Any]] = {"+": np.add, "-": np.subtract, "*": np.multiply}


def arithmetic(op: str, a: Operand, b: Operand) -> Tile:
    """A sum, difference or product."""
    x, y, dtype = meet(a, b)
    if dtype.kind == "float":
        return Tile(rounded(np.asarray(ARITHMETIC[op](x, y)), dtype), dtype)
    if dtype.kind == "bool":
        raise KernelFault(f"{op} of two truth values")
    exact = np.asarray(ARITHMETIC[op](x.astype(np.int64), y.astype(np.int64)))
    fits = _fits_64(op, x, y, exact) if dtype == INT64 else exact == exact.astype(dtype.held)
    if not fits.all():
        first, second = (np.broadcast_to(each, exact.shape)[~fits].flat[0] for each in (x, y))
        raise KernelFault(f"{first} {op} {second} does not fit {dtype}")
    return Tile(exact, dtype)


def _fits_64(op: str, x: Array, y: Array, found: Array) -> Array:
    """Is what was found, with 64 bits, what should have been?"""
    if op == "*":
        # Far from the ends float64 knows; near them a quotient does.
        about = np.abs(x.astype(np.float64) * y.astype(np.float64))
        near = (about > 2.0**62) & (y != 0)
        back = np.where(near, found // np.where(near, y, 1), x)
        turned = (x == np.iinfo(np.int64).min) & (y == -1)  # the one quotient that does not fit either
        return np.asarray((about < 2.0**64) & (back == x) & ~turned)
    second = y if op == "+" else ~y  # a difference leaves 64 bits only where the signs differ
    return np.asarray(((x ^ found) & (second ^ found)) >= 0)


def _divided(a: Operand, b: Operand) -> Tile:
    dtype = _common_type(a, b)
    wide = dtype if dtype == FLOAT64 else FLOAT32
    # Floats meet in the wider type, and ints are converted to it from their own.
    x, y = (in_type(each, wide if dtype.kind == "float" else dtype) for each in (a, b))
    return Tile(rounded(x, wide) / rounded(y, wide), wide)


def _truncated(op: str, a: Operand, b: Operand) -> Tile:
    """Quotient or rest of ints, the quotient towards zero. Nobody may use what a division by 0 gives: -1."""
    x, y, dtype = meet(a, b)
    if dtype.kind != "int":
        raise KernelFault(f"// and % of {dtype}")
    divisor = np.where(y == 0, 1, y)
    floor, rest = x // divisor, x % divisor
    towards_zero = floor + ((rest != 0) & ((x < 0) != (divisor < 0)))
    least = np.iinfo(dtype.held).min
    if op == "//" and ((x == least) & (y == -1)).any():
        raise KernelFault(f"{least} // -1 does not fit {dtype}")
    return Tile(np.where(y == 0, -1, towards_zero if op == "//" else x - towards_zero * divisor), dtype)


def _bitwise(op: Callable[..., Any], a: Operand, b: Operand) -> Tile:
    x, y, dtype = meet(a, b)
    if dtype.kind == "float":
        raise KernelFault(f"the bits of {dtype} as those of an int")
    return Tile(op(x, y), dtype)


def _compared(op: Callable[..., Any], a: Operand, b: Operand) -> Tile:
    x, y, _ = meet(a, b)
    return Tile(op(x, y), INT1)
