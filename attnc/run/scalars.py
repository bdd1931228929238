"""Is this a number for a scalar parameter?

Enters: a parameter and what the caller gave for it. Leaves: an `int`, a `float` or a `bool` of Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor

from attnc.errors import AttncError, Diagnostic
from attnc.ir.nodes import Param
from attnc.run import messages
from attnc.support.checks import _number


def check_scalar(param: Param, value: object) -> int | float | bool:
    """The value of a scalar parameter."""
    return check_number(param.name, param.sort, value)


def check_number(name: str, sort: Literal["int", "float", "bool"], value: object) -> int | float | bool:
    """A Python number of this sort. A bool is no number, and a float no int, whatever its value."""
    try:
        number: int | float | bool = _number(name, {"int": int, "float": float, "bool": bool}[sort], value)
        return number
    except AttncError as mistake:
        (what,) = mistake.diagnostics
        if isinstance(value, Tensor) and value.requires_grad:
            helps = f"declare it `{name}: float[1]` and read `{name}[0]`, or pass `{name}.item()`"
            what = replace(what, helps=(helps,))
        raise AttncError(what) from None


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
        what = messages.wrong_type(name, "an int or several", type(value).__name__)
        raise AttncError(Diagnostic("wrong-type", what))
    return tuple(check_count(name, place, 0) for place in several)
