"""Gradients of chunked linear attention: what v, f and g get from the pairs within a chunk, and from the states.

Enters: what `chunk_kernels.py` takes, the states before every chunk, and the gradients of outputs and of those states.
Leaves: the gradients of v, f, g and the decays. Copied by name; formulas are in `chunk_kernels.py`.
"""

import triton
import triton.language as tl

from attnc.support.chunk_parts import (
    _add_product,
    _add_weighted,
    _enters,
    _leaves,
    _load_block,
    _load_decay,
    _load_numbers,
    _load_turned,
    _meets,
    _own,
    _selected,
    _store_block,
    _store_numbers,
)
from attnc.support.kernels import _program


@triton.jit(do_not_specialize=["chunks", "N", "M", "offset"])
def _chunk_values(
    f_ptr,
    g_ptr,
    dout_ptr,
    decay_ptr,
    of_queries_ptr,
    of_keys_ptr,
    dstates_ptr,
    dv_ptr,
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
    DV: tl.constexpr,
    GATED: tl.constexpr,
    DOCUMENTS: tl.constexpr,
    SUMS: tl.constexpr,
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One program: a block of what the values of one chunk get from one head of queries."""
    BLOCKS: tl.constexpr = tl.cdiv(DV, BLOCK_V)
    ROWS: tl.constexpr = DV + SUMS
    tile_id, head_id, batch_id = _program(chunks * BLOCKS, H, True)
    chunk, v0 = tile_id // BLOCKS, tile_id % BLOCKS * BLOCK_V
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    head = b * H + h
    f_ptr += b * f_stride_b + h * f_stride_h
    g_ptr += b * g_stride_b + h // group * g_stride_h
    dstates_ptr += (head * (chunks + 1) + chunk + 1) * (ROWS * F)
    if DOCUMENTS:
        of_queries_ptr += b * N
        of_keys_ptr += b * M

    i, j = chunk * CHUNK - offset, chunk * CHUNK
    dv = tl.zeros([CHUNK, BLOCK_V], tl.float32)
    weights = tl.zeros([CHUNK, CHUNK], tl.float32)
    for f0 in range(0, F, BLOCK_F):
        g = _load_block(g_ptr, j, M, g_stride_t, f0, F, CHUNK, BLOCK_F)
        f = _load_turned(f_ptr, i, N, f_stride_t, f0, F, CHUNK, BLOCK_F)
        dstate = _load_turned(dstates_ptr, v0, DV, F, f0, F, BLOCK_V, BLOCK_F)
        weights = _add_product(weights, g, f, DTYPE)
        dv = _add_product(dv, g, dstate, DTYPE)

    decay, end = _load_decay(decay_ptr, head, chunk, chunks, GATED, CHUNK)
    at = j + (CHUNK - 1)
    leaves = _leaves(j, at, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
    dv = _selected(dv, leaves[:, None], (end - decay)[:, None], GATED)
    row, col = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    seen = _meets(i + col, j + row, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS)
    weights = _selected(weights, seen, decay[None, :] - decay[:, None], GATED)
    dout = _load_block(dout_ptr + head * N * DV, i, N, DV, v0, DV, CHUNK, BLOCK_V)
    dv = _add_weighted(dv, weights, dout, DTYPE)
    _store_block(dv_ptr + head * M * DV, dv, j, M, v0, DV, CHUNK, BLOCK_V)


@triton.jit(do_not_specialize=["chunks", "first_chunk", "tiles", "N", "M", "offset"])
def _chunk_queries(
    f_ptr,
    g_ptr,
    v_ptr,
    dout_ptr,
    dsums_ptr,
    decay_ptr,
    of_queries_ptr,
    of_keys_ptr,
    states_ptr,
    df_ptr,
    ddecay_ptr,
    f_stride_b,
    f_stride_h,
    f_stride_t,
    g_stride_b,
    g_stride_h,
    g_stride_t,
    v_stride_b,
    v_stride_h,
    v_stride_t,
    B,
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
    """One program: a block of the gradient of f of one head's queries that stand in one chunk.

    What the decays get through these features is f . df, without the pair of a query and the key at
    its position, which has no decay.
    """
    BLOCKS: tl.constexpr = tl.cdiv(F, BLOCK_F)
    ROWS: tl.constexpr = DV + SUMS
    tile_id, head_id, batch_id = _program(tiles * BLOCKS, H, True)
    chunk, block = first_chunk + tile_id // BLOCKS, tile_id % BLOCKS
    f0 = block * BLOCK_F
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    head = b * H + h
    f_ptr += b * f_stride_b + h * f_stride_h
    g_ptr += b * g_stride_b + h // group * g_stride_h
    v_ptr += b * v_stride_b + h // group * v_stride_h
    before = tl.minimum(tl.maximum(chunk, 0), chunks)
    states_ptr += (head * (chunks + 1) + before) * (ROWS * F)
    if DOCUMENTS:
        of_queries_ptr += b * N
        of_keys_ptr += b * M

    i, j = chunk * CHUNK - offset, chunk * CHUNK
    df = tl.zeros([CHUNK, BLOCK_F], tl.float32)
    dweights = tl.zeros([CHUNK, CHUNK], tl.float32)
    for v0 in range(0, DV, BLOCK_V):
        dout = _load_block(dout_ptr + head * N * DV, i, N, DV, v0, DV, CHUNK, BLOCK_V)
        v = _load_turned(v_ptr, j, M, v_stride_t, v0, DV, CHUNK, BLOCK_V)
        state = _load_block(states_ptr, v0, DV, F, f0, F, BLOCK_V, BLOCK_F)
        dweights = _add_product(dweights, dout, v, DTYPE)
        df = _add_product(df, dout, state, DTYPE)
    if SUMS:
        dsums = _load_numbers(dsums_ptr + head * N, i, N, CHUNK)
        df += dsums[:, None] * _load_numbers(states_ptr + DV * F, f0, F, BLOCK_F)[None, :]
        dweights += dsums[:, None]

    decay, _ = _load_decay(decay_ptr, head, chunk, chunks, GATED, CHUNK)
    enters = _enters(j, j - 1, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
    df = _selected(df, enters[:, None], decay[:, None], GATED)
    row, col = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    seen = _meets(i + row, j + col, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS)
    g = _load_block(g_ptr, j, M, g_stride_t, f0, F, CHUNK, BLOCK_F)
    if GATED:
        own = _own(dweights, i, j, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
        dweights = _selected(dweights, seen & (row > col), decay[:, None] - decay[None, :], True)
        df = _add_product(df, dweights, g, DTYPE)
        f = _load_block(f_ptr, i, N, f_stride_t, f0, F, CHUNK, BLOCK_F)
        ddecay_ptr += (block * B * H + head) * chunks * CHUNK
        _store_numbers(ddecay_ptr, tl.sum(f * df, 1), j, chunks * CHUNK, CHUNK)
        df += own[:, None] * g
    else:
        df = _add_product(df, tl.where(seen, dweights, 0.0), g, DTYPE)
    _store_block(df_ptr + head * N * F, df, i, N, f0, F, CHUNK, BLOCK_F)


@triton.jit(do_not_specialize=["chunks", "N", "M", "offset"])
def _chunk_keys(
    f_ptr,
    g_ptr,
    v_ptr,
    dout_ptr,
    dsums_ptr,
    decay_ptr,
    of_queries_ptr,
    of_keys_ptr,
    dstates_ptr,
    dg_ptr,
    ddecay_ptr,
    f_stride_b,
    f_stride_h,
    f_stride_t,
    g_stride_b,
    g_stride_h,
    g_stride_t,
    v_stride_b,
    v_stride_h,
    v_stride_t,
    B,
    H,
    group,
    chunks,
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
    """One program: a block of what the features of one chunk's keys get from one head of queries.

    What the decays get through these features is -g . dg, without the pair of a key and the query
    at its position.
    """
    BLOCKS: tl.constexpr = tl.cdiv(F, BLOCK_F)
    ROWS: tl.constexpr = DV + SUMS
    tile_id, head_id, batch_id = _program(chunks * BLOCKS, H, True)
    chunk, block = tile_id // BLOCKS, tile_id % BLOCKS
    f0 = block * BLOCK_F
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    head = b * H + h
    f_ptr += b * f_stride_b + h * f_stride_h
    g_ptr += b * g_stride_b + h // group * g_stride_h
    v_ptr += b * v_stride_b + h // group * v_stride_h
    dstates_ptr += (head * (chunks + 1) + chunk + 1) * (ROWS * F)
    if DOCUMENTS:
        of_queries_ptr += b * N
        of_keys_ptr += b * M

    i, j = chunk * CHUNK - offset, chunk * CHUNK
    dg = tl.zeros([CHUNK, BLOCK_F], tl.float32)
    dweights = tl.zeros([CHUNK, CHUNK], tl.float32)
    for v0 in range(0, DV, BLOCK_V):
        v = _load_block(v_ptr, j, M, v_stride_t, v0, DV, CHUNK, BLOCK_V)
        dout = _load_turned(dout_ptr + head * N * DV, i, N, DV, v0, DV, CHUNK, BLOCK_V)
        dstate = _load_block(dstates_ptr, v0, DV, F, f0, F, BLOCK_V, BLOCK_F)
        dweights = _add_product(dweights, v, dout, DTYPE)
        dg = _add_product(dg, v, dstate, DTYPE)
    if SUMS:
        dg += _load_numbers(dstates_ptr + DV * F, f0, F, BLOCK_F)[None, :]
        dweights += _load_numbers(dsums_ptr + head * N, i, N, CHUNK)[None, :]

    decay, end = _load_decay(decay_ptr, head, chunk, chunks, GATED, CHUNK)
    at = j + (CHUNK - 1)
    leaves = _leaves(j, at, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
    dg = _selected(dg, leaves[:, None], (end - decay)[:, None], GATED)
    row, col = tl.arange(0, CHUNK)[:, None], tl.arange(0, CHUNK)[None, :]
    seen = _meets(i + col, j + row, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS)
    f = _load_block(f_ptr, i, N, f_stride_t, f0, F, CHUNK, BLOCK_F)
    if GATED:
        own = _own(dweights, i, j, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
        dweights = _selected(dweights, seen & (col > row), decay[None, :] - decay[:, None], True)
        dg = _add_product(dg, dweights, f, DTYPE)
        g = _load_block(g_ptr, j, M, g_stride_t, f0, F, CHUNK, BLOCK_F)
        ddecay_ptr += (block * B * H + head) * chunks * CHUNK
        _store_numbers(ddecay_ptr, -tl.sum(g * dg, 1), j, chunks * CHUNK, CHUNK)
        dg += own[:, None] * f
    else:
        dg = _add_product(dg, tl.where(seen, dweights, 0.0), f, DTYPE)
    _store_block(dg_ptr + head * M * F, dg, j, M, f0, F, CHUNK, BLOCK_F)
