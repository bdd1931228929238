"""The sizes of a call.

Enters: the tensors of a call, and terms over sizes and int parameters. Leaves: numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from attnc.errors import CompilerBug
from attnc.ir.arithmetic import integer_value
from attnc.ir.nodes import Int, IntAbs, IntConst, IntOp, IntParam, Size


def sizes_of(q: Tensor, k: Tensor, v: Tensor) -> dict[str, int]:
    """`B`, `H`, `HKV`, `N`, `M`, `D` and `DV` of a call."""
    names = {"B": q.shape[0], "H": q.shape[1], "HKV": k.shape[1], "N": q.shape[2], "M": k.shape[2]}
    return names | {"D": q.shape[3], "DV": v.shape[3]}


def size_value(term: Int, values: Mapping[str, int]) -> int:
    """The number a size stands for, among named `values`. Raises `ZeroDivisionError` where it divides by 0."""
    match term:
        case IntConst(value):
            return value
        case Size(name) | IntParam(name):
            return values[name]
        case IntOp(op, a, b):
            found = integer_value(op, size_value(a, values), size_value(b, values))
            if found is None:
                raise ZeroDivisionError
            return found
        case IntAbs(a):
            return abs(size_value(a, values))
        case _:
            raise CompilerBug(f"no size: {term!r}")
