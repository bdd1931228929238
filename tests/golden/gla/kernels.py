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
# _chunk_states: attnc/support/chunk_states.py
# _chunk_state_gradients: attnc/support/chunk_states.py
# _channel_weights: attnc/support/channel_kernels.py
# _channel_outputs: attnc/support/channel_kernels.py
# _channel_values: attnc/support/channel_gradients.py
# _channel_queries: attnc/support/channel_gradients.py
# _channel_keys: attnc/support/channel_gradients.py
# _channel_pairs: attnc/support/channel_gradients.py
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
# _for_query_heads: attnc/support/torch_functions.py
# _matmul: attnc/support/cpu.py
# _are_spoiled: attnc/support/cpu.py
# _wide_sum: attnc/support/cpu.py
# _steps_of: attnc/support/features.py
# _at_last_key: attnc/support/features.py
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
# _wide: attnc/support/products.py


@_without_autocast
def _forward_cpu(query, key, v, steps):
    """Weighted values [B, H, N, DV], and sums of each row [B, H, N]."""
    out, _ = _chunked_forward_cpu(query, key, v, steps, None, None, 0, False)
    return out.contiguous()


@_without_autocast
def _backward_cpu(dout, query, key, v, steps):
    """The gradient of every float tensor, in order."""
    d_query, d_key, dv, d_steps = _chunked_backward_cpu(
        dout, None, query, key, v, steps, None, None, 0,
    )
    return (
        d_query.to(query.dtype).contiguous(), d_key.to(key.dtype).contiguous(),
        dv.to(v.dtype).contiguous(), d_steps.to(steps.dtype).contiguous(),
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
# _channel_forward_triton: attnc/support/channel_launch.py
# _channel_backward_triton: attnc/support/channel_launch.py
# _weights_of_pairs: attnc/support/channel_launch.py
# _tiles_of_pairs: attnc/support/channel_launch.py


def _forward_triton(query, key, v, steps):
    """Weighted values [B, H, N, DV], and sums of each row [B, H, N]."""
    with torch.cuda.device_of(query):
        out, _ = _channel_forward_triton(query, key, v, steps, None, None, 0, False)
        return out.contiguous()


def _backward_triton(dout, query, key, v, steps):
    """The gradient of every float tensor, in order."""
    with torch.cuda.device_of(query):
        d_query, d_key, dv, d_steps = _channel_backward_triton(
            dout, None, query, key, v, steps, None, None, 0,
        )
        return (
            d_query.to(query.dtype).contiguous(), d_key.to(key.dtype).contiguous(),
            dv.to(v.dtype).contiguous(), d_steps.to(steps.dtype).contiguous(),
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
def _attention(query: Tensor, key: Tensor, v: Tensor, steps: Tensor, backend: str) -> Tensor:
    """Weighted values, and sums of each row."""
    forward = _forward_triton if backend == "triton" else _forward_cpu
    return forward(query, key, v, steps)


@torch.library.register_fake(_attention, lib=_LIBRARY)
def _(query, key, v, steps, backend):
    wide = torch.promote_types(query.dtype, torch.float32)
    out = query.new_empty(*query.shape[:3], v.shape[3], dtype=wide)
    return out


_count_flops(_attention, {"query": 1, "v": 1})


@_operator
def _attention_backward(
    dout: Tensor, query: Tensor, key: Tensor, v: Tensor, steps: Tensor, backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    backward = _backward_triton if backend == "triton" else _backward_cpu
    return backward(dout, query, key, v, steps)


@torch.library.register_fake(_attention_backward, lib=_LIBRARY)
def _(dout, query, key, v, steps, backend):
    return (
        query.new_empty(query.shape), key.new_empty(key.shape), v.new_empty(v.shape),
        steps.new_empty(steps.shape),
    )


_derive(_attention_backward, _refuse, _keep_nothing, ("dout", "query", "key", "v", "steps"))


_count_flops(_attention_backward, {"query": 3, "v": 2})


def _save(ctx, inputs, output):
    """Keep what the backward pass reads: all inputs."""
    ctx.save_for_backward(*inputs[:4])
    ctx.arguments = inputs[4:]


def _differentiate(ctx, dout):
    """The gradient of every input of `_attention`."""
    d_query, d_key, dv, d_steps = _attention_backward(dout, *ctx.saved_tensors, *ctx.arguments)
    return d_query, d_key, dv, d_steps, None


_derive(_attention, _differentiate, _save, ("query", "key", "v", "steps"))


def _check_state(state, names, q, k):
    """Raise where a state is none of this attention, or the call none that continues."""
    N, M = q.shape[2], k.shape[2]
    if N != M or N == 0:
        words = "with `initial_state` or `return_state` queries and keys are of the same tokens"
        raise _mistake("wrong-size", f"{words}, one or more; these are of {N} queries and {M} keys")
    if state is None:
        return
    if not hasattr(state, "keys") or set(state.keys()) != set(names):
        given = type(state).__name__
        if hasattr(state, "keys"):
            given = ", ".join(map(str, state.keys()))
        raise _mistake(
            "wrong-type",
            f"`initial_state` is what a call with `return_state=True` leaves: {', '.join(names)}; "
            f"this is {given}",
        )
    for name in names:
        if not isinstance(state[name], torch.Tensor):
            kind = type(state[name]).__name__
            words = f"`{name}` of `initial_state` is a tensor"
            raise _mistake("wrong-type", f"{words}; this is {kind}")
    for name in names:
        _check_kind(state, name, q)
    sizes = {"tokens": (), "document": q.shape[:1]}
    for name in names:
        if name in sizes and state[name].shape != sizes[name]:
            words = f"`{name}` of `initial_state` has the sizes {list(sizes[name])} in this call"
            raise _mistake("wrong-size", f"{words}; these are {list(state[name].shape)}")


def _check_kind(state, name, q):
    """Raise where a tensor of a state is not in a dtype that a call leaves, or not where q is."""
    ints = torch.int32, torch.int64
    kinds = {"gate": (torch.float64,), "document": ints, "tokens": ints}
    dtypes, found = kinds.get(name, (torch.float32, torch.float64)), state[name]
    if found.dtype not in dtypes:
        words = f"`{name}` of `initial_state` needs dtype {_names(*dtypes)}"
        raise _mistake("wrong-dtype", f"{words}; this is {_names(found.dtype)}")
    is_number = name == "tokens" and found.device.type == "cpu"  # which torch takes to any device
    if found.device != q.device and not is_number:
        words = f"`{name}` of `initial_state` needs the device of `q`, {q.device}"
        raise _mistake("wrong-device", f"{words}; this is on {found.device}")


def _check_sizes(state, name, x, width):
    """Raise where a tensor of a state has not the features of x [B, H, tokens, F], and a width."""
    (B, H, _, F), found = x.shape, list(state[name].shape)
    if len(found) < 2 or found[0] != B or found[1] == 0 or H % found[1] or found[2:] != [F, *width]:
        words = f"`{name}` of `initial_state` has the sizes {[B, H, F, *width]} in this call"
        raise _mistake("wrong-size", f"{words}; these are {found}")


def _seen_of_state(query, fades, goes_on):
    """Features of queries as they meet a state: 0 where its document ended."""
    seen = _wide(query)
    if fades is not None:
        seen = seen * fades.exp().to(seen.dtype)
    return seen if goes_on is None else torch.where(goes_on, seen, 0.0)


def _times_state(seen, state, goes_on):
    """seen [B, H, N, F] times a state [B, heads, F, width], spoiling nobody who does not see it."""
    found = seen @ _of_query_heads(state.to(seen.dtype), seen.shape[1])
    return found if goes_on is None else torch.where(goes_on, found, 0.0)


def _left_by_keys(key, fades, remains):
    """Features of keys as they have faded at the last one: 0 where their document ended before."""
    left = _wide(key)
    if fades is not None:
        heads = max(left.shape[1], fades.shape[1])  # the keys of all heads may fade alike
        left = _of_query_heads(left, heads) * fades.exp().to(left.dtype)
    return left if remains is None else torch.where(remains, left, 0.0)


def _sum_of_products(left, v, remains):
    """Features times values, summed over keys: [B, heads, F, DV]."""
    v = _of_query_heads(v.to(left.dtype), left.shape[1])
    return left.mT @ (v if remains is None else torch.where(remains, v, 0.0))


def _kept_of_state(state, fades, goes_on):
    """What is left of a state behind the last key."""
    if fades is not None:
        factor = fades.exp().to(state.dtype)
        state = state * (factor.unsqueeze(3) if state.ndim == 4 else factor)
    if goes_on is None:
        return state
    return torch.where(goes_on.view(-1, *[1] * (state.ndim - 1)), state, 0.0)


def _of_query_heads(x, heads):
    return x if x.shape[1] == heads else _for_query_heads(x, heads)


@_without_autocast
def _per_token(q, k, v, scale, G):
    """What the spec asks of single tokens, once for each."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = q.dtype
    wide = torch.promote_types(dtype, torch.float32)
    b = torch.arange(B, device=q.device)[:, None, None, None]
    h = torch.arange(H, device=q.device)[:, None, None]
    j = torch.arange(M, device=q.device)[None, :]
    G = G.to(torch.float64)
    running = G[b, h, j.clamp(0, N - 1)].squeeze(-3).to(torch.float64).expand(B, H, M, -1)
    # the decay goes on behind the last key
    behind = (G[:, :, :, :].to(torch.float64) - _at_last_key(running, 0, N)).exp() if N > M else 1.0
    steps = _steps_of(running, wide).expand(B, H, M, k.expand(B, k.shape[1], M, -1).shape[3])
    query = (q.to(wide) * scale * behind).to(wide).expand(B, H, N, -1)
    key = k.expand(B, k.shape[1], M, -1)
    v = v.expand(B, k.shape[1], M, -1)
    return query, key, v, steps, running


@_without_autocast
def _with_state(state, query, running, out):
    """The results of a call in front of which the tokens of a state stand."""
    _check_sizes(state, "values", query, out.shape[3:])
    _check_sizes(state, "gate", running, ())
    seen = _seen_of_state(query, running - state["gate"][:, :, None], None)
    out = out + _times_state(seen, state["values"], None)
    return out


@_without_autocast
def _state_behind(state, key, v, running):
    """The state that a call leaves to a later one."""
    left = _left_by_keys(key, running[:, :, -1 :] - running, None)
    values = _sum_of_products(left, v, None)
    if state is not None:
        values = values + _kept_of_state(state["values"], running[:, :, -1] - state["gate"], None)
    return {"values": values, "gate": running[:, :, -1].clone()}


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


def _check(q, k, v, scale, G):
    """Raise the first mistake of a call; return its parameters, numbers as Python's."""
    _check_inputs(q, k, v)
    scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)
    B, H, N, D = q.shape[0], q.shape[1], q.shape[2], q.shape[3]
    _check_tensor("G", G, "[B, H, N, D]", (B, H, N, D), FLOATS, q)
    return scale, G


def gla(
    q: Tensor, k: Tensor, v: Tensor, *, G: Tensor, scale: float | None = None,
    return_lse: bool = False, initial_state: dict[str, Tensor] | None = None,
    return_state: bool = False, backend: str = "auto",
) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
    """Attention of q [B, H, N, D] over k [B, HKV, M, D] and v [B, HKV, M, DV]: [B, H, N, DV].

    G: float[B, H, N, D]
    scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given
    initial_state: what an earlier call left of the tokens in front of these: a dict of tensors
    return_state: also return what this call leaves to a later one
    backend: "auto" (by the device of the tensors), "triton" or "cpu"
    """
    q, k, v = map(_as_autocast, (q, k, v))
    try:
        scale, G = _check(q, k, v, scale, G)
    except (TypeError, ValueError) as mistake:
        return _refused(mistake, q, v, return_lse)
    if return_lse:
        raise ValueError(
            "`return_lse` needs a normalization by sum(exp(s)): this one has no log-sum-exp",
        )
    if initial_state is not None or return_state:
        _check_state(initial_state, ("values", "gate"), q, k)
    query, key, v, steps, running = _per_token(q, k, v, scale, G)
    _tell_counters()
    out = _attention(query, key, v, steps, _choose(backend, q))
    if initial_state is not None:
        out = _with_state(initial_state, query, running, out)
    if k.shape[2] > 0:  # without a key the output is 0
        out = _output(out, q)
    else:
        out = out.to(q.dtype)
    return (out, _state_behind(initial_state, key, v, running)) if return_state else out
