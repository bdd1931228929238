"""Gradients of chunked linear attention whose gates have a number for every feature.

Enters: what `channel_kernels.py` takes and leaves, the gradients of outputs, and those of the states. Leaves: the
gradients of v, f, g and the decays. Copied by name.
"""

import triton
import triton.language as tl

from attnc.support.chunk_parts import (
    _add_product,
    _add_weighted,
    _enters,
    _leaves,
    _load_block,
    _load_numbers,
    _load_row,
    _load_turned,
    _meets,
    _selected,
    _store_block,
)
from attnc.support.kernels import _program


@triton.jit(do_not_specialize=["chunks", "N", "M", "offset"])
def _channel_values(
    g_ptr,
    dout_ptr,
    decay_ptr,
    of_keys_ptr,
    dstates_ptr,
    weights_ptr,
    dv_ptr,
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
    g_ptr += b * g_stride_b + h // group * g_stride_h
    decay_ptr += head * chunks * (CHUNK * F)
    weights_ptr += head * chunks * (CHUNK * CHUNK)
    dstates_ptr += (head * (chunks + 1) + chunk + 1) * (ROWS * F)
    if DOCUMENTS:
        of_keys_ptr += b * M

    i, j = chunk * CHUNK - offset, chunk * CHUNK
    at = j + (CHUNK - 1)
    leaves = _leaves(j, at, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
    dv = tl.zeros([CHUNK, BLOCK_V], tl.float32)
    for f0 in range(0, F, BLOCK_F):
        g = _load_block(g_ptr, j, M, g_stride_t, f0, F, CHUNK, BLOCK_F)
        decay = _load_block(decay_ptr, j, chunks * CHUNK, F, f0, F, CHUNK, BLOCK_F)
        last = _load_row(decay_ptr, at, chunks * CHUNK, f0, F, BLOCK_F)
        g = _selected(g, leaves[:, None], last[None, :] - decay, True)
        dstate = _load_turned(dstates_ptr, v0, DV, F, f0, F, BLOCK_V, BLOCK_F)
        dv = _add_product(dv, g, dstate, DTYPE)
    weights = _load_turned(weights_ptr, j, chunks * CHUNK, CHUNK, 0, CHUNK, CHUNK, CHUNK)
    dout = _load_block(dout_ptr + head * N * DV, i, N, DV, v0, DV, CHUNK, BLOCK_V)
    dv = _add_weighted(dv, weights, dout, DTYPE)
    _store_block(dv_ptr + head * M * DV, dv, j, M, v0, DV, CHUNK, BLOCK_V)


@triton.jit(do_not_specialize=["chunks", "first_chunk", "tiles", "N", "M", "offset"])
def _channel_queries(
    v_ptr,
    dout_ptr,
    dsums_ptr,
    decay_ptr,
    of_queries_ptr,
    of_keys_ptr,
    states_ptr,
    dweights_ptr,
    df_ptr,
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
    """One program: what a block of the features of one chunk's queries gets by way of the state.

    The program of the first features leaves what the weights of the chunk's pairs get.
    """
    BLOCKS: tl.constexpr = tl.cdiv(F, BLOCK_F)
    ROWS: tl.constexpr = DV + SUMS
    tile_id, head_id, batch_id = _program(tiles * BLOCKS, H, True)
    chunk, f0 = first_chunk + tile_id // BLOCKS, tile_id % BLOCKS * BLOCK_F
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    head = b * H + h
    v_ptr += b * v_stride_b + h // group * v_stride_h
    decay_ptr += head * chunks * (CHUNK * F)
    dweights_ptr += head * chunks * (CHUNK * CHUNK)
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
    if f0 == 0:
        _store_block(dweights_ptr, dweights, j, chunks * CHUNK, 0, CHUNK, CHUNK, CHUNK)
    decay = _load_block(decay_ptr, j, chunks * CHUNK, F, f0, F, CHUNK, BLOCK_F)
    enters = _enters(j, j - 1, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
    df = _selected(df, enters[:, None], decay, True)
    _store_block(df_ptr + head * N * F, df, i, N, f0, F, CHUNK, BLOCK_F)


@triton.jit(do_not_specialize=["chunks", "N", "M", "offset"])
def _channel_keys(
    v_ptr,
    decay_ptr,
    of_keys_ptr,
    dstates_ptr,
    dg_ptr,
    v_stride_b,
    v_stride_h,
    v_stride_t,
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
    """One program: what a block of the features of one chunk's keys gets by way of the state."""
    BLOCKS: tl.constexpr = tl.cdiv(F, BLOCK_F)
    ROWS: tl.constexpr = DV + SUMS
    tile_id, head_id, batch_id = _program(chunks * BLOCKS, H, True)
    chunk, f0 = tile_id // BLOCKS, tile_id % BLOCKS * BLOCK_F
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    head = b * H + h
    v_ptr += b * v_stride_b + h // group * v_stride_h
    decay_ptr += head * chunks * (CHUNK * F)
    dstates_ptr += (head * (chunks + 1) + chunk + 1) * (ROWS * F)
    if DOCUMENTS:
        of_keys_ptr += b * M

    j = chunk * CHUNK
    at = j + (CHUNK - 1)
    dg = tl.zeros([CHUNK, BLOCK_F], tl.float32)
    for v0 in range(0, DV, BLOCK_V):
        v = _load_block(v_ptr, j, M, v_stride_t, v0, DV, CHUNK, BLOCK_V)
        dstate = _load_block(dstates_ptr, v0, DV, F, f0, F, BLOCK_V, BLOCK_F)
        dg = _add_product(dg, v, dstate, DTYPE)
    if SUMS:
        dg += _load_numbers(dstates_ptr + DV * F, f0, F, BLOCK_F)[None, :]
    decay = _load_block(decay_ptr, j, chunks * CHUNK, F, f0, F, CHUNK, BLOCK_F)
    last = _load_row(decay_ptr, at, chunks * CHUNK, f0, F, BLOCK_F)
    leaves = _leaves(j, at, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
    dg = _selected(dg, leaves[:, None], last[None, :] - decay, True)
    _store_block(dg_ptr + head * M * F, dg, j, M, f0, F, CHUNK, BLOCK_F)


@triton.jit(do_not_specialize=["chunks", "N", "M", "offset"])
def _channel_pairs(
    f_ptr,
    g_ptr,
    decay_ptr,
    of_queries_ptr,
    of_keys_ptr,
    dweights_ptr,
    df_ptr,
    dg_ptr,
    ddecay_ptr,
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
    """One program: what a block of the features at SUB positions gets from pairs of their chunk.

    It is added to what came by way of the states. What the decays get is f * df - g * dg, without
    the pair of a query and the key at its position.
    """
    PARTS: tl.constexpr = CHUNK // SUB
    BLOCKS: tl.constexpr = tl.cdiv(F, BLOCK_F)
    tile_id, head_id, batch_id = _program(chunks * PARTS * BLOCKS, H, True)
    f0, part, chunk = (
        tile_id % BLOCKS * BLOCK_F,
        tile_id // BLOCKS % PARTS,
        tile_id // BLOCKS // PARTS,
    )
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    head = b * H + h
    f_ptr += b * f_stride_b + h * f_stride_h
    g_ptr += b * g_stride_b + h // group * g_stride_h
    decay_ptr += head * chunks * (CHUNK * F)
    ddecay_ptr += head * chunks * (CHUNK * F)
    dweights_ptr += (head * chunks + chunk) * (CHUNK * CHUNK)
    df_ptr += head * N * F
    dg_ptr += head * M * F
    if DOCUMENTS:
        of_queries_ptr += b * N
        of_keys_ptr += b * M

    end = chunks * CHUNK
    t0 = chunk * CHUNK + part * SUB
    i0, last = t0 - offset, t0 + (SUB - 1)
    f = _load_block(f_ptr, i0, N, f_stride_t, f0, F, SUB, BLOCK_F).to(tl.float32)
    g = _load_block(g_ptr, t0, M, g_stride_t, f0, F, SUB, BLOCK_F).to(tl.float32)
    decay = _load_block(decay_ptr, t0, end, F, f0, F, SUB, BLOCK_F)
    df = _load_block(df_ptr, i0, N, F, f0, F, SUB, BLOCK_F)
    dg = _load_block(dg_ptr, t0, M, F, f0, F, SUB, BLOCK_F)

    # Keys of the blocks before, by way of the last of those.
    acc = tl.zeros([SUB, BLOCK_F], tl.float32)
    if part > 0:
        between = _load_row(decay_ptr, t0 - 1, end, f0, F, BLOCK_F)
        for other in range(0, part):
            s0 = chunk * CHUNK + other * SUB
            leaves = _leaves(s0, t0 - 1, of_keys_ptr, N, M, offset, DOCUMENTS, SUB)
            x = _load_block(g_ptr, s0, M, g_stride_t, f0, F, SUB, BLOCK_F)
            of_x = _load_block(decay_ptr, s0, end, F, f0, F, SUB, BLOCK_F)
            x = _selected(x, leaves[:, None], between[None, :] - of_x, True)
            dweights = _load_block(
                dweights_ptr,
                part * SUB,
                CHUNK,
                CHUNK,
                other * SUB,
                CHUNK,
                SUB,
                SUB,
            )
            acc = _add_product(acc, dweights, x, DTYPE)
        enters = _enters(t0, t0 - 1, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, SUB)
        df += _selected(acc, enters[:, None], decay - between[None, :], True)

    # Queries of the blocks behind, by way of the last key of this one.
    acc = tl.zeros([SUB, BLOCK_F], tl.float32)
    between = _load_row(decay_ptr, last, end, f0, F, BLOCK_F)
    for other in range(part + 1, PARTS):
        s0 = chunk * CHUNK + other * SUB
        enters = _enters(s0, last, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, SUB)
        x = _load_block(f_ptr, s0 - offset, N, f_stride_t, f0, F, SUB, BLOCK_F)
        of_x = _load_block(decay_ptr, s0, end, F, f0, F, SUB, BLOCK_F)
        x = _selected(x, enters[:, None], of_x - between[None, :], True)
        dweights = _load_turned(
            dweights_ptr, other * SUB, CHUNK, CHUNK, part * SUB, CHUNK, SUB, SUB
        )
        acc = _add_product(acc, dweights, x, DTYPE)
    leaves = _leaves(t0, last, of_keys_ptr, N, M, offset, DOCUMENTS, SUB)
    dg += _selected(acc, leaves[:, None], between[None, :] - decay, True)

    # Its own pairs, token by token: each is the key of later queries and the query of earlier keys.
    row = tl.arange(0, SUB)
    for s in range(0, SUB):
        of_s = _load_row(decay_ptr, t0 + s, end, f0, F, BLOCK_F)[None, :]
        g_s = _load_block(g_ptr, t0 + s, M, g_stride_t, f0, F, 1, BLOCK_F).to(tl.float32)
        f_s = _load_block(f_ptr, i0 + s, N, f_stride_t, f0, F, 1, BLOCK_F).to(tl.float32)
        at = dweights_ptr + part * (SUB * CHUNK + SUB)
        later = _meets(i0 + row, t0 + s, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS)
        earlier = _meets(i0 + s, t0 + row, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS)
        to_later, to_earlier = tl.load(at + (row * CHUNK + s)), tl.load(at + (s * CHUNK + row))
        later, earlier = (later & (row > s))[:, None], (earlier & (row < s))[:, None]
        df += _selected(to_later[:, None] * g_s, later, decay - of_s, True)
        dg += _selected(to_earlier[:, None] * f_s, earlier, of_s - decay, True)

    _store_block(ddecay_ptr, f * df - g * dg, t0, end, f0, F, SUB, BLOCK_F)
    own = tl.load(dweights_ptr + part * (SUB * CHUNK + SUB) + row * (CHUNK + 1))
    seen = _meets(i0 + row, t0 + row, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS)
    own = tl.where(seen, own, 0.0)[:, None]
    _store_block(df_ptr, df + own * g, i0, N, f0, F, SUB, BLOCK_F)
    _store_block(dg_ptr, dg + own * f, t0, M, f0, F, SUB, BLOCK_F)
