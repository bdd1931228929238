"""Reals whose exponentials do not overflow, and whose logarithms lose nothing next to them.

Enters: tensors. Leaves: `Number`s, the values of real terms. `exp(s) / sum(exp(s))` is a fine number where `exp(s)` is
far beyond the largest double, so the exponential of x is kept as `1 * e ** x`: a mantissa and a power of e. Quotients
subtract the powers, sums bring both sides to the larger one; a tensor is a number whose power is 0. The logarithm of
such a number is a sum, power and log(mantissa), and stays one as long as it is added to: `s - log(sum(exp(s)))` is as
exact where s is 1e30. This is plain arithmetic on an equal value, and changes the meaning of no formula.
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


@dataclass(frozen=True, slots=True)
class Apart:
    """`large + small`, element by element."""

    large: Tensor
    small: Tensor


Number = Tensor | Scaled | Apart

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
    match x:
        case Scaled(mantissa, power):
            return mantissa * power.exp()
        case Apart(large, small):
            return large + small
    return x


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
    if op in ("+", "-") and not isinstance(x, Scaled) and not isinstance(y, Scaled):
        other = _as_apart(y)
        return _add_apart(_as_apart(x), other if op == "+" else Apart(-other.large, -other.small))
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
    if isinstance(x, Scaled):
        return Scaled(x.mantissa.pow(exponent), x.power * exponent)
    return plain(x).pow(exponent)


def call_scaled(fn: Function, x: Number) -> Number:
    """`fn(x)` of a number."""
    match fn, x:
        case "exp", Apart(large, small):
            return Scaled(small.exp(), large)
        case "exp", _:
            power = plain(x)
            return Scaled(torch.ones_like(power), power)
        case "log", Scaled(mantissa, power):
            return Apart(power, mantissa.log())
        case "sqrt", Scaled(mantissa, power):
            return Scaled(mantissa.sqrt(), power / 2)
        case (("abs" | "relu"), Scaled(mantissa, power)):
            return Scaled(call(fn, mantissa), power)
        case _:
            return call(fn, plain(x))


def take(x: Number, index: Tensor) -> Number:
    """The elements of a number at these places."""
    return Scaled(x.mantissa[index], x.power[index]) if isinstance(x, Scaled) else plain(x)[index]


def merge(holds: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The entries of x where `holds`, and of y where not; each has as many as it needs, numbers or vectors."""
    width = max(x.shape[1:], y.shape[1:])
    result = x.new_zeros(len(holds), *width)
    result[holds] = x.expand(-1, *width)
    result[~holds] = y.expand(-1, *width)
    return result


def merge_scaled(holds: Tensor, x: Number, y: Number) -> Number:
    """The same of numbers."""
    if not isinstance(x, Scaled) and not isinstance(y, Scaled):
        return merge(holds, plain(x), plain(y))
    return Scaled(merge(holds, _mantissa(x), _mantissa(y)), merge(holds, _power(x), _power(y)))


def finite(power: Tensor) -> Tensor:
    """A power to bring others to: a constant, and 0 where there is none."""
    power = power.detach()
    return torch.where(power.isfinite(), power, torch.zeros_like(power))


def _mantissa(x: Number) -> Tensor:
    return x.mantissa if isinstance(x, Scaled) else plain(x)


def _power(x: Number) -> Tensor:
    return x.power if isinstance(x, Scaled) else torch.zeros_like(plain(x))


def _add_apart(x: Apart, y: Apart) -> Apart:
    """Nothing is lost between the large parts: what rounding takes from their sum is small (Knuth's two-sum)."""
    large = x.large + y.large
    with torch.no_grad():
        of_y = large - x.large
        lost = (x.large - (large - of_y)) + (y.large - of_y)
        lost = torch.where(lost.isfinite(), lost, torch.zeros_like(lost))
    return Apart(large, x.small + y.small + lost)


def _as_apart(x: Tensor | Apart) -> Apart:
    return x if isinstance(x, Apart) else Apart(x, torch.zeros_like(x))


def _aligned(x: Number, y: Number) -> tuple[Tensor, Tensor, Tensor]:
    """Two mantissas of one power: the larger of both."""
    power = finite(torch.maximum(_power(x), _power(y)))
    return _scaled_to(x, power), _scaled_to(y, power), power


def _scaled_to(x: Number, power: Tensor) -> Tensor:
    return _mantissa(x) * (_power(x) - power).exp()
