"""Kernels of the states of chunked linear attention, from the first chunk to the last, and of their gradients, back.

Enters: features, values or the gradient of outputs, and decays: of tokens, or of channels. Leaves: the state before
every chunk and behind the last, and what each gets. Copied by name; formulas are in `chunk_kernels.py`.
"""

import triton
import triton.language as tl

from attnc.support.chunk_parts import (
    _add_product,
    _enters,
    _is_kept,
    _leaves,
    _load_block,
    _load_decay,
    _load_numbers,
    _load_row,
    _load_turned,
    _selected,
    _store_block,
    _store_numbers,
    _store_total,
)
from attnc.support.kernels import _program


@triton.jit(do_not_specialize=["chunks", "N", "M", "offset"])
def _chunk_states(
    g_ptr,
    v_ptr,
    decay_ptr,
    of_keys_ptr,
    states_ptr,
    g_stride_b,
    g_stride_h,
    g_stride_t,
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
    CHANNELS: tl.constexpr,
    DOCUMENTS: tl.constexpr,
    SUMS: tl.constexpr,
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One program: a block of the state of one head, from the first chunk to the last."""
    BLOCKS: tl.constexpr = tl.cdiv(F, BLOCK_F)
    ROWS: tl.constexpr = DV + SUMS
    block, head_id, batch_id = _program(tl.cdiv(DV, BLOCK_V) * BLOCKS, H, True)
    v0, f0 = block // BLOCKS * BLOCK_V, block % BLOCKS * BLOCK_F
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    g_ptr += b * g_stride_b + h // group * g_stride_h
    v_ptr += b * v_stride_b + h // group * v_stride_h
    states_ptr += (b * H + h) * (chunks + 1) * (ROWS * F)
    if CHANNELS:
        decay_ptr += (b * H + h) * chunks * (CHUNK * F)
    if DOCUMENTS:
        of_keys_ptr += b * M

    state = tl.zeros([BLOCK_V, BLOCK_F], tl.float32)
    total = tl.zeros([BLOCK_F], tl.float32)
    for chunk in range(0, chunks):
        place = states_ptr + tl.cast(chunk, tl.int64) * (ROWS * F)
        _store_block(place, state, v0, DV, f0, F, BLOCK_V, BLOCK_F)
        if SUMS:
            _store_total(place + DV * F, total, v0, f0, F, BLOCK_F)
        g = _load_block(g_ptr, chunk * CHUNK, M, g_stride_t, f0, F, CHUNK, BLOCK_F)
        v = _load_turned(v_ptr, chunk * CHUNK, M, v_stride_t, v0, DV, CHUNK, BLOCK_V)
        j, at = chunk * CHUNK, chunk * CHUNK + (CHUNK - 1)
        leaves = _leaves(j, at, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
        if CHANNELS:
            kept = _is_kept(chunk, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
            decay = _load_block(decay_ptr, j, chunks * CHUNK, F, f0, F, CHUNK, BLOCK_F)
            end = _load_row(decay_ptr, at, chunks * CHUNK, f0, F, BLOCK_F)
            g = _selected(g, leaves[:, None], end[None, :] - decay, True)
            state = _selected(state, kept, end[None, :], True)
            total = _selected(total, kept, end, True)
        else:
            decay, end = _load_decay(decay_ptr, b * H + h, chunk, chunks, GATED, CHUNK)
            if GATED or DOCUMENTS:
                kept = _is_kept(chunk, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
                v = _selected(v, leaves[None, :], (end - decay)[None, :], GATED)
                state = _selected(state, kept, end, GATED)
                total = _selected(total, kept, end, GATED)
        state = _add_product(state, v, g, DTYPE)
        if SUMS:
            if CHANNELS:
                total += tl.sum(g, 0)
            else:
                weights = _selected(tl.full([CHUNK], 1.0, tl.float32), leaves, end - decay, GATED)
                total += tl.sum(g * weights[:, None], 0)
    place = states_ptr + tl.cast(chunks, tl.int64) * (ROWS * F)
    _store_block(place, state, v0, DV, f0, F, BLOCK_V, BLOCK_F)
    if SUMS:
        _store_total(place + DV * F, total, v0, f0, F, BLOCK_F)


@triton.jit(do_not_specialize=["chunks", "N", "M", "offset"])
def _chunk_state_gradients(
    f_ptr,
    dout_ptr,
    dsums_ptr,
    decay_ptr,
    of_queries_ptr,
    of_keys_ptr,
    states_ptr,
    dstates_ptr,
    dends_ptr,
    f_stride_b,
    f_stride_h,
    f_stride_t,
    B,
    H,
    chunks,
    N,
    M,
    offset,
    F: tl.constexpr,
    DV: tl.constexpr,
    GATED: tl.constexpr,
    CHANNELS: tl.constexpr,
    DOCUMENTS: tl.constexpr,
    SUMS: tl.constexpr,
    DTYPE: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK_F: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One program: a block of the gradient of one head's state, from the last chunk to the second.

    What goes on with a state has the decay at the end of the chunk before: S . dS of each feature.
    """
    BLOCKS: tl.constexpr = tl.cdiv(F, BLOCK_F)
    ROWS: tl.constexpr = DV + SUMS
    block, head_id, batch_id = _program(tl.cdiv(DV, BLOCK_V) * BLOCKS, H, True)
    v0, f0 = block // BLOCKS * BLOCK_V, block % BLOCKS * BLOCK_F
    b, h = batch_id.to(tl.int64), head_id.to(tl.int64)
    f_ptr += b * f_stride_b + h * f_stride_h
    dout_ptr += (b * H + h) * N * DV
    states_ptr += (b * H + h) * (chunks + 1) * (ROWS * F)
    dstates_ptr += (b * H + h) * (chunks + 1) * (ROWS * F)
    if SUMS:
        dsums_ptr += (b * H + h) * N
    if CHANNELS:
        decay_ptr += (b * H + h) * chunks * (CHUNK * F)
    if DOCUMENTS:
        of_queries_ptr += b * N
        of_keys_ptr += b * M

    dstate = tl.zeros([BLOCK_V, BLOCK_F], tl.float32)
    total = tl.zeros([BLOCK_F], tl.float32)
    # Queries behind the last key stand in chunks that have none.
    last = tl.maximum((N - 1 + offset) // CHUNK, chunks)
    for n in range(0, last):
        chunk = last - n
        i = chunk * CHUNK - offset
        f = _load_block(f_ptr, i, N, f_stride_t, f0, F, CHUNK, BLOCK_F)
        dout = _load_turned(dout_ptr, i, N, DV, v0, DV, CHUNK, BLOCK_V)
        j = chunk * CHUNK
        enters = _enters(j, j - 1, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
        if CHANNELS:
            kept = _is_kept(chunk, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
            decay = _load_block(decay_ptr, j, chunks * CHUNK, F, f0, F, CHUNK, BLOCK_F)
            end = _load_row(decay_ptr, j + (CHUNK - 1), chunks * CHUNK, f0, F, BLOCK_F)
            f = _selected(f, enters[:, None], decay, True)
            dstate = _selected(dstate, kept, end[None, :], True)
            total = _selected(total, kept, end, True)
        else:
            decay, end = _load_decay(decay_ptr, b * H + h, chunk, chunks, GATED, CHUNK)
            if GATED or DOCUMENTS:
                kept = _is_kept(chunk, of_keys_ptr, N, M, offset, DOCUMENTS, CHUNK)
                dout = _selected(dout, enters[None, :], decay[None, :], GATED)
                dstate = _selected(dstate, kept, end, GATED)
                total = _selected(total, kept, end, GATED)
        dstate = _add_product(dstate, dout, f, DTYPE)
        if SUMS:
            dsums = _load_numbers(dsums_ptr, i, N, CHUNK)
            if not CHANNELS:
                dsums = _selected(dsums, enters, decay, GATED)
            total += tl.sum(f * dsums[:, None], 0)
        if chunk <= chunks:
            place = tl.cast(chunk, tl.int64) * (ROWS * F)
            _store_block(dstates_ptr + place, dstate, v0, DV, f0, F, BLOCK_V, BLOCK_F)
            if SUMS:
                _store_total(dstates_ptr + place + DV * F, total, v0, f0, F, BLOCK_F)
            if GATED or CHANNELS:
                state = _load_block(states_ptr + place, v0, DV, F, f0, F, BLOCK_V, BLOCK_F)
                dend = tl.sum(state * dstate, 0)
                if SUMS:
                    sums = _load_numbers(states_ptr + place + DV * F, f0, F, BLOCK_F)
                    dend += tl.where(v0 == 0, sums * total, 0.0)
                part = (block // BLOCKS * B * H + b * H + h) * chunks + chunk - 1
                _store_numbers(dends_ptr + part * F, dend, f0, F, BLOCK_F)
