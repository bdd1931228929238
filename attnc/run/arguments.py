"""Is this a call that has a meaning?

Enters: an attention, the tensors of a call and its parameters. Leaves: a value for every parameter, defaults filled in,
or an `AttncError` with the first mistake found. The order: the tensors, names, then the table of `analyze/checks.py`,
the order of arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor

from attnc.analyze.checks import find_checks
from attnc.errors import AttncError, Diagnostic
from attnc.ir.nodes import Attention, Param
from attnc.ir.text import print_sizes
from attnc.run import messages
from attnc.run.checks import check_condition
from attnc.run.scalars import check_number, check_scalar
from attnc.run.settings import declared
from attnc.run.sizes import sizes_of
from attnc.run.values import int_value
from attnc.support.checks import _check_inputs, _check_sorted, _check_tensor, _is_dense, _layout
from attnc.support.of_call import BOOLS, FLOATS, INTS

Value = int | float | bool | Tensor

DTYPES = {"float": FLOATS, "int": INTS, "bool": BOOLS}


def check_arguments(
    attention: Attention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    arguments: Mapping[str, object],
    scale: float | None = None,
    *,
    check_sorted: bool = True,
) -> dict[str, Value]:
    """The value of every parameter, in the order of their declaration."""
    with _saying_what_to_do({"q": q, "k": k, "v": v}):
        _check_inputs(q, k, v)
    _check_names(attention, arguments)
    if scale is not None:
        check_number("scale", "float", scale)
    values: dict[str, Any] = {**sizes_of(q, k, v)}
    for check in find_checks(attention):
        if isinstance(check, Param):
            given = arguments.get(check.name, check.default)
            values[check.name] = _argument(check, given, values, q)
        else:
            check_condition(check, values)
    for param in attention.params:
        if param.sorted and check_sorted:
            _check_sorted(param.name, values[param.name])
    return {param.name: values[param.name] for param in attention.params}


def _argument(param: Param, given: Any, values: Mapping[str, Any], q: Tensor) -> Value:
    if not param.sizes:
        return check_scalar(param, given)
    sizes = [int_value(size, values) for size in param.sizes]
    with _saying_what_to_do({param.name: given}):
        _check_tensor(param.name, given, print_sizes(param.sizes), sizes, DTYPES[param.sort], q)
    tensor: Tensor = given
    return tensor


def as_autocast(x: Tensor) -> Tensor:
    """q, k or v in the dtype that autocast has for torch's own attention; float64 stays."""
    if not isinstance(x, Tensor) or not torch.amp.is_autocast_available(x.device.type):
        return x
    is_cast = torch.is_autocast_enabled(x.device.type) and x.is_floating_point() and x.dtype != torch.float64
    return x.to(torch.get_autocast_dtype(x.device.type)) if is_cast else x


def _check_names(attention: Attention, arguments: Mapping[str, object]) -> None:
    names = [param.name for param in attention.params]
    for name in arguments:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            known = ", ".join(f"`{own}`" for own in names) or "none"
            what = messages.unknown_argument(attention.name, name)
            helps = tuple(f"did you mean `{own}`?" for own in near)
            notes = (f"its parameters: {known}",)
            raise AttncError(Diagnostic("unknown-argument", what, notes=notes, helps=helps))
    for param in attention.params:
        if param.name not in arguments and param.default is None:
            what = messages.missing_argument(attention.name, param.name, declared(param))
            raise AttncError(Diagnostic("missing-argument", what))


@contextmanager
def _saying_what_to_do(arguments: Mapping[str, object]) -> Iterator[None]:
    """With a mistake that the first of the arguments makes which is no dense tensor, if one is not."""
    try:
        yield
    except AttncError as mistake:
        wrong = (n for n, x in arguments.items() if not (isinstance(x, Tensor) and _is_dense(x)))
        (what,) = mistake.diagnostics
        if what.code == "wrong-type":
            name = next(wrong)
            what = replace(what, helps=_how_to_convert(name, arguments[name]))
        raise AttncError(what) from None


def _how_to_convert(name: str, value: object) -> tuple[str, ...]:
    """A help for what is no dense tensor."""
    if isinstance(value, Tensor):
        return DENSE[_layout(value).partition(" ")[0]]
    if type(value).__module__.partition(".")[0] == "numpy":
        return (f"pass `torch.from_numpy({name})`",)
    return (f"pass `torch.tensor({name})`",) if isinstance(value, list | tuple) else ()


# What to do about a tensor that has no number at every place, by the first word of what it is.
DENSE = {
    "a": ("pad it, and pass lengths or documents that the mask asks for",),
    "layout": ("pass `x.to_dense()`",),
    "MaskedTensor": ("pass its data, and its mask as an array of the spec",),
    "DTensor": ("pass `x.to_local()`, or call it inside `torch.distributed.tensor.experimental.local_map`",),
}
