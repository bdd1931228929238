"""What the emitted module asks of a call beyond its meaning.

Enters: a call that has a meaning. Leaves: nothing, or an `AttncError` with the words of the module that refused it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from attnc.analyze.call_check import requirement_check
from attnc.analyze.facts import Facts
from attnc.errors import AttncError, Diagnostic
from attnc.ir.nodes import Int
from attnc.ir.text import print_ir
from attnc.run import messages
from attnc.run.checks import check_condition
from attnc.run.values import int_value

WIDEST = 256
FAR = 2**29


def check_limits(
    facts: Facts, backend: str, q: Tensor, numbers: Mapping[str, int], counts: tuple[Int, ...] = ()
) -> None:
    """`numbers` holds the sizes and int parameters of the call; `counts` is what a kernel keeps below `FAR`."""
    for required in (*facts.keys.requires, *facts.queries.requires):
        check_condition(requirement_check(required), numbers)
    if backend == "cpu" and q.device.type != "cpu":
        raise _error("wrong-device", 'backend="cpu"', "tensors on the CPU", str(q.device))
    if backend == "triton" and not q.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise _error("wrong-device", 'backend="triton"', "tensors on a GPU", str(q.device))
    if q.is_cuda and q.dtype == torch.float64:
        raise _error("wrong-dtype", "q", "dtype float16, bfloat16 or float32 on a GPU", "float64")
    if backend == "triton" or q.is_cuda:
        for name in ("D", "DV"):
            if numbers[name] > WIDEST:
                raise _error("wrong-shape", name, f"{WIDEST} or less in a kernel", str(numbers[name]))
        for count in counts:
            found = int_value(count, numbers)
            if found >= FAR:
                what = messages.wrong_type(print_ir(count), f"{FAR - 1} or less in a kernel", str(found))
                why = "kernels count positions and numbers in 32 bits"
                raise AttncError(Diagnostic("wrong-value", what, notes=(why,)))


def check_device(q: Tensor) -> None:
    """What a module without kernels asks."""
    if q.device.type != "cpu":
        raise _error("wrong-device", "q", "the CPU, since this module has no kernels", str(q.device))


def _error(code: str, name: str, needs: str, got: str) -> AttncError:
    return AttncError(Diagnostic(code, messages.wrong_type(name, needs, got)))
