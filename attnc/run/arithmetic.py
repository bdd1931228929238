"""The arithmetic of terms in NumPy: integers of any size, reals, functions, and arrays of any kind.

Enters: arrays of entries. Leaves: arrays. Integers have 64 bits where these hold them, and are Python's where not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnc.errors import AttncError, Diagnostic
from attnc.ir.arithmetic import Function

Array = NDArray[Any]

# Numbers from here on have no place in 64 bits, sums of two of them included.
FAR = 2**62

Operator = Callable[[Array, Array], Array]
_INT: dict[str, Operator] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "//": np.floor_divide,
    "%": np.remainder,
    "min": np.minimum,
    "max": np.maximum,
}
REAL: dict[str, Operator] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "min": np.minimum,
    "max": np.maximum,
}
CALL: dict[Function, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
}
COMPARE: dict[str, Operator] = {
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


def broadcast(x: Array, shape: tuple[int, ...]) -> Array:
    """An entry for each place."""
    return x if x.shape == shape else np.broadcast_to(x, shape)


def integer(value: int) -> Array:
    return np.array([value], np.int64 if abs(value) < FAR else object)


def to_integers(x: Array) -> Array:
    if (np.abs(x) < FAR).all():
        return x.astype(np.int64)
    return np.array([int(each) for each in x.reshape(-1)], object).reshape(x.shape)


def sum_features(rows: Array) -> Array:
    """A number for each row of features."""
    total: Array = rows.sum(-1)
    return total


def _most(x: Array) -> int:
    """No integer of them is farther from 0."""
    return max(int(np.maximum.reduce(x, None)), -int(np.minimum.reduce(x, None)))


def operate(op: str, x: Array, y: Array) -> Array:
    """`x op y` of integers."""
    if op not in ("min", "max"):
        a, b = _most(x), _most(y)
        if (a * b if op == "*" else a + b) >= FAR:
            x, y = x.astype(object), y.astype(object)
    return _INT[op](x, y)


def absolute(x: Array) -> Array:
    """Of integers."""
    return np.abs(x if _most(x) < FAR else x.astype(object))


def as_array(name: str, value: Any) -> Array:
    """Integers of 64 bits, doubles or bools, of an array of any kind."""
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError):  # a tensor of another device, or with a gradient
        array = np.asarray(value.tolist())
    except ValueError:
        raise AttncError(Diagnostic("wrong-shape", f"`{name}` needs rows of one length")) from None
    return array.astype({"i": np.int64, "u": np.int64, "f": np.float64}.get(array.dtype.kind, array.dtype))
