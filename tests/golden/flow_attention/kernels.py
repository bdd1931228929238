import inspect
import numbers
import os
import sys

import torch
from torch import Tensor



def _without_autocast(function):
    """Autocast, or a default device, would make tensors unlike those that they meet."""

    def plain(*args):
        if torch.empty(0).device.type != "cpu":  # there is a default device
            with torch.device("cpu"):
                return plain(*args)
        device = next(arg.device for arg in args if isinstance(arg, Tensor))
        if not torch.amp.is_autocast_available(device.type):
            return function(*args)
        with torch.autocast(device.type, enabled=False):
            return function(*args)

    return plain


# _products_forward: attnc/support/products.py
# _products_backward: attnc/support/products.py
# _wide: attnc/support/products.py
# _of_key_heads: attnc/support/products.py


@_without_autocast
def _forward_cpu(query, key, v):
    """Weighted values [B, H, N, DV], and sums of each row [B, H, N]."""
    out, sum_1 = _products_forward(query, key, v, True)
    return out.contiguous(), sum_1.contiguous()


@_without_autocast
def _backward_cpu(dout, dsum_1, query, key, v):
    """The gradient of every float tensor, in order."""
    d_query, d_key, dv = _products_backward(dout, dsum_1, query, key, v)
    return (
        d_query.to(query.dtype).contiguous(), d_key.to(key.dtype).contiguous(),
        dv.to(v.dtype).contiguous(),
    )


def _pairs_seen(query, v):
    """How many pairs of a query and a key cost as much as the states and the chunks."""
    return (
        query.shape[:3].numel()
        * (query.shape[3] * 2 * v.shape[3] // (query.shape[3] + v.shape[3]))
    )


# _library: attnc/support/library.py
# _LIBRARY: attnc/support/library.py
# _operator: attnc/support/library.py
# _derive: attnc/support/library.py
# _call_samples: attnc/support/library.py
# _FLOPS: attnc/support/library.py
# _count_flops: attnc/support/library.py
# _on_cpu: attnc/support/library.py
# _tell_counters: attnc/support/library.py
# _keep_nothing: attnc/support/library.py
# _refuse: attnc/support/library.py
# _refuse_forward_mode: attnc/support/library.py


@_operator
def _attention(query: Tensor, key: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted values, and sums of each row."""
    return _forward_cpu(query, key, v)


@torch.library.register_fake(_attention, lib=_LIBRARY)
def _(query, key, v):
    wide = torch.promote_types(query.dtype, torch.float32)
    out = query.new_empty(*query.shape[:3], v.shape[3], dtype=wide)
    return out, query.new_empty(query.shape[:3], dtype=wide)


_count_flops(_attention, {"query": 1, "v": 1})


@_operator
def _attention_backward(
    dout: Tensor, dsum_1: Tensor, query: Tensor, key: Tensor, v: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    return _backward_cpu(dout, dsum_1, query, key, v)


@torch.library.register_fake(_attention_backward, lib=_LIBRARY)
def _(dout, dsum_1, query, key, v):
    return query.new_empty(query.shape), key.new_empty(key.shape), v.new_empty(v.shape)


_derive(_attention_backward, _refuse, _keep_nothing, ("dout", "dsum_1", "query", "key", "v"))


_count_flops(_attention_backward, {"query": 3, "v": 2})


def _save(ctx, inputs, output):
    """Keep what the backward pass reads: all inputs."""
    ctx.save_for_backward(*inputs[:3])
    ctx.arguments = inputs[3:]


def _differentiate(ctx, dout, dsum_1):
    """The gradient of every input of `_attention`."""
    d_query, d_key, dv = _attention_backward(dout, dsum_1, *ctx.saved_tensors, *ctx.arguments)
    return d_query, d_key, dv


_derive(_attention, _differentiate, _save, ("query", "key", "v"))


@_without_autocast
def _per_token(q, k, v, competition):
    """What the spec asks of single tokens, once for each."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = q.dtype
    k = k.repeat_interleave(H // k.shape[1], 1)
    v = v.repeat_interleave(H // v.shape[1], 1)
    q = torch.sigmoid(q)                                                # flow_attention.attn:5
    k = torch.sigmoid(k)                                                # flow_attention.attn:6
    v = v * competition[:, :, None, :].to(dtype).mT                     # flow_attention.attn:7
    query = q.expand(B, H, N, -1)
    key = k.expand(B, k.shape[1], M, -1)
    v = v.expand(B, k.shape[1], M, -1)
    return query, key, v


@_without_autocast
def _output(o, sum_1, q, allocation):
    """The result of the kernel, mapped as the spec says."""
    dtype = q.dtype
    row_factor = 1.0 / sum_1.unsqueeze(-1)                              # flow_attention.attn:9
    o = (o * row_factor).to(dtype)
    return o * allocation[:, :, :, None].to(dtype)


# _choose: attnc/support/call.py
# _as_autocast: attnc/support/call.py
# _refusal: attnc/support/refused.py
# _: attnc/support/refused.py
# _mistake: attnc/support/refused.py
# _refused: attnc/support/refused.py


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


# _names: attnc/support/checks.py
# _listed: attnc/support/checks.py
# _is_dense: attnc/support/checks.py
# _layout: attnc/support/checks.py
# _check_tensor: attnc/support/checks.py
# _check_input: attnc/support/checks.py
# _check_inputs: attnc/support/checks.py
# _is_near: attnc/support/checks.py
# _number: attnc/support/checks.py


def _check(q, k, v, scale, competition, allocation):
    """Raise the first mistake of a call; return its parameters, numbers as Python's."""
    _check_inputs(q, k, v)
    scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)
    B, H, N, M = q.shape[0], q.shape[1], q.shape[2], k.shape[2]
    _check_tensor("competition", competition, "[B, H, M]", (B, H, M), FLOATS, q)
    _check_tensor("allocation", allocation, "[B, H, N]", (B, H, N), FLOATS, q)
    return scale, competition, allocation


def flow_attention(
    q: Tensor, k: Tensor, v: Tensor, *, competition: Tensor, allocation: Tensor,
    scale: float | None = None, return_lse: bool = False, backend: str = "auto",
) -> Tensor:
    """Attention of q [B, H, N, D] over k [B, HKV, M, D] and v [B, HKV, M, DV]: [B, H, N, DV].

    competition: float[B, H, M]
    allocation: float[B, H, N]
    scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given
    backend: "auto" (by the device of the tensors), "triton" or "cpu"
    """
    q, k, v = map(_as_autocast, (q, k, v))
    try:
        scale, competition, allocation = _check(q, k, v, scale, competition, allocation)
    except (TypeError, ValueError) as mistake:
        return _refused(mistake, q, v, return_lse)
    if return_lse:
        raise ValueError(
            "`return_lse` needs a normalization by sum(exp(s)): this one has no log-sum-exp",
        )
    query, key, v = _per_token(q, k, v, competition)
    _choose(backend, q)
    _tell_counters()
    out, sum_1 = _attention(query, key, v)
    if k.shape[2] > 0:  # without a key the output is 0
        out = _output(out, sum_1, q, allocation)
    else:
        out = out.to(q.dtype)
    return out
