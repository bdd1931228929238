"""Chunked linear attention on a GPU, where every feature fades by its own steps: forward and backward launches.

Enters and leaves: as `chunk_launch.py` says, with a step for each feature. Copied by name.
"""

import torch
import triton

from attnc.support.channel_gradients import _channel_keys, _channel_pairs, _channel_queries, _channel_values
from attnc.support.channel_kernels import _channel_outputs, _channel_weights
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
from attnc.support.chunk_tiles import _chunk_tiles, _dtype_of_products
from attnc.support.pair_launch import _look_again, _look_again_back
from attnc.support.torch_functions import _check_reach, _with_unit_stride


def _channel_forward_triton(f, g, v, steps, of_queries, of_keys, offset, with_sums):
    """Query i of f [B, H, N, F] over the keys j <= i + offset of g [B, HG, M, F] in its document.

    steps is [B, H, M, F]. Leaves out [B, H, N, DV], and the sums of weights [B, H, N] or None.
    Documents are sorted. Where a result is no number, all are computed pair by pair.
    """
    (B, H, N, F), (HG, M, DV) = f.shape, v.shape[1:]
    if with_sums and DV == 0:
        ones = _ones_like_values(g)
        sums, _ = _channel_forward_triton(f, g, ones, steps, of_queries, of_keys, offset, False)
        return f.new_empty((B, H, N, 0), dtype=torch.float32), sums.squeeze(3)
    out = f.new_zeros((B, H, N, DV), dtype=torch.float32)
    sums = f.new_zeros((B, H, N), dtype=torch.float32) if with_sums else None
    if 0 in (B, H, N, M, DV):
        return out, sums
    _check_reach("N + M", N + M)
    narrow, offset = _dtype_of_products(f, g, v), _within_reach(offset, N, M)
    f, g, v = map(_with_unit_stride, (f.to(narrow), g, v))
    steps, of_queries, of_keys = map(_contiguous, (steps, of_queries, of_keys))
    kinds = _chunk_kinds(narrow, False, of_keys, with_sums)
    decay = _decays_of_chunks(steps, narrow)
    states = _states_before_chunks(f, g, v, decay, of_keys, offset, kinds)
    weights = _weights_of_pairs(f, g, decay, of_queries, of_keys, offset, narrow, kinds)
    tiles = _chunk_tiles("outputs", narrow, DV)
    first, count = _tiles_of_queries(N, offset, tiles["CHUNK"])
    blocks = triton.cdiv(DV, tiles["BLOCK_V"])
    _channel_outputs[(count * blocks * H * B,)](
        f, v, decay, of_queries, of_keys, states, weights, out, sums, *f.stride()[:3],
        *v.stride()[:3], H, H // HG, states.shape[2] - 1, first, count, N, M, offset, F=F, DV=DV,
        **tiles, **kinds,
    )
    _look_again(out, sums, f, g, v, steps, of_queries, of_keys, offset)
    return out, sums


def _channel_backward_triton(dout, dsums, f, g, v, steps, of_queries, of_keys, offset):
    """Gradients of f, g, v and steps, in float32. `dsums` is None where there are no sums."""
    (B, H, N, F), (HG, M, DV) = f.shape, v.shape[1:]
    if dsums is not None and DV == 0:
        given = f, g, _ones_like_values(g), steps, of_queries, of_keys, offset
        df, dg, _, dsteps = _channel_backward_triton(dsums.unsqueeze(3), None, *given)
        return df, dg, torch.zeros_like(v), dsteps
    if 0 in (B, H, N, M, DV):
        return tuple(torch.zeros_like(x) for x in (f, g, v, steps))
    narrow, offset, group = _dtype_of_products(f, g, v), _within_reach(offset, N, M), H // HG
    f, g, v = map(_with_unit_stride, (f.to(narrow), g, v))
    dout, dsums = _for_products(dout, narrow), _contiguous(dsums)
    steps, of_queries, of_keys = map(_contiguous, (steps, of_queries, of_keys))
    kinds = _chunk_kinds(narrow, False, of_keys, dsums is not None)
    decay = _decays_of_chunks(steps, narrow)
    states = _states_before_chunks(f, g, v, decay, of_keys, offset, kinds)
    dstates, dends = _gradients_of_states(
        f, g, v, dout, dsums, decay, of_queries, of_keys, offset, states, kinds,
    )
    chunks = states.shape[2] - 1

    dv = f.new_empty((B, H, M, DV), dtype=torch.float32)
    weights = _weights_of_pairs(f, g, decay, of_queries, of_keys, offset, narrow, kinds)
    tiles = _chunk_tiles("outputs", narrow, DV)
    _channel_values[(chunks * triton.cdiv(DV, tiles["BLOCK_V"]) * H * B,)](
        g, dout, decay, of_keys, dstates, weights, dv, *g.stride()[:3], H, group, chunks, N, M,
        offset, F=F, DV=DV, **tiles, **kinds,
    )

    df = f.new_empty((B, H, N, F), dtype=torch.float32)
    dg = f.new_empty((B, H, M, F), dtype=torch.float32)
    dweights, ddecay = torch.zeros_like(weights), torch.empty_like(decay)
    tiles = _chunk_tiles("features", narrow, F)
    first, count = _tiles_of_queries(N, offset, tiles["CHUNK"])
    blocks = triton.cdiv(F, tiles["BLOCK_F"])
    _channel_queries[(count * blocks * H * B,)](
        v, dout, dsums, decay, of_queries, of_keys, states, dweights, df, *v.stride()[:3], H,
        group, chunks, first, count, N, M, offset, F=F, DV=DV, **tiles, **kinds,
    )
    _channel_keys[(chunks * blocks * H * B,)](
        v, decay, of_keys, dstates, dg, *v.stride()[:3], H, group, chunks, N, M, offset, F=F,
        DV=DV, **tiles, **kinds,
    )
    tiles = _tiles_of_pairs(narrow, warps=4)
    blocks = triton.cdiv(F, tiles["BLOCK_F"]) * (tiles["CHUNK"] // tiles["SUB"])
    _channel_pairs[(chunks * blocks * H * B,)](
        f, g, decay, of_queries, of_keys, dweights, df, dg, ddecay, *f.stride()[:3],
        *g.stride()[:3], H, group, chunks, N, M, offset, F=F, DOCUMENTS=kinds["DOCUMENTS"],
        DTYPE=kinds["DTYPE"], **tiles,
    )
    dsteps = _gradient_of_steps(ddecay, dends, M)
    _look_again_back(
        df, dg, dv, dsteps, dout, dsums, f, g, v, steps, of_queries, of_keys, offset,
    )
    return df, _of_heads_of_keys(dg, group), _of_heads_of_keys(dv, group), dsteps


def _weights_of_pairs(f, g, decay, of_queries, of_keys, offset, narrow, kinds):
    """Weights of the pairs of every chunk, [B, H, chunks, CHUNK, CHUNK]."""
    (B, H, N, F), (HG, M) = f.shape, g.shape[1:3]
    tiles = _tiles_of_pairs(narrow, warps=2)
    chunk = tiles["CHUNK"]
    chunks = triton.cdiv(M, chunk)
    weights = f.new_zeros((B, H, chunks, chunk, chunk), dtype=torch.float32)
    _channel_weights[(chunks * (chunk // tiles["SUB"]) * H * B,)](
        f, g, decay, of_queries, of_keys, weights, *f.stride()[:3], *g.stride()[:3], H, H // HG,
        chunks, N, M, offset, F=F, DOCUMENTS=kinds["DOCUMENTS"], DTYPE=kinds["DTYPE"], **tiles,
    )
    return weights


def _tiles_of_pairs(narrow, warps):
    """Where steps of features are taken apart within a chunk, by 16 tokens."""
    tiles = _chunk_tiles("states", narrow)
    sizes = {"CHUNK": tiles["CHUNK"], "SUB": 16, "BLOCK_F": tiles["BLOCK_F"]}
    return {**sizes, "num_warps": warps, "num_stages": 1, "enable_fp_fusion": True}
