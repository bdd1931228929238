"""Linear attention by flash-linear-attention, as a contender.

Enters: the name of one of its operators, and a call. Leaves: the contender, or why there is none. Its tensors are
[B, N, H, D], and its gates are those of single steps; what it needs of both is made beforehand, but for `q`, `k`, `v`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from gpu_cases import Operator
from torch import Tensor
from torch.nn.functional import elu

from attnc.bench.call import Call
from attnc.bench.contenders import Contender, LeftOut, first_line


def find_linear(operator: Operator, call: Call) -> Contender | LeftOut:
    if call.device.type != "cuda":
        return LeftOut("fla", "both", "flash-linear-attention needs a GPU")
    try:
        return Contender("fla", MAKE[operator](call))
    except Exception as problem:  # it is not there, or not for this GPU, Triton or torch
        return LeftOut("fla", "both", first_line(problem))


def _retention(call: Call) -> Callable[..., Tensor]:
    from fla.ops.simple_gla import chunk_simple_gla

    steps = call.arguments["gamma"].log()
    return _attend(lambda q, k, v: chunk_simple_gla(q, k, v, g_gamma=steps))


def _simple_gla(call: Call) -> Callable[..., Tensor]:
    from fla.ops.simple_gla import chunk_simple_gla

    steps = steps_of(call.arguments["G"]).transpose(1, 2).contiguous()
    return _attend(lambda q, k, v: chunk_simple_gla(q, k, v, g=steps))


def _gla(call: Call) -> Callable[..., Tensor]:
    from fla.ops.gla import chunk_gla

    steps = steps_of(call.arguments["G"]).transpose(1, 2).contiguous()
    return _attend(lambda q, k, v: chunk_gla(q, k, v, steps))


def _linear_attn(call: Call) -> Callable[..., Tensor]:
    from fla.ops.linear_attn import chunk_linear_attn

    return _attend(lambda q, k, v: chunk_linear_attn(elu(q) + 1, elu(k) + 1, v))


MAKE: dict[Operator, Callable[[Call], Callable[..., Tensor]]] = {
    "retention": _retention,
    "simple_gla": _simple_gla,
    "gla": _gla,
    "linear_attn": _linear_attn,
}


def steps_of(running: Tensor) -> Tensor:
    """What a running sum grows by at each token; nothing comes before the first."""
    return torch.diff(running, dim=2, prepend=torch.zeros_like(running[:, :, :1]))


def _attend(operator: Callable[..., Any]) -> Callable[..., Tensor]:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out, _ = operator(*(x.transpose(1, 2).contiguous() for x in (q, k, v)))
        swapped: Tensor = out.transpose(1, 2)
        return swapped

    return attend
