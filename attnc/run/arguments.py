"""Is this a call that has a meaning?

Enters: an attention, the tensors of a call and its parameters. Leaves: a value for every parameter, defaults filled in,
or an `AttncError` with the first mistake found. The order: the tensors, names, scalars, arrays, grids,
divisors, widths, the order of arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from math import prod

import torch
from torch import Tensor

from attnc.analyze.divisors import find_divisions
from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir.nodes import Attention, Int, Param, VecInput
from attnc.ir.text import print_ir
from attnc.ir.walk import walk
from attnc.run import messages
from attnc.run.scalars import check_number, check_scalar
from attnc.run.settings import declared
from attnc.run.sizes import size_value, sizes_of
from attnc.run.values import real_value
from attnc.run.widths import check_widths

Value = int | float | bool | Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
ARRAY_DTYPES = {"float": FLOATS, "int": (torch.int32, torch.int64), "bool": (torch.bool,)}
DIMENSIONS = {"q": ("B", "H", "N", "D"), "k": ("B", "HKV", "M", "D"), "v": ("B", "HKV", "M", "DV")}


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
    _check_tensors({"q": q, "k": k, "v": v})
    _check_names(attention, arguments)
    if scale is not None:
        check_number("scale", "float", scale)
    given = {p.name: arguments.get(p.name, p.default) for p in attention.params}
    scalars = {p.name: check_scalar(p, given[p.name]) for p in attention.params if not p.sizes}
    sizes = sizes_of(q, k, v)
    numbers = sizes | {name: value for name, value in scalars.items() if isinstance(value, int)}
    arrays = {p.name: _check_array(p, given[p.name], numbers, q) for p in attention.params if p.sizes}
    _check_grid(attention, numbers)
    _check_divisions(attention, scalars)
    is_self_attention = any(
        isinstance(term, VecInput) and term.name == "v_i" for term in walk(attention.output)
    )
    if is_self_attention and sizes["N"] != sizes["M"]:
        raise _error("not-self-attention", messages.not_self_attention(sizes["N"], sizes["M"]))
    check_widths(attention, numbers)
    for param in attention.params:
        if param.sorted and check_sorted:
            _check_sorted(param.name, arrays[param.name])
    return {p.name: arrays[p.name] if p.sizes else scalars[p.name] for p in attention.params}


def as_autocast(x: Tensor) -> Tensor:
    """q, k or v in the dtype that autocast has for torch's own attention; float64 stays."""
    if not isinstance(x, Tensor) or not torch.amp.is_autocast_available(x.device.type):
        return x
    is_cast = torch.is_autocast_enabled(x.device.type) and x.is_floating_point() and x.dtype != torch.float64
    return x.to(torch.get_autocast_dtype(x.device.type)) if is_cast else x


def _error(code: str, message: str, helps: tuple[str, ...] = (), notes: tuple[str, ...] = ()) -> AttncError:
    return AttncError(Diagnostic(code, message, helps=helps, notes=notes))


def _name(what: torch.dtype | torch.layout) -> str:
    return str(what).removeprefix("torch.")


def _names(dtypes: Iterable[torch.dtype]) -> list[str]:
    return [_name(dtype) for dtype in dtypes]


# ---- q, k, v ---------------------------------------------------------------------------------------


def _check_tensors(tensors: Mapping[str, Tensor]) -> None:
    q = tensors["q"]
    sizes: dict[str, int] = {}
    for name, tensor in tensors.items():
        dimensions = DIMENSIONS[name]
        _check_tensor(name, tensor, dimensions)
        if tensor.dtype not in FLOATS:
            raise _error("wrong-dtype", messages.wrong_dtype(name, _names(FLOATS), _name(tensor.dtype)))
        if tensor.dtype != q.dtype:
            raise _error("wrong-dtype", messages.other_dtype(name, _name(q.dtype), _name(tensor.dtype)))
        if tensor.device != q.device:
            raise _error("wrong-device", messages.other_device(name, str(q.device), str(tensor.device)))
        # A size is what the first tensor that has it says it is.
        needs = [sizes.get(dimension, dimension) for dimension in dimensions]
        for dimension, size in zip(dimensions, tensor.shape, strict=True):
            if sizes.setdefault(dimension, size) != size:
                raise _error("wrong-shape", messages.wrong_shape(name, dimensions, needs, tensor.shape))
            if size == 0 and dimension in ("H", "HKV", "D", "DV"):
                raise _error("wrong-shape", messages.empty_dimension(name, dimension, tensor.shape))
    if sizes["H"] % sizes["HKV"]:
        raise _error("wrong-heads", messages.wrong_heads(sizes["H"], sizes["HKV"]))


def _check_tensor(name: str, value: object, dimensions: Sequence[str]) -> Tensor:
    if not isinstance(value, Tensor):
        raise _error(
            "wrong-type", messages.not_a_tensor(name, type(value).__name__), _how_to_convert(name, value)
        )
    if (found := _find_layout(value)) is not None:
        raise _error("wrong-type", messages.not_dense(name, found), DENSE[found.partition(" ")[0]])
    if value.ndim != len(dimensions):
        raise _error("wrong-rank", messages.wrong_rank(name, dimensions, value.shape))
    return value


def _how_to_convert(name: str, value: object) -> tuple[str, ...]:
    """A help for what holds numbers, and is no tensor."""
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


def _find_layout(tensor: Tensor) -> str | None:
    """What a tensor is that is not dense."""
    if tensor.is_nested:
        return "a nested one"
    if tensor.layout is not torch.strided:
        return f"layout {_name(tensor.layout)}"
    kind = type(tensor).__name__
    return kind if kind in ("DTensor", "MaskedTensor") else None


# ---- parameters ------------------------------------------------------------------------------------


def _check_names(attention: Attention, arguments: Mapping[str, object]) -> None:
    names = [param.name for param in attention.params]
    for name in arguments:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            known = ", ".join(f"`{own}`" for own in names) or "none"
            raise _error(
                "unknown-argument",
                messages.unknown_argument(attention.name, name),
                helps=tuple(f"did you mean `{own}`?" for own in near),
                notes=(f"its parameters: {known}",),
            )
    for param in attention.params:
        if param.name not in arguments and param.default is None:
            raise _error(
                "missing-argument", messages.missing_argument(attention.name, param.name, declared(param))
            )


def _check_array(param: Param, value: object, numbers: Mapping[str, int], q: Tensor) -> Tensor:
    dimensions = [print_ir(size) for size in param.sizes]
    array = _check_tensor(param.name, value, dimensions)
    allowed = ARRAY_DTYPES[param.sort]
    if array.dtype not in allowed:
        raise _error("wrong-dtype", messages.wrong_dtype(param.name, _names(allowed), _name(array.dtype)))
    if array.device != q.device:
        raise _error("wrong-device", messages.other_device(param.name, str(q.device), str(array.device)))
    needs = [_size(f"`{param.name}`", size, numbers) for size in param.sizes]
    if list(array.shape) != needs:
        raise _error("wrong-shape", messages.wrong_shape(param.name, dimensions, needs, array.shape))
    return array


def _size(owner: str, term: Int, numbers: Mapping[str, int]) -> int:
    try:
        size = size_value(term, numbers)
    except ZeroDivisionError:
        raise _error("wrong-size", messages.size_divides_by_zero(owner, print_ir(term))) from None
    if size < 0:
        raise _error("wrong-size", messages.negative_size(owner, print_ir(term), size))
    return size


def _check_divisions(attention: Attention, scalars: Mapping[str, Value]) -> None:
    for division in find_divisions(attention):
        if real_value(division.by, scalars) == 0:
            span = division.term.span
            what = messages.divides_by_nothing(division.number, division.text)
            helps = (f"where 0 means none, let the spec say so: `... if {division.number} != 0 else ...`",)
            raise AttncError(Diagnostic("division-by-zero", what, Label(span) if span else None, helps=helps))


def _check_sorted(name: str, array: Tensor) -> None:
    falls = (array[..., 1:] < array[..., :-1]).nonzero()
    if len(falls):
        *outer, last = falls[0].tolist()
        before, after = array[(*outer, last)].item(), array[(*outer, last + 1)].item()
        raise _error("not-sorted", messages.not_sorted(name, (*outer, last + 1), before, after))


# ---- grids -----------------------------------------------------------------------------------------


def _check_grid(attention: Attention, numbers: Mapping[str, int]) -> None:
    for side, tokens in {"query": numbers["N"], "key": numbers["M"]}.items():
        extents = [axis.extent for axis in attention.grid if axis.side == side]
        got = [_size(f"the {side} grid", extent, numbers) for extent in extents]
        if extents and prod(got) != tokens:
            names = [print_ir(extent) for extent in extents]
            raise _error("wrong-grid", messages.wrong_grid(side, names, got, tokens))
