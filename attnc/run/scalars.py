"""Is this a number for a scalar parameter?

Enters: a parameter and what the caller gave for it. Leaves: an `int`, a `float` or a `bool` of Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Literal

import numpy as np
from torch import SymFloat, SymInt, Tensor, sym_float

from attnc.errors import AttncError, Diagnostic
from attnc.ir.nodes import Param
from attnc.run import messages


def check_scalar(param: Param, value: object) -> int | float | bool:
    """The value of a scalar parameter."""
    return check_number(param.name, param.sort, value)


def check_number(name: str, sort: Literal["int", "float", "bool"], value: object) -> int | float | bool:
    """A Python number of this sort. A bool is no number, and a float no int, whatever its value."""
    value = _unwrapped(name, sort, value)
    if isinstance(value, SymInt | SymFloat) and (sort == "float" or (sort, type(value)) == ("int", SymInt)):
        return sym_float(value) if sort == "float" else value  # type: ignore[no-untyped-call,return-value]
    if isinstance(value, bool):
        if sort == "bool":
            return value
    elif sort == "int" and isinstance(value, Integral):
        if not -(2**62) < int(value) < 2**62:
            raise _wrong_type(name, "an int between -2**62 and 2**62", value)
        return int(value)
    elif sort == "float" and isinstance(value, Real):
        return float(value)
    raise _wrong_type(name, "an int" if sort == "int" else f"a {sort}", value)


def check_count(name: str, value: object, least: int) -> int:
    """An int that is `least` or more: a size, or a place that counts from 0."""
    count = int(check_number(name, "int", value))
    if count < least:
        what = messages.wrong_type(name, f"{least} or more", str(count))
        raise AttncError(Diagnostic("wrong-size", what))
    return count


def check_places(name: str, value: object) -> tuple[int, ...]:
    """One place that counts from 0, or several."""
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if not several:
        raise _wrong_type(name, "an int or several", value)
    return tuple(check_count(name, place, 0) for place in several)


def _unwrapped(name: str, sort: str, value: object) -> object:
    """What a tensor or an array of no dimensions holds."""
    if isinstance(value, Tensor) and value.requires_grad:
        helps = f"declare it `{name}: float[1]` and read `{name}[0]`, or pass `{name}.item()`"
        raise AttncError(Diagnostic("wrong-type", messages.no_gradient(name), helps=(helps,)))
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
        try:
            return value.item()
        except RuntimeError:  # `torch.func.vmap` has several
            needs = "an int" if sort == "int" else f"a {sort}"
            raise AttncError(Diagnostic("wrong-type", messages.not_one_number(name, needs))) from None
    return value


def _wrong_type(name: str, needs: str, value: object) -> AttncError:
    kind = type(value).__name__
    if isinstance(value, Tensor | np.ndarray):
        got = f"{kind} of shape {list(value.shape)}"
    elif isinstance(value, bool | int | float | str | None):
        got = f"{value!r}" + (f" ({kind})" if value is not None else "")
    else:
        got = kind
    return AttncError(Diagnostic("wrong-type", messages.wrong_type(name, needs, got)))
