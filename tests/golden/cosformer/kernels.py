import inspect
import numbers
import os
import sys

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNK = 64  # tokens of the CPU path whose pairs are computed at once


# _program: attnc/support/kernels.py
# _load_block: attnc/support/chunk_parts.py
# _load_turned: attnc/support/chunk_parts.py
# _store_block: attnc/support/chunk_parts.py
# _load_numbers: attnc/support/chunk_parts.py
# _load_row: attnc/support/chunk_parts.py
# _store_numbers: attnc/support/chunk_parts.py
# _store_total: attnc/support/chunk_parts.py
# _narrowed: attnc/support/chunk_parts.py
# _add_product: attnc/support/chunk_parts.py
# _add_weighted: attnc/support/chunk_parts.py
# _selected: attnc/support/chunk_parts.py
# _load_decay: attnc/support/chunk_parts.py
# _is_read: attnc/support/chunk_parts.py
# _is_kept: attnc/support/chunk_parts.py
# _enters: attnc/support/chunk_parts.py
# _leaves: attnc/support/chunk_parts.py
# _meets: attnc/support/chunk_parts.py
# _own: attnc/support/chunk_parts.py
# _chunk_states: attnc/support/chunk_states.py
# _chunk_state_gradients: attnc/support/chunk_states.py
# _chunk_outputs: attnc/support/chunk_kernels.py
# _chunk_values: attnc/support/chunk_gradients.py
# _chunk_queries: attnc/support/chunk_gradients.py
# _chunk_keys: attnc/support/chunk_gradients.py
# _load_token: attnc/support/pair_kernels.py
# _store_token: attnc/support/pair_kernels.py
# _load_number: attnc/support/pair_kernels.py
# _load_step: attnc/support/pair_kernels.py
# _document: attnc/support/pair_kernels.py
# _pair_outputs: attnc/support/pair_kernels.py
# _pair_gradients: attnc/support/pair_kernels.py
# _of_pair: attnc/support/pair_kernels.py
# _pair_steps: attnc/support/pair_kernels.py
# _without_autocast: attnc/support/torch_functions.py
# _check_reach: attnc/support/torch_functions.py
# _with_unit_stride: attnc/support/torch_functions.py
# _matmul: attnc/support/cpu.py
# _are_spoiled: attnc/support/cpu.py
# _wide_sum: attnc/support/cpu.py
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


@_without_autocast
def _forward_cpu(query, key, v):
    """Weighted values [B, H, N, DV], and sums of each row [B, H, N]."""
    out, sum_1 = _chunked_forward_cpu(query, key, v, None, None, None, 0, True)
    return out.contiguous(), sum_1.contiguous()


@_without_autocast
def _backward_cpu(dout, dsum_1, query, key, v):
    """The gradient of every float tensor, in order."""
    d_query, d_key, dv, _ = _chunked_backward_cpu(dout, dsum_1, query, key, v, None, None, None, 0)
    return (
        d_query.to(query.dtype).contiguous(), d_key.to(key.dtype).contiguous(),
        dv.to(v.dtype).contiguous(),
    )


# _dtype_of_products: attnc/support/chunk_tiles.py
# CHUNKS: attnc/support/chunk_tiles.py
# _chunk_tiles: attnc/support/chunk_tiles.py
# _chunk_kinds: attnc/support/chunk_call.py
# _states_before_chunks: attnc/support/chunk_call.py
# _gradients_of_states: attnc/support/chunk_call.py
# _has_channels: attnc/support/chunk_call.py
# _for_products: attnc/support/chunk_call.py
# _contiguous: attnc/support/chunk_call.py
# _within_reach: attnc/support/chunk_call.py
# _tiles_of_queries: attnc/support/chunk_call.py
# _decays_of_chunks: attnc/support/chunk_call.py
# _gradient_of_steps: attnc/support/chunk_call.py
# _of_heads_of_keys: attnc/support/chunk_call.py
# _ones_like_values: attnc/support/chunk_call.py
# _look_again: attnc/support/pair_launch.py
# _look_again_back: attnc/support/pair_launch.py
# _pair_kinds: attnc/support/pair_launch.py
# _share_of: attnc/support/pair_launch.py
# _is_spoiled_anywhere: attnc/support/pair_launch.py
# _chunked_forward_triton: attnc/support/chunk_launch.py
# _chunked_backward_triton: attnc/support/chunk_launch.py


def _forward_triton(query, key, v):
    """Weighted values [B, H, N, DV], and sums of each row [B, H, N]."""
    with torch.cuda.device_of(query):
        out, sum_1 = _chunked_forward_triton(query, key, v, None, None, None, 0, True)
        return out.contiguous(), sum_1.contiguous()


def _backward_triton(dout, dsum_1, query, key, v):
    """The gradient of every float tensor, in order."""
    with torch.cuda.device_of(query):
        d_query, d_key, dv, _ = _chunked_backward_triton(
            dout, dsum_1, query, key, v, None, None, None, 0,
        )
        return (
            d_query.to(query.dtype).contiguous(), d_key.to(key.dtype).contiguous(),
            dv.to(v.dtype).contiguous(),
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
def _attention(query: Tensor, key: Tensor, v: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    """Weighted values, and sums of each row."""
    forward = _forward_triton if backend == "triton" else _forward_cpu
    return forward(query, key, v)


@torch.library.register_fake(_attention, lib=_LIBRARY)
def _(query, key, v, backend):
    wide = torch.promote_types(query.dtype, torch.float32)
    out = query.new_empty(*query.shape[:3], v.shape[3], dtype=wide)
    return out, query.new_empty(query.shape[:3], dtype=wide)


_count_flops(_attention, {"query": 1, "v": 1})


@_operator
def _attention_backward(
    dout: Tensor, dsum_1: Tensor, query: Tensor, key: Tensor, v: Tensor, backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    backward = _backward_triton if backend == "triton" else _backward_cpu
    return backward(dout, dsum_1, query, key, v)


@torch.library.register_fake(_attention_backward, lib=_LIBRARY)
def _(dout, dsum_1, query, key, v, backend):
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
    return d_query, d_key, dv, None


_derive(_attention, _differentiate, _save, ("query", "key", "v"))


@_without_autocast
def _per_token(q, k, v):
    """What the spec asks of single tokens, once for each."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = q.dtype
    wide = torch.promote_types(dtype, torch.float32)
    i = torch.arange(N, device=q.device)[:, None]
    j = torch.arange(M, device=q.device)[None, :]
    q = torch.relu(q)                                                   # cosformer.attn:5
    k = torch.relu(k)                                                   # cosformer.attn:6
    of_query_1 = (
        q
        * torch.cos(1.5707963 * i.to(torch.float64) / max(N, M))
    ).to(wide).expand(B, H, N, -1)
    of_key_1 = (
        k
        * torch.cos(1.5707963 * j.to(torch.float64) / max(N, M)).mT
    ).to(wide).expand(B, k.shape[1], M, -1)
    of_query_2 = (
        q
        * torch.sin(1.5707963 * i.to(torch.float64) / max(N, M))
    ).to(wide).expand(B, H, N, -1)
    of_key_2 = (
        k
        * torch.sin(1.5707963 * j.to(torch.float64) / max(N, M)).mT
    ).to(wide).expand(B, k.shape[1], M, -1)
    query = torch.cat([of_query_1, of_query_2], -1)
    key = torch.cat([of_key_1, of_key_2], -1)
    v = v.expand(B, k.shape[1], M, -1)
    return query, key, v


@_without_autocast
def _output(o, sum_1, q):
    """The result of the kernel, mapped as the spec says."""
    dtype = q.dtype
    row_factor = 1.0 / sum_1.unsqueeze(-1).clamp(min=1e-06)             # cosformer.attn:9
    o = (o * row_factor).to(dtype)
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


def cosformer(
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
    query, key, v = _per_token(q, k, v)
    _tell_counters()
    out, sum_1 = _attention(query, key, v, _choose(backend, q))
    if k.shape[2] > 0:  # without a key the output is 0
        out = _output(out, sum_1, q)
    else:
        out = out.to(q.dtype)
    return out
