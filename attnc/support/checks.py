"""The checks of a call: small functions that raise the first mistake that they find.

The interpreter calls them, and emitted modules have copies of them. `_mistake` is a diagnostic for the one and an
exception of Python for the others; its code says what `attnc explain` has a page for.
"""

import numbers

import torch
from torch import Tensor

from attnc.support.of_call import FLOATS, _mistake


def _names(*dtypes):
    """Dtypes in words."""
    *most, last = (str(dtype).removeprefix("torch.") for dtype in dtypes)
    return f"{', '.join(most)} or {last}" if most else last


def _listed(sizes):
    """Sizes in words; torch.compile knows `str` of no symbol."""
    return "[" + ", ".join([f"{size}" for size in sizes]) + "]"


def _is_dense(tensor):
    """Is there a number at every place, and all of them on one device?"""
    is_strided = tensor.layout is torch.strided and not tensor.is_nested
    return is_strided and type(tensor).__name__ not in ("DTensor", "MaskedTensor")


def _layout(tensor):
    """What a tensor is that is not dense."""
    if tensor.is_nested:
        return "a nested one"
    layout = str(tensor.layout).removeprefix("torch.")
    return type(tensor).__name__ if tensor.layout is torch.strided else f"layout {layout}"


def _check_tensor(name, tensor, axes, sizes, dtypes, q):
    """Raise unless it has these sizes (any, for a name), one of these dtypes, and q's device."""
    if not isinstance(tensor, Tensor):
        raise _mistake("wrong-type", f"`{name}` needs a tensor, got {type(tensor).__name__}")
    if not _is_dense(tensor):
        raise _mistake("wrong-type", f"`{name}` needs a dense tensor, got {_layout(tensor)}")
    got = tensor.shape
    if len(got) != len(sizes):
        count = f"{len(sizes)} dimension{'s' if len(sizes) != 1 else ''}"
        raise _mistake("wrong-rank", f"`{name}` needs {count} {axes}, got shape {_listed(got)}")
    if tensor.dtype not in dtypes:
        needs, got = _names(*dtypes), _names(tensor.dtype)
        raise _mistake("wrong-dtype", f"`{name}` needs dtype {needs}, got {got}")
    if tensor.device != q.device:
        needs, got = q.device, tensor.device
        raise _mistake("wrong-device", f"`{name}` needs the device of `q`, {needs}, got {got}")
    if any(size != need for size, need in zip(got, sizes) if not isinstance(need, str)):
        needs = _listed(sizes)
        same = f" = {needs}" if needs != axes else ""
        raise _mistake("wrong-shape", f"`{name}` needs shape {axes}{same}, got {_listed(got)}")


def _check_input(name, tensor, axes, sizes, heads, width, q):
    """Raise unless q, k or v has these sizes, q's dtype and device, and a head and a feature."""
    _check_tensor(name, tensor, axes, sizes, FLOATS, q)
    if tensor.dtype != q.dtype:
        needs, got = _names(q.dtype), _names(tensor.dtype)
        words = f"`{name}` needs the dtype of `q`, {needs}, got {got}"
        raise _mistake("wrong-dtype", words)
    for axis, size in ((heads, tensor.shape[1]), (width, tensor.shape[3])):
        if size == 0:
            got = _listed(tensor.shape)
            words = f"`{name}` needs `{axis}` to be 1 or more, got shape {got}"
            raise _mistake("wrong-shape", words)


def _check_inputs(q, k, v):
    """Raise unless q, k and v fit each other."""
    _check_input("q", q, "[B, H, N, D]", ("B", "H", "N", "D"), "H", "D", q)
    B, H, _, D = q.shape
    _check_input("k", k, "[B, HKV, M, D]", (B, "HKV", "M", D), "HKV", "D", q)
    HKV, M = k.shape[1:3]
    _check_input("v", v, "[B, HKV, M, DV]", (B, HKV, M, "DV"), "HKV", "DV", q)
    if H % HKV:
        words = f"`q` needs a multiple of the {HKV} heads of `k`, got {H}"
        raise _mistake("wrong-heads", words)


def _is_near(value):
    """Is an int far from where 64 bits end? One that torch.compile reads of a tensor may be."""
    if torch.compiler.is_compiling():
        from torch.fx.experimental.symbolic_shapes import guard_or_true

        return guard_or_true(-(2**62) < value) and guard_or_true(value < 2**62)
    return -(2**62) < value < 2**62


def _number(name, kind, value):
    """`value` as a number of Python. A bool is no number, and a float no int."""
    if isinstance(value, Tensor) and value.requires_grad:
        what = "is a scalar, which gets no gradient, and was given a tensor that requires one"
        raise _mistake("wrong-type", f"`{name}` {what}")
    needs = f"{'an' if kind is int else 'a'} {kind.__name__}"
    if not isinstance(value, (int, float)) and getattr(value, "ndim", None) == 0:
        try:
            value = value.item()
        except RuntimeError as mistake:  # `torch.func.vmap` has several
            words = f"`{name}` needs {needs}, the same for all samples"
            raise _mistake("wrong-type", words) from mistake
    if isinstance(value, (torch.SymInt, torch.SymFloat)):  # while torch exports or traces a call
        if kind is float:
            return torch.sym_float(value)
        if kind is int and isinstance(value, torch.SymInt):
            return value
    accepted = {bool: bool, int: numbers.Integral, float: numbers.Real}[kind]
    if isinstance(value, accepted) and isinstance(value, bool) == (kind is bool):
        if kind is not int or _is_near(value):
            return value if isinstance(value, kind) else kind(value)
        needs = "an int between -2**62 and 2**62"
    got = type(value).__name__
    if not isinstance(value, (int, float, str)):
        got = f"{got} of shape {_listed(value.shape)}" if hasattr(value, "shape") else got
    elif not torch.compiler.is_compiling():
        got = f"{value!r} ({got})"
    got = "None" if value is None else got
    raise _mistake("wrong-type", f"`{name}` needs {needs}, got {got}")


def _holds(condition):
    """Does it? Where torch exports a call and cannot know, the program asserts it."""
    if not torch.compiler.is_compiling():
        return condition
    from torch.fx.experimental.symbolic_shapes import guard_or_true

    if not guard_or_true(condition):
        return False
    torch._check(condition)
    return True


def _check_sorted(name, array):
    """Raise where an array decreases: the ranges of keys rest on it. One pass; a GPU is waited for.

    While a CUDA graph is captured nothing can be waited for, so the graph has an assertion.
    """
    falls = array[..., 1:] < array[..., :-1]
    if array.is_cuda and torch.cuda.is_current_stream_capturing():
        torch._assert_async(~falls.any(), f"`{name}` is declared `sorted`, and decreases")
    elif falls.any():
        *outer, last = falls.nonzero()[0].tolist()
        before, after = array[(*outer, slice(last, last + 2))].tolist()
        place = [*outer, last + 1]
        words = f"`{name}` is declared `sorted`, and decreases at {place}, from {before} to {after}"
        raise _mistake("not-sorted", words)
