"""Kernels of chunked linear attention whose gates have a number for every feature, a channel.

Enters: what `chunk_kernels.py` says, with decays of channels, and the states that are made there. Leaves: weights of
pairs, and outputs. Copied by name.

The exponential of a pair then differs from feature to feature, so it goes to both factors of a product: between chunks
by way of the end of a chunk, and within a chunk by way of the end of a block of 16 tokens that lies between query and
key. Pairs within such a block are taken token by token, each with its own difference.
"""

import triton
import triton.language as tl

from attnc.support.chunk_parts import (
    _add_product,
    _enters,
    _leaves,
    _load_block,
    _load_numbers,
    _load_row,
    _load_turned,
    _meets,
    _selected,
    _store_block,
    _store_numbers,
)
from attnc.support.kernels import _program


@triton.jit(do_not_specialize=["chunks", "N", "M", "offset"])
def _channel_weights(
    f_ptr,
    g_ptr,
    decay_ptr,
    of_queries_ptr,
    of_keys_ptr,
    weights_ptr,
    f_stride_b,
    f_stride_h,
    f_stride_t,
    g_stride_b,
    g_stride_h,
    g_stride_t,
    H,
    group,
    chunks,
    N,
    M,
    offset,
    F: tl.constexpr,
    DOCUMENTS: tl.constexpr,
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
    SUB: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    """One program: weights of the pairs of SUB queries and the keys of their chunk up to them."""
    PARTS: tl.constexpr = CHUNK // SUB
    tile_id, head_id, batch_id = _program(chunks * PARTS, H, True)
    chunk, part = tile_id // PARTS, tile_id % PARTS
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    head = b * H + h
    f_ptr += b * f_stride_b + h * f_stride_h
    g_ptr += b * g_stride_b + h // group * g_stride_h
    decay_ptr += head * chunks * (CHUNK * F)
    weights_ptr += (head * chunks + chunk) * (CHUNK * CHUNK)
    if DOCUMENTS:
        of_queries_ptr += b * N
        of_keys_ptr += b * M

    end = chunks * CHUNK
    t0 = chunk * CHUNK + part * SUB
    enters = _enters(t0, t0 - 1, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, SUB)
    for before in range(0, part):
        s0 = chunk * CHUNK + before * SUB
        leaves = _leaves(s0, t0 - 1, of_keys_ptr, N, M, offset, DOCUMENTS, SUB)
        weights = tl.zeros([SUB, SUB], tl.float32)
        for f0 in range(0, F, BLOCK_F):
            between = _load_row(decay_ptr, t0 - 1, end, f0, F, BLOCK_F)
            f = _load_block(f_ptr, t0 - offset, N, f_stride_t, f0, F, SUB, BLOCK_F)
            of_f = _load_block(decay_ptr, t0, end, F, f0, F, SUB, BLOCK_F)
            g = _load_turned(g_ptr, s0, M, g_stride_t, f0, F, SUB, BLOCK_F)
            of_g = _load_turned(decay_ptr, s0, end, F, f0, F, SUB, BLOCK_F)
            f = _selected(f, enters[:, None], of_f - between[None, :], True)
            g = _selected(g, leaves[None, :], between[:, None] - of_g, True)
            weights = _add_product(weights, f, g, DTYPE)
        _store_block(weights_ptr, weights, part * SUB, CHUNK, before * SUB, CHUNK, SUB, SUB)

    row = tl.arange(0, SUB)
    weights = tl.zeros([SUB, SUB], tl.float32)
    for f0 in range(0, F, BLOCK_F):
        f = _load_block(f_ptr, t0 - offset, N, f_stride_t, f0, F, SUB, BLOCK_F)
        of_f = _load_block(decay_ptr, t0, end, F, f0, F, SUB, BLOCK_F)
        for s in range(0, SUB):
            g = _load_block(g_ptr, t0 + s, M, g_stride_t, f0, F, 1, BLOCK_F)
            of_g = _load_row(decay_ptr, t0 + s, end, f0, F, BLOCK_F)
            seen = _meets(
                t0 - offset + row, t0 + s, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS
            )
            products = _selected(f * g.to(tl.float32), seen[:, None], of_f - of_g[None, :], True)
            weights += tl.where((row == s)[None, :], tl.sum(products, 1)[:, None], 0.0)
    _store_block(weights_ptr, weights, part * SUB, CHUNK, part * SUB, CHUNK, SUB, SUB)


@triton.jit(do_not_specialize=["chunks", "first_chunk", "tiles", "N", "M", "offset"])
def _channel_outputs(
    f_ptr,
    v_ptr,
    decay_ptr,
    of_queries_ptr,
    of_keys_ptr,
    states_ptr,
    weights_ptr,
    out_ptr,
    sums_ptr,
    f_stride_b,
    f_stride_h,
    f_stride_t,
    v_stride_b,
    v_stride_h,
    v_stride_t,
    H,
    group,
    chunks,
    first_chunk,
    tiles,
    N,
    M,
    offset,
    F: tl.constexpr,
    DV: tl.constexpr,
    GATED: tl.constexpr,
    DOCUMENTS: tl.constexpr,
    SUMS: tl.constexpr,
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One program: a block of the outputs of one head's queries that stand in one chunk."""
    BLOCKS: tl.constexpr = tl.cdiv(DV, BLOCK_V)
    ROWS: tl.constexpr = DV + SUMS
    tile_id, head_id, batch_id = _program(tiles * BLOCKS, H, True)
    chunk, v0 = first_chunk + tile_id // BLOCKS, tile_id % BLOCKS * BLOCK_V
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    head = b * H + h
    f_ptr += b * f_stride_b + h * f_stride_h
    v_ptr += b * v_stride_b + h // group * v_stride_h
    decay_ptr += head * chunks * (CHUNK * F)
    weights_ptr += head * chunks * (CHUNK * CHUNK)
    before = tl.minimum(tl.maximum(chunk, 0), chunks)
    states_ptr += (head * (chunks + 1) + before) * (ROWS * F)
    if DOCUMENTS:
        of_queries_ptr += b * N
        of_keys_ptr += b * M

    i, j = chunk * CHUNK - offset, chunk * CHUNK
    enters = _enters(j, j - 1, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
    acc = tl.zeros([CHUNK, BLOCK_V], tl.float32)
    total = tl.zeros([CHUNK], tl.float32)
    for f0 in range(0, F, BLOCK_F):
        f = _load_block(f_ptr, i, N, f_stride_t, f0, F, CHUNK, BLOCK_F)
        decay = _load_block(decay_ptr, j, chunks * CHUNK, F, f0, F, CHUNK, BLOCK_F)
        f = _selected(f, enters[:, None], decay, True)
        state = _load_turned(states_ptr, v0, DV, F, f0, F, BLOCK_V, BLOCK_F)
        acc = _add_product(acc, f, state, DTYPE)
        if SUMS:
            total += tl.sum(f * _load_numbers(states_ptr + DV * F, f0, F, BLOCK_F)[None, :], 1)
    weights = _load_block(weights_ptr, j, chunks * CHUNK, CHUNK, 0, CHUNK, CHUNK, CHUNK)
    v = _load_block(v_ptr, j, M, v_stride_t, v0, DV, CHUNK, BLOCK_V)
    acc = _add_product(acc, weights, v, DTYPE)
    _store_block(out_ptr + head * N * DV, acc, i, N, v0, DV, CHUNK, BLOCK_V)
    if SUMS:
        total += tl.sum(weights, 1)
        if v0 == 0:
            _store_numbers(sums_ptr + head * N, total, i, N, CHUNK)
