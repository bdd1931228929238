"""Chunked linear attention on a GPU, where nothing fades or every feature alike: forward and backward launches.

Enters: features, values, steps and documents of a call. Leaves: outputs and sums, and gradients, in float32. Copied by
name.
"""

import torch
import triton

from attnc.support.chunk_call import (
    _chunk_kinds,
    _contiguous,
    _decays_of_chunks,
    _for_products,
    _gradient_of_steps,
    _gradients_of_states,
    _of_heads_of_keys,
    _ones_like_values,
    _states_before_chunks,
    _tiles_of_queries,
    _within_reach,
)
from attnc.support.chunk_gradients import _chunk_keys, _chunk_queries, _chunk_values
from attnc.support.chunk_kernels import _chunk_outputs
from attnc.support.chunk_tiles import _chunk_tiles, _dtype_of_products
from attnc.support.pair_launch import _look_again, _look_again_back
from attnc.support.torch_functions import _check_reach, _with_unit_stride


def _chunked_forward_triton(f, g, v, steps, of_queries, of_keys, offset, with_sums):
    """Query i of f [B, H, N, F] over the keys j <= i + offset of g [B, HG, M, F] in its document.

    steps is None or [B, H, M]. Leaves out [B, H, N, DV], and the sums of weights [B, H, N] or None.
    Documents are sorted. Where a result is no number, all are computed pair by pair.
    """
    (B, H, N, F), (HG, M, DV) = f.shape, v.shape[1:]
    if with_sums and DV == 0:
        ones = _ones_like_values(g)
        sums, _ = _chunked_forward_triton(f, g, ones, steps, of_queries, of_keys, offset, False)
        return f.new_empty((B, H, N, 0), dtype=torch.float32), sums.squeeze(3)
    out = f.new_zeros((B, H, N, DV), dtype=torch.float32)
    sums = f.new_zeros((B, H, N), dtype=torch.float32) if with_sums else None
    if 0 in (B, H, N, M, DV):
        return out, sums
    _check_reach("N + M", N + M)
    narrow, offset = _dtype_of_products(f, g, v), _within_reach(offset, N, M)
    f, g, v = map(_with_unit_stride, (f.to(narrow), g, v))
    steps, of_queries, of_keys = map(_contiguous, (steps, of_queries, of_keys))
    kinds = _chunk_kinds(narrow, steps is not None, of_keys, with_sums)
    decay = _decays_of_chunks(steps, narrow)
    states = _states_before_chunks(f, g, v, decay, of_keys, offset, kinds)
    tiles = _chunk_tiles("outputs", narrow, DV)
    first, count = _tiles_of_queries(N, offset, tiles["CHUNK"])
    blocks = triton.cdiv(DV, tiles["BLOCK_V"])
    _chunk_outputs[(count * blocks * H * B,)](
        f, g, v, decay, of_queries, of_keys, states, out, sums, *f.stride()[:3], *g.stride()[:3],
        *v.stride()[:3], H, H // HG, states.shape[2] - 1, first, count, N, M, offset, F=F, DV=DV,
        **tiles, **kinds,
    )
    _look_again(out, sums, f, g, v, steps, of_queries, of_keys, offset)
    return out, sums


def _chunked_backward_triton(dout, dsums, f, g, v, steps, of_queries, of_keys, offset):
    """Gradients of f, g, v and steps, in float32. `dsums` is None where there are no sums."""
    (B, H, N, F), (HG, M, DV) = f.shape, v.shape[1:]
    if dsums is not None and DV == 0:
        given = f, g, _ones_like_values(g), steps, of_queries, of_keys, offset
        df, dg, _, dsteps = _chunked_backward_triton(dsums.unsqueeze(3), None, *given)
        return df, dg, torch.zeros_like(v), dsteps
    if 0 in (B, H, N, M, DV):
        return tuple(None if x is None else torch.zeros_like(x) for x in (f, g, v, steps))
    narrow, offset, group = _dtype_of_products(f, g, v), _within_reach(offset, N, M), H // HG
    f, g, v = map(_with_unit_stride, (f.to(narrow), g, v))
    dout, dsums = _for_products(dout, narrow), _contiguous(dsums)
    steps, of_queries, of_keys = map(_contiguous, (steps, of_queries, of_keys))
    kinds = _chunk_kinds(narrow, steps is not None, of_keys, dsums is not None)
    decay = _decays_of_chunks(steps, narrow)
    states = _states_before_chunks(f, g, v, decay, of_keys, offset, kinds)
    dstates, dends = _gradients_of_states(
        f, g, v, dout, dsums, decay, of_queries, of_keys, offset, states, kinds,
    )
    chunks = states.shape[2] - 1

    dv = f.new_empty((B, H, M, DV), dtype=torch.float32)
    tiles = _chunk_tiles("outputs", narrow, DV)
    _chunk_values[(chunks * triton.cdiv(DV, tiles["BLOCK_V"]) * H * B,)](
        f, g, dout, decay, of_queries, of_keys, dstates, dv, *f.stride()[:3], *g.stride()[:3], H,
        group, chunks, N, M, offset, F=F, DV=DV, **tiles, **kinds,
    )

    df = f.new_empty((B, H, N, F), dtype=torch.float32)
    dg = f.new_empty((B, H, M, F), dtype=torch.float32)
    tiles = _chunk_tiles("features", narrow, F)
    first, count = _tiles_of_queries(N, offset, tiles["CHUNK"])
    blocks = triton.cdiv(F, tiles["BLOCK_F"])
    # Of queries and of keys, which give a part for each block of features.
    size = (2, 0) if decay is None else (2, blocks, *decay.shape)
    ddecay = f.new_zeros(size, dtype=torch.float32)
    of_query, of_key = ddecay
    _chunk_queries[(count * blocks * H * B,)](
        f, g, v, dout, dsums, decay, of_queries, of_keys, states, df, of_query, *f.stride()[:3],
        *g.stride()[:3], *v.stride()[:3], B, H, group, chunks, first, count, N, M, offset, F=F,
        DV=DV, **tiles, **kinds,
    )
    _chunk_keys[(chunks * blocks * H * B,)](
        f, g, v, dout, dsums, decay, of_queries, of_keys, dstates, dg, of_key, *f.stride()[:3],
        *g.stride()[:3], *v.stride()[:3], B, H, group, chunks, N, M, offset, F=F, DV=DV, **tiles,
        **kinds,
    )
    dsteps = None
    if decay is not None:
        dsteps = _gradient_of_steps(ddecay.sum((0, 1)), dends.sum(3), M)
    _look_again_back(
        df, dg, dv, dsteps, dout, dsums, f, g, v, steps, of_queries, of_keys, offset,
    )
    return df, _of_heads_of_keys(dg, group), _of_heads_of_keys(dv, group), dsteps
