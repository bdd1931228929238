"""Reals whose exponentials do not overflow.

Enters: tensors. Leaves: `Number`s, the values of real terms. `exp(s) / sum(exp(s))` is a fine number where `exp(s)` is
far beyond the largest double, so the exponential of x is kept as `1 * e ** x`: a mantissa and a power of e. Quotients
subtract the powers, sums bring both sides to the larger one; a tensor is a number whose power is 0. This is plain
arithmetic on an equal value, and changes the meaning of no formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from attnc.ir.arithmetic import Function, RealOperator


@dataclass(frozen=True, slots=True)
class Scaled:
    """`mantissa * e ** power`, element by element."""

    mantissa: Tensor
    power: Tensor


Number = Tensor | Scaled

_FUNCTIONS: dict[Function, Callable[[Tensor], Tensor]] = {
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "silu": functional.silu,
    # Beyond the threshold log(1 + exp(x)) is x to the last bit of a double.
    "softplus": lambda x: functional.softplus(x, threshold=40),
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
}
_OPERATORS: dict[RealOperator, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "**": torch.pow,
    "min": torch.minimum,
    "max": torch.maximum,
}


def plain(x: Number) -> Tensor:
    """The number itself, overflow and all."""
    return x.mantissa * x.power.exp() if isinstance(x, Scaled) else x


def operate(op: RealOperator, x: Tensor, y: Tensor) -> Tensor:
    """`x op y` of tensors."""
    return _OPERATORS[op](x, y)


def call(fn: Function, x: Tensor) -> Tensor:
    """`fn(x)` of a tensor."""
    return _FUNCTIONS[fn](x)


def operate_scaled(op: RealOperator, x: Number, y: Number) -> Number:
    """`x op y` of numbers."""
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return operate(op, x, y)
    match op:
        case "+" | "-" | "min" | "max":
            a, b, power = _aligned(x, y)
            return Scaled(operate(op, a, b), power)
        case "*":
            return Scaled(_mantissa(x) * _mantissa(y), _power(x) + _power(y))
        case "/":
            return Scaled(_mantissa(x) / _mantissa(y), _power(x) - _power(y))
        case "**":
            return operate(op, plain(x), plain(y))


def raise_scaled(x: Number, exponent: float) -> Number:
    """`x ** exponent` with a constant exponent."""
    if isinstance(x, Tensor):
        return x.pow(exponent)
    return Scaled(x.mantissa.pow(exponent), x.power * exponent)


def call_scaled(fn: Function, x: Number) -> Number:
    """`fn(x)` of a number."""
    match fn, x:
        case "exp", _:
            power = plain(x)
            return Scaled(torch.ones_like(power), power)
        case "log", Scaled(mantissa, power):
            return mantissa.log() + power
        case "sqrt", Scaled(mantissa, power):
            return Scaled(mantissa.sqrt(), power / 2)
        case (("abs" | "relu"), Scaled(mantissa, power)):
            return Scaled(call(fn, mantissa), power)
        case _:
            return call(fn, plain(x))


def take(x: Number, index: Tensor) -> Number:
    """The elements of a number at these places."""
    return Scaled(x.mantissa[index], x.power[index]) if isinstance(x, Scaled) else x[index]


def merge(holds: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The entries of x where `holds`, and of y where not; each has as many as it needs, numbers or vectors."""
    width = max(x.shape[1:], y.shape[1:])
    result = x.new_zeros(len(holds), *width)
    result[holds] = x.expand(-1, *width)
    result[~holds] = y.expand(-1, *width)
    return result


def merge_scaled(holds: Tensor, x: Number, y: Number) -> Number:
    """The same of numbers."""
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return merge(holds, x, y)
    return Scaled(merge(holds, _mantissa(x), _mantissa(y)), merge(holds, _power(x), _power(y)))


def finite(power: Tensor) -> Tensor:
    """A power to bring others to: a constant, and 0 where there is none."""
    power = power.detach()
    return torch.where(power.isfinite(), power, torch.zeros_like(power))


def _mantissa(x: Number) -> Tensor:
    return x.mantissa if isinstance(x, Scaled) else x


def _power(x: Number) -> Tensor:
    return x.power if isinstance(x, Scaled) else torch.zeros_like(x)


def _aligned(x: Number, y: Number) -> tuple[Tensor, Tensor, Tensor]:
    """Two mantissas of one power: the larger of both."""
    power = finite(torch.maximum(_power(x), _power(y)))
    return _scaled_to(x, power), _scaled_to(y, power), power


def _scaled_to(x: Number, power: Tensor) -> Tensor:
    return _mantissa(x) * (_power(x) - power).exp()
