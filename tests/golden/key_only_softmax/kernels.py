import inspect
import numbers
import os
import sys

import torch
from torch import Tensor

CHUNK = 64  # tokens of the CPU path whose pairs are computed at once


# _without_autocast: attnc/support/torch_functions.py
# _matmul: attnc/support/cpu.py
# _are_spoiled: attnc/support/cpu.py
# _wide_sum: attnc/support/cpu.py
# _steps_of: attnc/support/features.py
# _chunked_forward_cpu: attnc/support/chunks.py
# _chunked_backward_cpu: attnc/support/chunks.py
# _chunked_forward: attnc/support/chunks.py
# _chunked_backward: attnc/support/chunks.py
# _carry: attnc/support/chunks.py
# _in_chunks: attnc/support/chunks.py
# _running: attnc/support/chunks.py
# _with_ones: attnc/support/chunks.py
# _chunks_of: attnc/support/chunks.py
# _tokens_of: attnc/support/chunks.py
# _documents: attnc/support/chunks.py
# _slabs: attnc/support/chunks.py
# _of_group: attnc/support/chunks.py
# _sum_of_group: attnc/support/chunks.py
# _sight: attnc/support/chunks.py
# _times: attnc/support/chunks.py
# _hide_pairs: attnc/support/chunks.py
# _exp: attnc/support/chunks.py
# _decay: attnc/support/chunks.py
# _weights: attnc/support/chunks.py
# _halves: attnc/support/chunks.py
# _weights_backward: attnc/support/chunks.py
# _of_running: attnc/support/chunks.py
# _pairs_forward: attnc/support/linear_pairs.py
# _pairs_backward: attnc/support/linear_pairs.py
# _blocks: attnc/support/linear_pairs.py
# _pair_weights: attnc/support/linear_pairs.py
# _at_ends: attnc/support/linear_pairs.py
# _of_steps: attnc/support/linear_pairs.py
# _sums_of_keys: attnc/support/key_softmax.py
# _sums_from_first: attnc/support/key_softmax.py
# _weights_of_keys: attnc/support/key_softmax.py
# _sums_at_rows: attnc/support/key_softmax.py


@_without_autocast
def _forward_cpu(query, key, v, steps, row_lse):
    """Weighted values [B, H, N, DV], and sums of each row [B, H, N]."""
    out, _ = _chunked_forward_cpu(query, key, v, steps, None, None, 0, False)
    out = out.to(v.dtype)
    lse = row_lse.clone()
    return out.contiguous(), lse.contiguous()


@_without_autocast
def _backward_cpu(dout, dlse, query, key, v, steps, row_lse):
    """The gradient of every float tensor, in order."""
    d_query, d_key, dv, d_steps = _chunked_backward_cpu(
        dout, None, query, key, v, steps, None, None, 0,
    )
    d_row_lse = dlse.clone()
    return (
        d_query.to(query.dtype).contiguous(), d_key.to(key.dtype).contiguous(),
        dv.to(v.dtype).contiguous(), d_steps.to(steps.dtype).contiguous(),
        d_row_lse.to(row_lse.dtype).contiguous(),
    )


def _pairs_seen(query, v):
    """How many pairs of a query and a key cost as much as the states and the chunks."""
    return (
        query.shape[:3].numel()
        * (query.shape[3] * 2 * v.shape[3] // (query.shape[3] + v.shape[3]) + 64)
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
def _attention(
    query: Tensor, key: Tensor, v: Tensor, steps: Tensor, row_lse: Tensor,
) -> tuple[Tensor, Tensor]:
    """Output and log-sum-exp."""
    return _forward_cpu(query, key, v, steps, row_lse)


@torch.library.register_fake(_attention, lib=_LIBRARY)
def _(query, key, v, steps, row_lse):
    wide = torch.promote_types(query.dtype, torch.float32)
    out = query.new_empty(*query.shape[:3], v.shape[3], dtype=v.dtype)
    return out, query.new_empty(query.shape[:3], dtype=wide)


_count_flops(_attention, {"query": 1, "v": 1})


@_operator
def _attention_backward(
    dout: Tensor, dlse: Tensor, query: Tensor, key: Tensor, v: Tensor, steps: Tensor,
    row_lse: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    return _backward_cpu(dout, dlse, query, key, v, steps, row_lse)


@torch.library.register_fake(_attention_backward, lib=_LIBRARY)
def _(dout, dlse, query, key, v, steps, row_lse):
    return (
        query.new_empty(query.shape), key.new_empty(key.shape), v.new_empty(v.shape),
        steps.new_empty(steps.shape), row_lse.new_empty(row_lse.shape),
    )


_derive(
    _attention_backward, _refuse, _keep_nothing,
    ("dout", "dlse", "query", "key", "v", "steps", "row_lse"),
)


_count_flops(_attention_backward, {"query": 3, "v": 2})


def _save(ctx, inputs, output):
    """Keep what the backward pass reads: all inputs."""
    ctx.save_for_backward(*inputs[:5])
    ctx.arguments = inputs[5:]


def _differentiate(ctx, dout, dlse):
    """The gradient of every input of `_attention`."""
    d_query, d_key, dv, d_steps, d_row_lse = _attention_backward(
        dout, dlse, *ctx.saved_tensors, *ctx.arguments,
    )
    return d_query, d_key, dv, d_steps, d_row_lse


_derive(_attention, _differentiate, _save, ("query", "key", "v", "steps", "row_lse"))


@_without_autocast
def _per_token(q, k, v, scale):
    """What the spec asks of single tokens, once for each."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = q.dtype
    wide = torch.promote_types(dtype, torch.float32)
    k = k.repeat_interleave(H // k.shape[1], 1)
    v = v.repeat_interleave(H // v.shape[1], 1)
    scores = (
        scale
        * (k.to(torch.float64) * torch.sigmoid(k.to(torch.float64))).sum(-1).unsqueeze(-1).mT
    )
    scores = scores.mT.expand(B, k.shape[1], M, 1)
    sums = _sums_of_keys(scores, True)
    sums_from_first = _sums_from_first(sums)
    steps = _steps_of(-sums_from_first, wide).expand(B, H, M, 1).squeeze(3)
    row_lse = _sums_at_rows(sums, 0, N).expand(B, H, N, 1).squeeze(3).to(wide)
    query = q.new_ones(B, H, N, 1, dtype=wide)
    key = _weights_of_keys(scores, sums_from_first).to(wide).expand(B, k.shape[1], M, 1)
    v = v.expand(B, k.shape[1], M, -1)
    return query, key, v, steps, row_lse


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


def key_only_softmax(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, return_lse: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of q [B, H, N, D] over k [B, HKV, M, D] and v [B, HKV, M, DV]: [B, H, N, DV].

    scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given
    return_lse: also return the log-sum-exp of each row, [B, H, N]
    backend: "auto" (by the device of the tensors), "triton" or "cpu"
    """
    q, k, v = map(_as_autocast, (q, k, v))
    try:
        scale = _check(q, k, v, scale)
    except (TypeError, ValueError) as mistake:
        return _refused(mistake, q, v, return_lse)
    query, key, v, steps, row_lse = _per_token(q, k, v, scale)
    _choose(backend, q)
    _tell_counters()
    out, lse = _attention(query, key, v, steps, row_lse)
    return (out, lse) if return_lse else out
