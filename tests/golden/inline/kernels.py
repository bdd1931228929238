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
def _forward_cpu_1(query, key, query_2, key_2):
    """Pass 1: sum_1 and sum_2 [B, H, N]."""
    _, sum_1 = _products_forward(query, key, key[Ellipsis, :0], True)
    _, sum_2 = _products_forward(query_2, key_2, key[Ellipsis, :0], True)
    return sum_1.contiguous(), sum_2.contiguous()


@_without_autocast
def _backward_cpu_1(dsum_1, dsum_2, query, key, query_2, key_2):
    """The gradient of every float tensor, in order."""
    d_query, d_key, _ = _products_backward(
        query[Ellipsis, :0], dsum_1, query, key, key[Ellipsis, :0],
    )
    d_query_2, d_key_2, _ = _products_backward(
        query[Ellipsis, :0], dsum_2, query_2, key_2, key[Ellipsis, :0],
    )
    return (
        d_query.to(query.dtype).contiguous(), d_key.to(key.dtype).contiguous(),
        d_query_2.to(query_2.dtype).contiguous(), d_key_2.to(key_2.dtype).contiguous(),
    )


@_without_autocast
def _forward_cpu(query, key, v):
    """Weighted values [B, H, N, DV], and sums of each row [B, H, N]."""
    out, _ = _products_forward(query, key, v, False)
    return out.contiguous()


@_without_autocast
def _backward_cpu(dout, query, key, v):
    """The gradient of every float tensor, in order."""
    d_query, d_key, dv = _products_backward(dout, None, query, key, v)
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
def _rows_1(query: Tensor, key: Tensor, query_2: Tensor, key_2: Tensor) -> tuple[Tensor, Tensor]:
    """Pass 1, which weighs no values: sum_1 and sum_2 [B, H, N]."""
    return _forward_cpu_1(query, key, query_2, key_2)


@torch.library.register_fake(_rows_1, lib=_LIBRARY)
def _(query, key, query_2, key_2):
    wide = torch.promote_types(query.dtype, torch.float32)
    return (
        query.new_empty(query.shape[:3], dtype=wide), query.new_empty(query.shape[:3], dtype=wide),
    )


_count_flops(_rows_1, {"query": 1})


@_operator
def _rows_1_backward(
    dsum_1: Tensor, dsum_2: Tensor, query: Tensor, key: Tensor, query_2: Tensor, key_2: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    return _backward_cpu_1(dsum_1, dsum_2, query, key, query_2, key_2)


@torch.library.register_fake(_rows_1_backward, lib=_LIBRARY)
def _(dsum_1, dsum_2, query, key, query_2, key_2):
    return (
        query.new_empty(query.shape), key.new_empty(key.shape), query_2.new_empty(query_2.shape),
        key_2.new_empty(key_2.shape),
    )


_derive(
    _rows_1_backward, _refuse, _keep_nothing,
    ("dsum_1", "dsum_2", "query", "key", "query_2", "key_2"),
)


_count_flops(_rows_1_backward, {"query": 3})


def _save_1(ctx, inputs, output):
    """Keep what the backward pass reads: all inputs."""
    ctx.save_for_backward(*inputs[:4])
    ctx.arguments = inputs[4:]


def _differentiate_1(ctx, dsum_1, dsum_2):
    """The gradient of every input of `_rows_1`."""
    d_query, d_key, d_query_2, d_key_2 = _rows_1_backward(
        dsum_1, dsum_2, *ctx.saved_tensors, *ctx.arguments,
    )
    return d_query, d_key, d_query_2, d_key_2


_derive(_rows_1, _differentiate_1, _save_1, ("query", "key", "query_2", "key_2"))


@_operator
def _attention(query: Tensor, key: Tensor, v: Tensor) -> Tensor:
    """Weighted values, and sums of each row."""
    return _forward_cpu(query, key, v)


@torch.library.register_fake(_attention, lib=_LIBRARY)
def _(query, key, v):
    wide = torch.promote_types(query.dtype, torch.float32)
    out = query.new_empty(*query.shape[:3], v.shape[3], dtype=wide)
    return out


_count_flops(_attention, {"query": 1, "v": 1})


@_operator
def _attention_backward(
    dout: Tensor, query: Tensor, key: Tensor, v: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    return _backward_cpu(dout, query, key, v)


@torch.library.register_fake(_attention_backward, lib=_LIBRARY)
def _(dout, query, key, v):
    return query.new_empty(query.shape), key.new_empty(key.shape), v.new_empty(v.shape)


_derive(_attention_backward, _refuse, _keep_nothing, ("dout", "query", "key", "v"))


_count_flops(_attention_backward, {"query": 3, "v": 2})


def _save(ctx, inputs, output):
    """Keep what the backward pass reads: all inputs."""
    ctx.save_for_backward(*inputs[:3])
    ctx.arguments = inputs[3:]


def _differentiate(ctx, dout):
    """The gradient of every input of `_attention`."""
    d_query, d_key, dv = _attention_backward(dout, *ctx.saved_tensors, *ctx.arguments)
    return d_query, d_key, dv


_derive(_attention, _differentiate, _save, ("query", "key", "v"))


@_without_autocast
def _per_token_1(q, k, scale):
    """What the spec asks of single tokens, once for each."""
    B, H, N, D = q.shape
    HKV, M = k.shape[1:3]
    dtype = q.dtype
    wide = torch.promote_types(dtype, torch.float32)
    query = (q.to(wide) * scale).expand(B, H, N, -1)
    key = k.expand(B, k.shape[1], M, -1)
    query_2 = q.new_ones(B, H, N, 1, dtype=wide).expand(B, H, N, -1)
    key_2 = q.new_ones(B, k.shape[1], M, 1, dtype=wide).expand(B, k.shape[1], M, -1)
    return query, key, query_2, key_2


@_without_autocast
def _per_token(q, k, v, scale, row_1):
    """What the spec asks of single tokens, once for each."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = q.dtype
    wide = torch.promote_types(dtype, torch.float32)
    row_1 = row_1.to(torch.float64)
    of_query_1 = (q.to(wide) * scale).expand(B, H, N, -1)
    of_key_1 = k.expand(B, k.shape[1], M, -1)
    of_query_2 = (
        q.new_ones(B, H, N, 1, dtype=wide)
        * (1.0 / M - row_1[:, :, :, None].to(torch.float64))
    ).to(wide).expand(B, H, N, -1)
    of_key_2 = q.new_ones(B, k.shape[1], M, 1, dtype=wide).expand(B, k.shape[1], M, -1)
    query = torch.cat([of_query_1, of_query_2], -1)
    key = torch.cat([of_key_1, of_key_2], -1)
    v = v.expand(B, k.shape[1], M, -1)
    return query, key, v


@_without_autocast
def _numbers_1(sum_1, sum_2):
    """What later passes read of each row."""
    row_1 = (sum_1.unsqueeze(-1) / sum_2.unsqueeze(-1)).squeeze(-1)
    return row_1


@_without_autocast
def _output(o, q):
    """The result of the kernel, mapped as the spec says."""
    dtype = q.dtype
    o = o.to(dtype)
    return o


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


def _check(q, k, v, scale):
    """Raise the first mistake of a call; return its parameters, numbers as Python's."""
    _check_inputs(q, k, v)
    scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)
    return scale


def inline(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, return_lse: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Attention of q [B, H, N, D] over k [B, HKV, M, D] and v [B, HKV, M, DV]: [B, H, N, DV].

    scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given
    backend: "auto" (by the device of the tensors), "triton" or "cpu"
    """
    q, k, v = map(_as_autocast, (q, k, v))
    try:
        scale = _check(q, k, v, scale)
    except (TypeError, ValueError) as mistake:
        return _refused(mistake, q, v, return_lse)
    if return_lse:
        raise ValueError(
            "`return_lse` needs a normalization by sum(exp(s)): this one has no log-sum-exp",
        )
    _choose(backend, q)
    _tell_counters()
    query, key, query_2, key_2 = _per_token_1(q, k, scale)
    sum_1, sum_2 = _rows_1(query, key, query_2, key_2)
    row_1 = _numbers_1(sum_1, sum_2)
    query, key, v = _per_token(q, k, v, scale, row_1)
    out = _attention(query, key, v)
    if k.shape[2] > 0:  # without a key the output is 0
        out = _output(out, q)
    else:
        out = out.to(q.dtype)
    return out
