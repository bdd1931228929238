"""What the public function calls before its operator: the path of a call, floats, autocast.

Copied by name.
"""

import os

import torch
from torch import Tensor

from attnc.support.of_call import _mistake


def _choose(backend, q):
    """The path of a call: by the device of its tensors, unless the caller says otherwise."""
    if backend == "auto":
        backend = "triton" if q.is_cuda else "cpu"
    elif backend not in ("triton", "cpu"):
        words = f'`backend` needs "auto", "triton" or "cpu", got {backend!r}'
        raise _mistake("bad-option", words)
    elif backend == "cpu" and q.device.type != "cpu":
        words = f'`backend="cpu"` needs tensors on the CPU, got {q.device}'
        raise _mistake("wrong-device", words)
    elif backend == "triton" and not q.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        words = f'`backend="triton"` needs tensors on a GPU, got {q.device}'
        raise _mistake("wrong-device", words)
    if backend == "triton" and q.is_cuda and q.dtype == torch.float64:
        words = "`q` needs dtype float16, bfloat16 or float32 on a GPU, got float64"
        raise _mistake("wrong-dtype", words)
    return backend


def _check_device(q):
    """Raise unless the tensors are on the CPU."""
    if q.device.type != "cpu":
        words = f"`q` needs the CPU, since this module has no kernels, got {q.device}"
        raise _mistake("wrong-device", words)


def _floats(*numbers):
    """Floats as an operator takes them: a list, or a tensor where torch.compile has them change.

    It makes a graph for each value of a float that an operator takes, and gives up after eight.
    """
    if torch.compiler.is_compiling():
        from torch.fx.experimental.symbolic_shapes import has_static_value

        if not all(map(has_static_value, numbers)):
            one = torch.ones((), dtype=torch.float64, device="cpu")
            return [], torch.stack([one * number for number in numbers])
    return list(numbers), None


def _as_autocast(x):
    """q, k or v in the dtype that autocast has for torch's own attention; float64 stays."""
    if not isinstance(x, Tensor) or not torch.amp.is_autocast_available(x.device.type):
        return x
    is_cast = torch.is_autocast_enabled(x.device.type) and x.is_floating_point()
    is_cast = is_cast and x.dtype != torch.float64
    return x.to(torch.get_autocast_dtype(x.device.type)) if is_cast else x
