"""Kernels of chunked linear attention: states from chunk to chunk, and the pairs within a chunk.

Enters: features f of queries and g of keys, values v, what queries and keys of a chunk have lost since it began, and
the documents of both. Leaves: outputs. Copied by name. States are made in `chunk_states.py`, and gradients in
`chunk_gradients.py`.

A query stands at the position `i + offset` among the keys. With L the sum of a chunk's steps, E the last L, and S_c the
state before chunk c, transposed as it is stored [DV, F]:

    S_{c+1} = exp(E) S_c + sum_s exp(E - L_s) v_s g_s^T,    dS_c = exp(E) dS_{c+1} + sum_t exp(L_t) dout_t f_t^T
    out_t   = exp(L_t) S_c f_t + sum_{s <= t} exp(L_t - L_s) (f_t . g_s) v_s

Sums of weights are a value that is 1 for every key: one row more of a state. Every exponential belongs to a pair that
is seen (a query and a key, or the ends of chunks between them); what is not seen may be infinite, so it is selected
away and never multiplied by zero. No result of a product is transposed: where that is needed, it is a product of its
own, since Triton 3.4 to 3.7.0 store the transpose of a wgmma wrongly (fla-org/flash-linear-attention#640). The product
that waits for a state is the last of its loop, so that none is under way when the loop begins anew.
"""

import triton
import triton.language as tl

from attnc.support.chunk_parts import (
    _add_product,
    _enters,
    _load_block,
    _load_decay,
    _load_numbers,
    _load_turned,
    _meets,
    _selected,
    _store_block,
    _store_numbers,
)
from attnc.support.kernels import _program


@triton.jit(do_not_specialize=["chunks", "first_chunk", "tiles", "N", "M", "offset"])
def _chunk_outputs(
    f_ptr,
    g_ptr,
    v_ptr,
    decay_ptr,
    of_queries_ptr,
    of_keys_ptr,
    states_ptr,
    out_ptr,
    sums_ptr,
    f_stride_b,
    f_stride_h,
    f_stride_t,
    g_stride_b,
    g_stride_h,
    g_stride_t,
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
    f_ptr += b * f_stride_b + h * f_stride_h
    g_ptr += b * g_stride_b + h // group * g_stride_h
    v_ptr += b * v_stride_b + h // group * v_stride_h
    before = tl.minimum(tl.maximum(chunk, 0), chunks)
    states_ptr += ((b * H + h) * (chunks + 1) + before) * (ROWS * F)
    if DOCUMENTS:
        of_queries_ptr += b * N
        of_keys_ptr += b * M

    i, j = chunk * CHUNK - offset, chunk * CHUNK
    acc = tl.zeros([CHUNK, BLOCK_V], tl.float32)
    weights = tl.zeros([CHUNK, CHUNK], tl.float32)
    total = tl.zeros([CHUNK], tl.float32)
    for f0 in range(0, F, BLOCK_F):
        f = _load_block(f_ptr, i, N, f_stride_t, f0, F, CHUNK, BLOCK_F)
        g = _load_turned(g_ptr, j, M, g_stride_t, f0, F, CHUNK, BLOCK_F)
        state = _load_turned(states_ptr, v0, DV, F, f0, F, BLOCK_V, BLOCK_F)
        weights = _add_product(weights, f, g, DTYPE)
        acc = _add_product(acc, f, state, DTYPE)
        if SUMS:
            total += tl.sum(f * _load_numbers(states_ptr + DV * F, f0, F, BLOCK_F)[None, :], 1)

    decay, _ = _load_decay(decay_ptr, b * H + h, chunk, chunks, GATED, CHUNK)
    enters = _enters(j, j - 1, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
    acc = _selected(acc, enters[:, None], decay[:, None], GATED)
    row, col = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    seen = _meets(i + row, j + col, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS)
    weights = _selected(weights, seen, decay[:, None] - decay[None, :], GATED)
    v = _load_block(v_ptr, j, M, v_stride_t, v0, DV, CHUNK, BLOCK_V)
    acc = _add_product(acc, weights, v, DTYPE)
    _store_block(out_ptr + (b * H + h) * N * DV, acc, i, N, v0, DV, CHUNK, BLOCK_V)
    if SUMS:
        total = _selected(total, enters, decay, GATED) + tl.sum(weights, 1)
        if v0 == 0:
            _store_numbers(sums_ptr + (b * H + h) * N, total, i, N, CHUNK)
