"""The checks of a call: small functions that raise the first mistake that they find.

The words are those of `run/messages.py`.
"""

import numbers

import torch
from torch import Tensor

from attnc.support.of_module import FLOATS


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
        raise TypeError(f"`{name}` needs a tensor, got {type(tensor).__name__}")
    if not _is_dense(tensor):
        raise TypeError(f"`{name}` needs a dense tensor, got {_layout(tensor)}")
    got = tensor.shape
    if len(got) != len(sizes):
        count = f"{len(sizes)} dimension{'s' if len(sizes) != 1 else ''}"
        raise ValueError(f"`{name}` needs {count} {axes}, got shape {_listed(got)}")
    if tensor.dtype not in dtypes:
        raise ValueError(f"`{name}` needs dtype {_names(*dtypes)}, got {_names(tensor.dtype)}")
    if tensor.device != q.device:
        raise ValueError(f"`{name}` needs the device of `q`, {q.device}, got {tensor.device}")
    if any(size != need for size, need in zip(got, sizes) if not isinstance(need, str)):
        needs = _listed(sizes)
        same = f" = {needs}" if needs != axes else ""
        raise ValueError(f"`{name}` needs shape {axes}{same}, got {_listed(got)}")


def _check_inputs(q, k, v):
    """Raise unless q, k and v fit each other."""
    _check_tensor("q", q, "[B, H, N, D]", ("B", "H", "N", "D"), FLOATS, q)
    B, H, _, D = q.shape
    _check_tensor("k", k, "[B, HKV, M, D]", (B, "HKV", "M", D), FLOATS, q)
    HKV, M = k.shape[1:3]
    _check_tensor("v", v, "[B, HKV, M, DV]", (B, HKV, M, "DV"), FLOATS, q)
    for name, tensor in (("k", k), ("v", v)):
        if tensor.dtype != q.dtype:
            needs, got = _names(q.dtype), _names(tensor.dtype)
            raise ValueError(f"`{name}` needs the dtype of `q`, {needs}, got {got}")
    for name, axis, size, tensor in (
        ("q", "H", H, q), ("q", "D", D, q), ("k", "HKV", HKV, k), ("v", "DV", v.shape[3], v),
    ):
        if size == 0:
            got = _listed(tensor.shape)
            raise ValueError(f"`{name}` needs `{axis}` to be 1 or more, got shape {got}")
    if H % HKV:
        raise ValueError(f"`q` needs a multiple of the {HKV} heads of `k`, got {H}")


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
        raise TypeError(f"`{name}` {what}")
    needs = f"{'an' if kind is int else 'a'} {kind.__name__}"
    if not isinstance(value, (int, float)) and getattr(value, "ndim", None) == 0:
        try:
            value = value.item()
        except RuntimeError as mistake:  # `torch.func.vmap` has several
            raise TypeError(f"`{name}` needs {needs}, the same for all samples") from mistake
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
    raise TypeError(f"`{name}` needs {needs}, got {'None' if value is None else got}")


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
        raise ValueError(
            f"`{name}` is declared `sorted`, and decreases at {place}, from {before} to {after}"
        )
