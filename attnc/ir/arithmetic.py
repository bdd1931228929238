"""The operators of the language on Python numbers.

Enters: an operator and constants. Leaves: the constant it gives, or None where folding would be wrong: the result is
not finite, or there is none.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Literal

IntOperator = Literal["+", "-", "*", "//", "%", "min", "max"]
RealOperator = Literal["+", "-", "*", "/", "**", "min", "max"]
Comparison = Literal["<", "<=", ">", ">=", "==", "!="]
Function = Literal["exp", "log", "sqrt", "tanh", "sigmoid", "relu", "silu", "softplus", "abs", "sin", "cos"]
VecFunction = Literal[
    "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "silu", "softplus", "abs", "sin", "cos", "l2"
]

_INT: dict[IntOperator, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "min": min,
    "max": max,
}
_REAL: dict[RealOperator, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "min": min,
    "max": max,
}
_COMPARE: dict[Comparison, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


_CALL: dict[Function, Callable[[float], float]] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "tanh": math.tanh,
    "sigmoid": _sigmoid,
    "relu": lambda x: max(x, 0.0),
    "silu": lambda x: x * _sigmoid(x),
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "abs": abs,
    "sin": math.sin,
    "cos": math.cos,
}


def integer_value(op: IntOperator, x: int, y: int) -> int | None:
    """`x op y` with floor semantics; None for a division by zero."""
    return None if op in ("//", "%") and y == 0 else _INT[op](x, y)


def comparison_value(op: Comparison, x: float, y: float) -> bool:
    """`x op y`."""
    return _COMPARE[op](x, y)


def real_value(op: RealOperator, x: float, y: float) -> float | None:
    """`x op y`, or None where it is not a finite real."""
    return _finite(lambda: _REAL[op](x, y))


def function_value(fn: Function, x: float) -> float | None:
    """`fn(x)`, or None where it is not a finite real."""
    return _finite(lambda: _CALL[fn](x))


def _finite(compute: Callable[[], float]) -> float | None:
    try:
        value = compute()
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    if isinstance(value, complex) or not math.isfinite(value):
        return None
    return float(value)
