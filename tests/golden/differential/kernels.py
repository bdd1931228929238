import inspect
import numbers
import os
import sys
from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

LOG2_E = tl.constexpr(1.4426950408889634)
MINUS_INF = tl.constexpr(float("-inf"))
TILE = 128  # queries in a tile of the CPU path, unless fewer or more are faster


@triton.jit
def _add_keys(
    k0, acc, row_max, row_sum, late_k0, late_p, late_rescale, i, q, scale_times_log2e, k_ptr, v_ptr,
    k_stride_t, v_stride_t, M, D: tl.constexpr, DV: tl.constexpr, BLOCK_K: tl.constexpr,
    PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr, AHEAD: tl.constexpr,
    EDGE: tl.constexpr,
):
    """Fold keys [k0, k0 + BLOCK_K) into the running softmax of one query tile."""
    j = (k0 + tl.arange(0, BLOCK_K))[None, :]
    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, EDGE)
    qk = _dot_rows(q, k)
    if AHEAD:
        # The values of the last tile, while the weights of this one are computed.
        acc = _add_values(
            acc, late_k0, late_p, late_rescale, v_ptr, v_stride_t, M, DV, BLOCK_K, PARTS_DV,
        )
    score = qk * scale_times_log2e
    if EDGE:
        visible = (j <= i) & (j < M)                                    # differential.attn:5
        score = tl.where(visible, score, MINUS_INF)

    new_max = tl.maximum(row_max, tl.max(score, 1))
    # no key yet: avoid inf - inf
    shift = tl.where(new_max == MINUS_INF, 0.0, new_max)
    p = tl.exp2(score - shift[:, None])
    rescale = tl.exp2(row_max - shift)
    row_sum = row_sum * rescale + tl.sum(p, 1)
    row_max = new_max
    if AHEAD:
        late_k0 = tl.cast(k0, tl.int32)
        late_p = _bits(p, v_ptr.dtype.element_ty)
        late_rescale = rescale
    else:
        v = _load_rows(v_ptr, k0, M, v_stride_t, DV, BLOCK_K, PARTS_DV, EDGE)
        if AGAIN and EDGE:
            acc = _add_seen_rows(_scaled(acc, rescale[:, None]), p, v, visible)
        else:
            acc = _add_rows(_scaled(acc, rescale[:, None]), p, v)

    return acc, row_max, row_sum, late_k0, late_p, late_rescale


@triton.jit(do_not_specialize=["N", "M"])
def _forward(
    q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, row_max_ptr, row_weight_ptr, q_stride_b, q_stride_h,
    q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h, v_stride_t, scale, H,
    group, N, M, D: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr, AHEAD: tl.constexpr,
    LARGE: tl.constexpr,
):
    """One program: BLOCK_Q queries of one head."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, H, LARGE)
    # Later tiles may have more keys: they begin first.
    q0 = (tiles - 1 - tile_id) * BLOCK_Q
    h = head_id.to(tl.int64)
    b = batch_id.to(tl.int64)
    i_first = q0
    i_last = tl.minimum(q0 + BLOCK_Q, N) - 1
    h_kv = h // group
    q_ptr += b * q_stride_b + h * q_stride_h
    k_ptr += b * k_stride_b + h_kv * k_stride_h
    v_ptr += b * v_stride_b + h_kv * v_stride_h

    if AGAIN:
        # What is hidden has spoiled a sum if that is no number: 0 times nan or infinity is none.
        spoiled = _are_spoiled_rows(out_ptr + (b * H + h) * N * DV, q0, N, DV, BLOCK_Q, PARTS_DV)
        if not spoiled:
            return

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        q_stride_t = tl.cast(q_stride_t, tl.int64)
        k_stride_t = tl.cast(k_stride_t, tl.int64)
        v_stride_t = tl.cast(v_stride_t, tl.int64)

    i = (q0 + tl.arange(0, BLOCK_Q))[:, None]
    q = _load_rows(q_ptr, q0, N, q_stride_t, D, BLOCK_Q, PARTS_D, True)
    scale_times_log2e = scale * LOG2_E

    acc = _zeros(BLOCK_Q, PARTS_DV)
    row_max = tl.full([BLOCK_Q], MINUS_INF, tl.float32)
    row_sum = tl.zeros([BLOCK_Q], tl.float32)
    # No weights wait for their values yet: behind the last key, rows are zero.
    late_k0 = M
    late_p = _bits(tl.zeros([BLOCK_Q, BLOCK_K], tl.float32), v_ptr.dtype.element_ty)
    late_rescale = tl.zeros([BLOCK_Q], tl.float32)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    live_hi = tl.cdiv(tl.minimum(i_last + 1, M), BLOCK_K)
    full_hi = tl.minimum(i_first + 1, M) // BLOCK_K

    for t in tl.range(full_hi, live_hi, num_stages=AHEAD):
        acc, row_max, row_sum, late_k0, late_p, late_rescale = _add_keys(
            t * BLOCK_K, acc, row_max, row_sum, late_k0, late_p, late_rescale, i, q,
            scale_times_log2e, k_ptr, v_ptr, k_stride_t, v_stride_t, M, D, DV, BLOCK_K, PARTS_D,
            PARTS_DV, AGAIN, AHEAD, EDGE=True,
        )
    for t in tl.range(0, full_hi, num_stages=AHEAD):
        acc, row_max, row_sum, late_k0, late_p, late_rescale = _add_keys(
            t * BLOCK_K, acc, row_max, row_sum, late_k0, late_p, late_rescale, i, q,
            scale_times_log2e, k_ptr, v_ptr, k_stride_t, v_stride_t, M, D, DV, BLOCK_K, PARTS_D,
            PARTS_DV, AGAIN, AHEAD, EDGE=False,
        )
    if AHEAD:
        # The values of the last of all tiles.
        acc = _add_values(
            acc, late_k0, late_p, late_rescale, v_ptr, v_stride_t, M, DV, BLOCK_K, PARTS_DV,
        )

    out = _divided(acc, row_sum[:, None])
    row = (b * H + h) * N
    _store_rows(out_ptr + row * DV, q0, N, out, DV, BLOCK_Q, PARTS_DV)
    rows = q0 + tl.arange(0, BLOCK_Q)
    tl.store(lse_ptr + row + rows, (row_max + tl.log2(row_sum)) / LOG2_E, mask=rows < N)
    tl.store(row_max_ptr + row + rows, row_max, mask=rows < N)
    tl.store(row_weight_ptr + row + rows, 1.0 / row_sum, mask=rows < N)


@triton.jit(do_not_specialize=["splits", "B", "N", "M"])
def _forward_split(
    q_ptr, k_ptr, v_ptr, part_acc_ptr, part_max_ptr, part_sum_ptr, q_stride_b, q_stride_h,
    q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h, v_stride_t, scale,
    splits, B, H, HKV, group, N, M, D: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr,
    LARGE: tl.constexpr,
):
    """One program: a share of the keys of BLOCK_Q rows, of one key head."""
    # Row r is query r // group of head r % group, of those that share their keys.
    tiles = tl.cdiv(N * group, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, HKV * splits, LARGE)
    r0 = tile_id * BLOCK_Q
    row = r0 + tl.arange(0, BLOCK_Q)[:, None]
    split = head_id % splits
    h_kv = (head_id // splits).to(tl.int64)
    h = h_kv * group + row % group
    b = batch_id.to(tl.int64)
    i_first = r0 // group
    i_last = (tl.minimum(r0 + BLOCK_Q, N * group) - 1) // group
    i = row // group
    q_ptr += b * q_stride_b + h * q_stride_h
    k_ptr += b * k_stride_b + h_kv * k_stride_h
    v_ptr += b * v_stride_b + h_kv * v_stride_h

    if AGAIN:
        # What is hidden has spoiled a sum if that is no number: 0 times nan or infinity is none.
        spoiled = _is_spoiled(
            _load_rows_at(
                part_acc_ptr + (((split * B + b) * H + h) * N + i) * DV, i < N, DV, PARTS_DV,
            ),
        )
        if not spoiled:
            return

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        k_stride_t = tl.cast(k_stride_t, tl.int64)
        v_stride_t = tl.cast(v_stride_t, tl.int64)

    q = _load_rows_at(q_ptr + i.to(tl.int64) * q_stride_t, i < N, D, PARTS_D)
    scale_times_log2e = scale * LOG2_E

    acc = _zeros(BLOCK_Q, PARTS_DV)
    row_max = tl.full([BLOCK_Q], MINUS_INF, tl.float32)
    row_sum = tl.zeros([BLOCK_Q], tl.float32)
    # No weights wait for their values yet: behind the last key, rows are zero.
    late_k0 = M
    late_p = _bits(tl.zeros([BLOCK_Q, BLOCK_K], tl.float32), v_ptr.dtype.element_ty)
    late_rescale = tl.zeros([BLOCK_Q], tl.float32)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    live_hi = tl.cdiv(tl.minimum(i_last + 1, M), BLOCK_K)
    full_hi = tl.minimum(i_first + 1, M) // BLOCK_K

    # The share of this program: edge tiles are counted first, then full ones.
    edge_tiles = live_hi - full_hi
    count = edge_tiles + full_hi
    share = count // splits
    rest = count % splits
    share_lo = split * share + tl.minimum(split, rest)
    share_hi = (split + 1) * share + tl.minimum(split + 1, rest)
    for t in range(tl.minimum(share_lo, edge_tiles), tl.minimum(share_hi, edge_tiles)):
        tile = full_hi + t
        acc, row_max, row_sum, late_k0, late_p, late_rescale = _add_keys(
            tile * BLOCK_K, acc, row_max, row_sum, late_k0, late_p, late_rescale, i, q,
            scale_times_log2e, k_ptr, v_ptr, k_stride_t, v_stride_t, M, D, DV, BLOCK_K, PARTS_D,
            PARTS_DV, AGAIN, AHEAD=None, EDGE=True,
        )
    for t in range(tl.maximum(share_lo - edge_tiles, 0), tl.maximum(share_hi - edge_tiles, 0)):
        acc, row_max, row_sum, late_k0, late_p, late_rescale = _add_keys(
            t * BLOCK_K, acc, row_max, row_sum, late_k0, late_p, late_rescale, i, q,
            scale_times_log2e, k_ptr, v_ptr, k_stride_t, v_stride_t, M, D, DV, BLOCK_K, PARTS_D,
            PARTS_DV, AGAIN, AHEAD=None, EDGE=False,
        )

    place = ((split * B + b) * H + h) * N + i
    _store_rows_at(part_acc_ptr + place * DV, i < N, acc, DV, PARTS_DV)
    tl.store(part_max_ptr + place, row_max[:, None], mask=i < N)
    tl.store(part_sum_ptr + place, row_sum[:, None], mask=i < N)


@triton.jit(do_not_specialize=["splits"])
def _combine(
    part_acc_ptr, part_max_ptr, part_sum_ptr, out_ptr, lse_ptr, row_max_ptr, row_weight_ptr, splits,
    DV: tl.constexpr, SHARES: tl.constexpr, BLOCK_DV: tl.constexpr,
):
    """One program: one row, from what each share of its keys has left."""
    row = tl.program_id(0).to(tl.int64)
    rows = tl.num_programs(0).to(tl.int64)
    part = tl.arange(0, SHARES)[:, None]

    row_max = tl.full([SHARES, 1], MINUS_INF, tl.float32)
    for first in range(0, splits, SHARES):
        inside = first + part < splits
        place = (first + part) * rows + row
        row_max = tl.maximum(row_max, tl.load(part_max_ptr + place, mask=inside, other=MINUS_INF))
    row_max = tl.max(row_max)

    row_sum = tl.zeros([SHARES, 1], tl.float32)
    acc = tl.zeros([SHARES, BLOCK_DV], tl.float32)
    for first in range(0, splits, SHARES):
        inside = first + part < splits
        place = (first + part) * rows + row
        rescale = tl.exp2(tl.load(part_max_ptr + place, mask=inside, other=MINUS_INF) - row_max)
        row_sum += rescale * tl.load(part_sum_ptr + place, mask=inside, other=0.0)
        acc += rescale * _load_tile_at(part_acc_ptr + place * DV, inside, DV, BLOCK_DV)

    row_sum = tl.sum(row_sum)
    col = tl.arange(0, BLOCK_DV)
    tl.store(
        out_ptr + row * DV + col, (tl.sum(acc, 0) / row_sum).to(out_ptr.dtype.element_ty),
        mask=col < DV,
    )
    tl.store(lse_ptr + row, (row_max + tl.log2(row_sum)) / LOG2_E)
    tl.store(row_max_ptr + row, row_max)
    tl.store(row_weight_ptr + row, 1.0 / row_sum)


@triton.jit(do_not_specialize=["N"])
def _delta(
    dout_ptr, out_ptr, lse_ptr, row_max_ptr, row_weight_ptr, dlse_ptr, delta_ptr, dout_stride_b,
    dout_stride_h, dout_stride_t, H, N, DV: tl.constexpr, BLOCK_Q: tl.constexpr,
    BLOCK_DV: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: sum(dout * out) - dlse, and lse, for BLOCK_Q queries of one head."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, H, LARGE)
    q0 = tile_id * BLOCK_Q
    h = head_id.to(tl.int64)
    b = batch_id.to(tl.int64)
    dout_ptr += b * dout_stride_b + h * dout_stride_h

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        dout_stride_t = tl.cast(dout_stride_t, tl.int64)

    row = (b * H + h) * N
    rows = q0 + tl.arange(0, BLOCK_Q)
    dout = _load_tile(dout_ptr, q0, N, dout_stride_t, DV, BLOCK_Q, BLOCK_DV, True).to(tl.float32)
    out = _load_tile(out_ptr + row * DV, q0, N, DV, DV, BLOCK_Q, BLOCK_DV, True).to(tl.float32)
    dlse = tl.load(dlse_ptr + row + rows, mask=rows < N, other=0.0)

    tl.store(delta_ptr + row + rows, tl.sum(dout * out, 1) - dlse, mask=rows < N)
    row_max = tl.load(row_max_ptr + row + rows, mask=rows < N, other=0.0)
    row_weight = tl.load(row_weight_ptr + row + rows, mask=rows < N, other=0.0)
    lse = row_max - tl.log2(row_weight)
    # Next to a large score a float32 has no digits for a logarithm: then look again.
    tl.store(
        lse_ptr + row + rows, tl.where(tl.abs(row_max) > 1024.0, float("nan"), lse), mask=rows < N,
    )


@triton.jit
def _add_queries(
    q0, dv, dk, j, k, v, scale_times_log2e, row, q_head, dout_head, lse_ptr, row_max_ptr,
    row_weight_ptr, delta_ptr, q_stride_t, dout_stride_t, N, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_Q: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr,
    EDGE: tl.constexpr,
):
    """Add what queries [q0, q0 + BLOCK_Q) of one head say about the gradient of one key tile."""
    i = (q0 + tl.arange(0, BLOCK_Q))[None, :]
    lse = tl.load(lse_ptr + row + i, mask=i < N, other=0.0)
    row_max = tl.load(row_max_ptr + row + i, mask=i < N, other=0.0)
    row_weight = tl.load(row_weight_ptr + row + i, mask=i < N, other=0.0)
    q = _load_rows(q_head, q0, N, q_stride_t, D, BLOCK_Q, PARTS_D, EDGE)
    qk = _dot_rows(k, q)
    dout = _load_rows(dout_head, q0, N, dout_stride_t, DV, BLOCK_Q, PARTS_DV, EDGE)
    dp = _dot_rows(v, dout)
    score = qk * scale_times_log2e
    if EDGE:
        visible = (j <= i) & (i < N)                                    # differential.attn:5
        score = tl.where(visible, score, MINUS_INF)

    if AGAIN:
        p = tl.exp2(score - row_max) * row_weight
    else:
        p = tl.exp2(score - lse)
    delta = tl.load(delta_ptr + row + i, mask=i < N, other=0.0)
    ds = p * (dp - delta)
    if AGAIN and EDGE:
        dv = _add_seen_rows(dv, p, dout, visible)
    else:
        dv = _add_rows(dv, p, dout)
    if AGAIN and EDGE:
        dk = _add_seen_rows(dk, ds, q, visible)
    else:
        dk = _add_rows(dk, ds, q)

    return dv, dk


@triton.jit(do_not_specialize=["shares", "N", "M"])
def _backward_keys(
    q_ptr, k_ptr, v_ptr, dout_ptr, lse_ptr, row_max_ptr, row_weight_ptr, delta_ptr, dk_ptr, dv_ptr,
    q_stride_b, q_stride_h, q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h,
    v_stride_t, dout_stride_b, dout_stride_h, dout_stride_t, scale, shares, H, HKV, group, N, M,
    D: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: what a share of the query heads says about BLOCK_K keys of one key head."""
    tiles = tl.cdiv(M, BLOCK_K)
    tile_id, head_id, batch_id = _program(tiles, HKV * shares, LARGE)
    k0 = tile_id * BLOCK_K
    share = head_id % shares
    h_kv = (head_id // shares).to(tl.int64)
    b = batch_id.to(tl.int64)
    j_first = k0
    j_last = tl.minimum(k0 + BLOCK_K, M) - 1
    k_ptr += b * k_stride_b + h_kv * k_stride_h
    v_ptr += b * v_stride_b + h_kv * v_stride_h
    h_first = head_id // shares * group + share * group // shares
    h_end = head_id // shares * group + (share + 1) * group // shares

    if AGAIN:
        # What is hidden has spoiled a sum if that is no number: 0 times nan or infinity is none.
        # A row whose lse is no number leaves none at first: it is weighed in another way.
        spoiled = _are_spoiled_rows(
            dk_ptr + (b * (HKV * shares) + head_id) * M * D, k0, M, D, BLOCK_K, PARTS_D,
        )
        spoiled |= _are_spoiled_rows(
            dv_ptr + (b * (HKV * shares) + head_id) * M * DV, k0, M, DV, BLOCK_K, PARTS_DV,
        )
        if not spoiled:
            return

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        k_stride_t = tl.cast(k_stride_t, tl.int64)
        v_stride_t = tl.cast(v_stride_t, tl.int64)
        q_stride_t = tl.cast(q_stride_t, tl.int64)
        dout_stride_t = tl.cast(dout_stride_t, tl.int64)

    j = (k0 + tl.arange(0, BLOCK_K))[:, None]
    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, True)
    v = _load_rows(v_ptr, k0, M, v_stride_t, DV, BLOCK_K, PARTS_DV, True)
    scale_times_log2e = scale * LOG2_E

    dk = _zeros(BLOCK_K, PARTS_D)
    dv = _zeros(BLOCK_K, PARTS_DV)

    for g in tl.range(h_first, h_end, disable_licm=True):
        h = tl.cast(g, tl.int64)
        row = (b * H + h) * N
        q_head = q_ptr + (b * q_stride_b + h * q_stride_h)
        dout_head = dout_ptr + (b * dout_stride_b + h * dout_stride_h)

        # Tiles of queries: [live_lo, live_hi) see one of these keys, [full_lo, full_hi) see all.
        query_lo = j_first
        query_hi = N
        live_lo = query_lo // BLOCK_Q
        live_hi = tl.where(query_lo < query_hi, tl.cdiv(query_hi, BLOCK_Q), live_lo)
        full_lo = tl.minimum(tl.cdiv(j_last, BLOCK_Q), live_hi)
        full_hi = tl.maximum(N // BLOCK_Q, full_lo)
        edge_left = full_lo - live_lo
        edge_tiles = edge_left + (live_hi - full_hi)
        for t in range(0, edge_tiles):
            tile = tl.where(t < edge_left, live_lo + t, full_hi + t - edge_left)
            dv, dk = _add_queries(
                tile * BLOCK_Q, dv, dk, j, k, v, scale_times_log2e, row, q_head, dout_head, lse_ptr,
                row_max_ptr, row_weight_ptr, delta_ptr, q_stride_t, dout_stride_t, N, D, DV,
                BLOCK_Q, PARTS_D, PARTS_DV, AGAIN, EDGE=True,
            )
        for t in range(full_lo, full_hi):
            dv, dk = _add_queries(
                t * BLOCK_Q, dv, dk, j, k, v, scale_times_log2e, row, q_head, dout_head, lse_ptr,
                row_max_ptr, row_weight_ptr, delta_ptr, q_stride_t, dout_stride_t, N, D, DV,
                BLOCK_Q, PARTS_D, PARTS_DV, AGAIN, EDGE=False,
            )

    row = (b * (HKV * shares) + head_id) * M
    _store_rows(dk_ptr + row * D, k0, M, _scaled(dk, scale), D, BLOCK_K, PARTS_D)
    _store_rows(dv_ptr + row * DV, k0, M, dv, DV, BLOCK_K, PARTS_DV)


@triton.jit
def _add_keys_backward(
    k0, dq, i, q, lse, row_max, row_weight, delta, dout, scale_times_log2e, k_ptr, v_ptr,
    k_stride_t, v_stride_t, M, D: tl.constexpr, DV: tl.constexpr, BLOCK_K: tl.constexpr,
    PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr, EDGE: tl.constexpr,
):
    """Add what keys [k0, k0 + BLOCK_K) say about the gradient of one query tile."""
    j = (k0 + tl.arange(0, BLOCK_K))[None, :]
    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, EDGE)
    qk = _dot_rows(q, k)
    v = _load_rows(v_ptr, k0, M, v_stride_t, DV, BLOCK_K, PARTS_DV, EDGE)
    dp = _dot_rows(dout, v)
    score = qk * scale_times_log2e
    if EDGE:
        visible = (j <= i) & (j < M)                                    # differential.attn:5
        score = tl.where(visible, score, MINUS_INF)

    if AGAIN:
        p = tl.exp2(score - row_max) * row_weight
    else:
        p = tl.exp2(score - lse)
    ds = p * (dp - delta)
    if AGAIN and EDGE:
        dq = _add_seen_rows(dq, ds, k, visible)
    else:
        dq = _add_rows(dq, ds, k)

    return dq


@triton.jit(do_not_specialize=["N", "M"])
def _backward_queries(
    q_ptr, k_ptr, v_ptr, dout_ptr, lse_ptr, row_max_ptr, row_weight_ptr, delta_ptr, dq_ptr,
    q_stride_b, q_stride_h, q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h,
    v_stride_t, dout_stride_b, dout_stride_h, dout_stride_t, scale, H, group, N, M, D: tl.constexpr,
    DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr,
    PARTS_DV: tl.constexpr, AGAIN: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: the gradient of BLOCK_Q queries of one head."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, H, LARGE)
    # Later tiles may have more keys: they begin first.
    q0 = (tiles - 1 - tile_id) * BLOCK_Q
    h = head_id.to(tl.int64)
    b = batch_id.to(tl.int64)
    i_first = q0
    i_last = tl.minimum(q0 + BLOCK_Q, N) - 1
    h_kv = h // group
    q_ptr += b * q_stride_b + h * q_stride_h
    k_ptr += b * k_stride_b + h_kv * k_stride_h
    v_ptr += b * v_stride_b + h_kv * v_stride_h
    dout_ptr += b * dout_stride_b + h * dout_stride_h

    if AGAIN:
        # What is hidden has spoiled a sum if that is no number: 0 times nan or infinity is none.
        # A row whose lse is no number leaves none at first: it is weighed in another way.
        spoiled = _are_spoiled_rows(dq_ptr + (b * H + h) * N * D, q0, N, D, BLOCK_Q, PARTS_D)
        if not spoiled:
            return

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        q_stride_t = tl.cast(q_stride_t, tl.int64)
        dout_stride_t = tl.cast(dout_stride_t, tl.int64)
        k_stride_t = tl.cast(k_stride_t, tl.int64)
        v_stride_t = tl.cast(v_stride_t, tl.int64)

    i = (q0 + tl.arange(0, BLOCK_Q))[:, None]
    q = _load_rows(q_ptr, q0, N, q_stride_t, D, BLOCK_Q, PARTS_D, True)
    row = (b * H + h) * N
    lse = tl.load(lse_ptr + row + i, mask=i < N, other=0.0)
    row_max = tl.load(row_max_ptr + row + i, mask=i < N, other=0.0)
    row_weight = tl.load(row_weight_ptr + row + i, mask=i < N, other=0.0)
    delta = tl.load(delta_ptr + row + i, mask=i < N, other=0.0)
    dout = _load_rows(dout_ptr, q0, N, dout_stride_t, DV, BLOCK_Q, PARTS_DV, True)
    scale_times_log2e = scale * LOG2_E

    dq = _zeros(BLOCK_Q, PARTS_D)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    live_hi = tl.cdiv(tl.minimum(i_last + 1, M), BLOCK_K)
    full_hi = tl.minimum(i_first + 1, M) // BLOCK_K

    for t in range(full_hi, live_hi):
        dq = _add_keys_backward(
            t * BLOCK_K, dq, i, q, lse, row_max, row_weight, delta, dout, scale_times_log2e, k_ptr,
            v_ptr, k_stride_t, v_stride_t, M, D, DV, BLOCK_K, PARTS_D, PARTS_DV, AGAIN, EDGE=True,
        )
    for t in range(0, full_hi):
        dq = _add_keys_backward(
            t * BLOCK_K, dq, i, q, lse, row_max, row_weight, delta, dout, scale_times_log2e, k_ptr,
            v_ptr, k_stride_t, v_stride_t, M, D, DV, BLOCK_K, PARTS_D, PARTS_DV, AGAIN, EDGE=False,
        )

    _store_rows(dq_ptr + row * D, q0, N, _scaled(dq, scale), D, BLOCK_Q, PARTS_D)


# _program: attnc/support/kernels.py
# _load_tile: attnc/support/kernels.py
# _load_rows: attnc/support/kernels.py
# _store_rows: attnc/support/kernels.py
# _load_tile_at: attnc/support/kernels.py
# _load_rows_at: attnc/support/kernels.py
# _store_rows_at: attnc/support/kernels.py
# _zero_tile: attnc/support/kernels.py
# _zeros: attnc/support/kernels.py
# _dot_rows: attnc/support/kernels.py
# _add_rows: attnc/support/kernels.py
# _scaled: attnc/support/kernels.py
# _divided: attnc/support/kernels.py
# _bits: attnc/support/kernels.py
# _add_values: attnc/support/kernels.py
# _add_rows_of_any_size: attnc/support/kernels.py
# _add_seen_rows: attnc/support/kernels.py
# _is_spoiled: attnc/support/kernels.py
# _are_spoiled_rows: attnc/support/kernels.py
# _without_autocast: attnc/support/torch_functions.py
# _check_reach: attnc/support/torch_functions.py
# _with_unit_stride: attnc/support/torch_functions.py
# _is_large: attnc/support/torch_functions.py
# _grid: attnc/support/torch_functions.py
# _parts: attnc/support/torch_functions.py
# _sum_of_parts: attnc/support/torch_functions.py
# _on_spare_threads: attnc/support/cpu.py
# _spare_processors: attnc/support/cpu.py
# _quota: attnc/support/cpu.py
# _join: attnc/support/cpu.py
# _positions: attnc/support/cpu.py
# _count: attnc/support/cpu.py
# _rows_of_tile: attnc/support/cpu.py
# _steps: attnc/support/cpu.py
# _narrow: attnc/support/cpu.py
# _bits_of_pairs: attnc/support/cpu.py
# _fill_hidden: attnc/support/cpu.py
# _matmul: attnc/support/cpu.py
# _are_spoiled: attnc/support/cpu.py
# _are_near: attnc/support/cpu.py
# _are_finite: attnc/support/cpu.py
# _wide_sum: attnc/support/cpu.py
# _in_room: attnc/support/cpu.py
# _add_transposed: attnc/support/cpu.py
# _suits_torch: attnc/support/cpu.py
# _forward_of_torch: attnc/support/cpu.py
# _backward_of_torch: attnc/support/cpu.py


def _keys_seen(q0, q1, M):
    """The keys that queries [q0, q1) see, and the edges, where some are hidden."""
    i_first = q0
    i_last = q1 - 1
    return _join(M, (0, i_last + 1, 0, i_first + 1))


@lru_cache(maxsize=16)
def _hidden(rows, lo, hi, dtype, otherwise):
    """What hides the unseen of the keys [lo, hi), counted from the first of `rows` queries."""
    i = torch.arange(rows)[:, None]
    j = torch.arange(lo, hi)[None, :]
    visible = j <= i                                                    # differential.attn:5
    return _bits_of_pairs(visible, dtype, otherwise)


def _hide(pairs, otherwise, edges, q0, q1, dtype):
    """Fill in every pair of a tile that the mask hides."""
    for columns, seen in edges:
        _fill_hidden(
            pairs[:, :, :, columns],
            *_hidden(q1 - q0, seen.start - q0, seen.stop - q0, dtype, otherwise),
        )


@_on_spare_threads
def _forward_cpu(q, k, v, gain, scale):
    """Forward on the CPU: out [B, H, N, DV] and lse [B, H, N]."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = torch.promote_types(q.dtype, torch.float32)
    narrow = _narrow(q.dtype)
    if _suits_torch(q, k, v) and scale > 0:                             # plain attention
        out, lse = _forward_of_torch(q, k, v, scale, True)
        row_max = lse * 1.4426950408889634
        row_weight = torch.ones_like(lse)
        # Unless a score is so large that a float32 next to it has no digits for the logarithm of a
        # sum.
        # Unless a row is spoiled by what it does not see: 0 times what is not finite is not 0.
        if _are_near(row_max) and not _are_spoiled([out, lse]):
            return out, lse, row_max, row_weight
    out = q.new_empty(B, H, N, DV)
    row_max = q.new_empty(B, H, N, 1, dtype=dtype)
    row_sum = q.new_empty(B, H, N, 1, dtype=dtype)
    if M == 0:                                                          # else every row sees a key
        return (
            out.zero_(), torch.full_like(row_max, float("-inf")).squeeze(-1),
            row_max.zero_().squeeze(-1), row_sum.zero_().squeeze(-1),
        )
    scale_times_log2e = scale * 1.4426950408889634
    room = torch.empty(0, dtype=dtype)
    k_room = torch.empty(0, dtype=dtype)
    narrow_room = torch.empty(0, dtype=narrow)
    tile = _rows_of_tile(_keys_seen(N - 1, N, M), B * H, q.dtype) if N > 0 else TILE

    for q0 in range(0, N, tile):
        q1 = min(q0 + tile, N)
        seen, edges = _keys_seen(q0, q1, M)
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale_times_log2e,
                _in_room(k[:, kv_heads, seen], k_room).mT, room,
            )
            _hide(score, float("-inf"), edges, q0, q1, dtype)
            largest = score.amax(-1, keepdim=True)
            p = score.sub_(largest).exp2_()
            total = p.sum(-1, keepdim=True)
            row_max[:, heads, q0:q1] = largest
            row_sum[:, heads, q0:q1] = total
            p_narrow = _in_room(p, narrow_room)
            values = _matmul(p_narrow, v[:, kv_heads, seen].to(narrow))
            if _are_spoiled([values]):
                # 0 times what is not finite is not 0: once more, without what a row does not see.
                shown = torch.ones_like(score)
                _hide(shown, float(0), edges, q0, q1, dtype)
                values = _matmul(p_narrow, v[:, kv_heads, seen].to(narrow), shown=shown)
            out[:, heads, q0:q1] = values / total

    row_weight = row_sum.reciprocal().squeeze(-1)
    lse = ((row_max + row_sum.log2_()) * 0.6931471805599453).squeeze(-1)
    row_max = row_max.squeeze(-1)
    return out, lse, row_max, row_weight


@_on_spare_threads
def _backward_cpu(dout, dlse, q, k, v, gain, out, row_max, row_weight, scale):
    """Backward on the CPU: the gradient of every float tensor, in order."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = torch.promote_types(q.dtype, torch.float32)
    narrow = _narrow(q.dtype)
    if _suits_torch(q, k, v) and scale > 0 and not dlse.any() and _are_near(row_max):
        lse = (row_max - row_weight.log2()) * 0.6931471805599453
        results = _backward_of_torch(dout, q, k, v, out, lse, scale, True)
        # Unless a row is spoiled by what it does not see: 0 times what is not finite is not 0.
        if not _are_spoiled(results):
            return results
    dq = torch.empty(q.shape, dtype=q.dtype)
    dk = torch.zeros(k.shape, dtype=dtype)
    dv = torch.zeros(v.shape, dtype=dtype)
    dlse = dlse.unsqueeze(-1)
    row_max = row_max.unsqueeze(-1)
    row_weight = row_weight.unsqueeze(-1)
    scale_times_log2e = scale * 1.4426950408889634
    room = torch.empty(0, dtype=dtype)
    k_room = torch.empty(0, dtype=dtype)
    v_room = torch.empty(0, dtype=dtype)
    dp_room = torch.empty(0, dtype=dtype)
    # 0 times what is not finite is not 0
    careful = not _are_finite(dout, dlse, q, k, v, out, row_max, row_weight)
    narrow_room = torch.empty(0, dtype=narrow)
    keys_room = torch.empty(0, dtype=narrow)
    tile = _rows_of_tile(_keys_seen(N - 1, N, M), B * H, q.dtype) if N > 0 else TILE

    for q0 in range(0, N, tile):
        q1 = min(q0 + tile, N)
        seen, edges = _keys_seen(q0, q1, M)
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale_times_log2e,
                _in_room(k[:, kv_heads, seen], k_room).mT, room,
            )
            _hide(score, float("-inf"), edges, q0, q1, dtype)
            # Weights are p times row_weight, which goes into what comes in for the row.
            p = score.sub_(row_max[:, heads, q0:q1]).exp2_()
            dout_wide = dout[:, heads, q0:q1].to(dtype) * row_weight[:, heads, q0:q1]
            dp = _matmul(dout_wide, _in_room(v[:, kv_heads, seen], v_room).mT, dp_room)
            delta = (
                (dout_wide * out[:, heads, q0:q1]).sum(-1, keepdim=True)
                - dlse[:, heads, q0:q1] * row_weight[:, heads, q0:q1]
            )
            ds = dp.sub_(delta).mul_(p)
            shown = torch.ones_like(score) if careful else None
            if careful:
                _hide(shown, float(0), edges, q0, q1, dtype)
            p_narrow = _in_room(p, narrow_room)
            _add_transposed(
                dv[:, kv_heads], seen, p_narrow, dout_wide.to(narrow), keys_room, shown=shown,
            )
            ds_narrow = _in_room(ds, narrow_room)
            dq[:, heads, q0:q1] = (
                _matmul(ds_narrow, k[:, kv_heads, seen].to(narrow), shown=shown)
                * scale
            )
            _add_transposed(
                dk[:, kv_heads], seen, ds_narrow, q[:, heads, q0:q1].to(narrow), keys_room,
                shown=shown,
            )

    dk.mul_(scale)
    return dq, dk.to(k.dtype), dv.to(v.dtype)


# Queries and keys of a tile, warps, pipeline stages: of each kernel, by the widest head they serve.
TILES = {
    "wgmma": {  # data center Hopper and Blackwell: 227 KiB of shared memory
        "forward": {
            64: (128, 64, 8, 3), 128: (128, 64, 8, 3), 192: (128, 64, 8, 2), 256: (128, 32, 8, 2),
        },
        "backward_keys": {64: (64, 128, 8, 3), 128: (32, 128, 8, 3), 256: (32, 64, 8, 2)},
        "backward_queries": {64: (128, 64, 8, 2), 128: (128, 64, 8, 2), 256: (128, 32, 8, 2)},
    },
    "mma": {  # other GPUs: some have no more than 64 KiB
        "forward": {64: (128, 64, 8, 2), 128: (128, 32, 8, 2), 256: (64, 32, 4, 1)},
        "backward_keys": {64: (32, 64, 4, 2), 128: (32, 32, 4, 2), 256: (16, 32, 4, 1)},
        "backward_queries": {64: (64, 32, 4, 2), 128: (64, 32, 4, 2), 256: (32, 32, 4, 1)},
    },
    "float32": {  # exact products of float32, without matrix units
        "forward": {128: (32, 32, 8, 1), 256: (16, 32, 8, 1)},
        "backward_keys": {128: (32, 32, 8, 1), 256: (16, 16, 4, 1)},
        "backward_queries": {128: (32, 32, 8, 1), 256: (16, 16, 4, 1)},
    },
}


# _table: attnc/support/tiles.py
# _generation: attnc/support/tiles.py
# _tiles: attnc/support/tiles.py
# _parts_of: attnc/support/tiles.py
# _looks: attnc/support/launch.py
# _ahead: attnc/support/launch.py
# _shares: attnc/support/launch.py


def _few_rows(tiles, rows):
    """The tiles of a forward kernel for so many rows of a key head, each a query of a head."""
    if rows <= 16:
        return {**tiles, "BLOCK_Q": 16, "num_warps": 4}
    return {**tiles, "BLOCK_Q": min(64, tiles["BLOCK_Q"]), "num_warps": 4}


# _splits: attnc/support/launch.py


def _forward_triton(q, k, v, gain, scale):
    """Forward by the kernels: out [B, H, N, DV] and lse [B, H, N]."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    group = H // HKV
    _check_reach("M + N", M + N)
    q, k, v = map(_with_unit_stride, (q, k, v))
    large = _is_large(H, B, q, k, v)
    out = q.new_empty(B, H, N, DV)
    lse = q.new_empty(B, H, N, dtype=torch.float32)
    row_max = q.new_empty(B, H, N, dtype=torch.float32)
    row_weight = q.new_empty(B, H, N, dtype=torch.float32)
    if M == 0:  # every row of the kernel sees a key
        return out.zero_(), lse.fill_(float("-inf")), row_max.zero_(), row_weight.zero_()
    tiles = _tiles("forward", q, ("D", D), ("DV", DV))
    few = _few_rows(tiles, N * group)
    splits = _splits(q, N * group, B * HKV, min(M, N), few)
    if splits:
        part_acc = q.new_empty(splits, B, H, N, DV, dtype=torch.float32)
        part_max = q.new_empty(splits, B, H, N, dtype=torch.float32)
        part_sum = q.new_empty(splits, B, H, N, dtype=torch.float32)
        with torch.cuda.device_of(q):
            grid = _grid(triton.cdiv(N * group, few["BLOCK_Q"]), HKV * splits, B, large)
            for again, options in _looks(few):
                _forward_split[grid](
                    q, k, v, part_acc, part_max, part_sum, *q.stride()[:3], *k.stride()[:3],
                    *v.stride()[:3], scale, splits, B, H, HKV, group, N, M, **options, AGAIN=again,
                    LARGE=large,
                )
            _combine[(B * H * N,)](
                part_acc, part_max, part_sum, out, lse, row_max, row_weight, splits, DV=DV,
                SHARES=16, BLOCK_DV=triton.next_power_of_2(DV), enable_fp_fusion=True,
            )
        return out, lse, row_max, row_weight
    with torch.cuda.device_of(q):
        for again, options in _looks(tiles):
            _forward[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
                q, k, v, out, lse, row_max, row_weight, *q.stride()[:3], *k.stride()[:3],
                *v.stride()[:3], scale, H, group, N, M, **options, LARGE=large,
                AHEAD=None if again else _ahead(q, tiles), AGAIN=again,
            )
    return out, lse, row_max, row_weight


def _backward_triton(dout, dlse, q, k, v, gain, out, row_max, row_weight, scale):
    """Backward by the kernels: the gradient of every float tensor, in order."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    group = H // HKV
    q, k, v, dout = map(_with_unit_stride, (q, k, v, dout))
    large = _is_large(H, B, q, k, v, dout)
    lse = torch.empty_like(row_max)
    delta = torch.empty_like(row_max)
    dq = q.new_empty(q.shape)
    with torch.cuda.device_of(q):
        tiles = _tiles("backward_queries", q, ("DV", DV))
        _delta[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
            dout, out, lse, row_max, row_weight, dlse, delta, *dout.stride()[:3], H, N,
            DV=tiles["DV"], BLOCK_Q=tiles["BLOCK_Q"], BLOCK_DV=triton.next_power_of_2(DV),
            LARGE=large, num_warps=tiles["num_warps"], enable_fp_fusion=True,
        )
        tiles = _tiles("backward_keys", q, ("D", D), ("DV", DV))
        shares = min(group, _shares(q, triton.cdiv(M, tiles["BLOCK_K"]) * HKV * B))
        dk = _parts(k, shares)
        dv = _parts(v, shares)
        for again, options in _looks(tiles):
            _backward_keys[_grid(triton.cdiv(M, tiles["BLOCK_K"]), HKV * shares, B, large)](
                q, k, v, dout, lse, row_max, row_weight, delta, dk, dv, *q.stride()[:3],
                *k.stride()[:3], *v.stride()[:3], *dout.stride()[:3], scale, shares, H, HKV, group,
                N, M, **options, LARGE=large, AGAIN=again,
            )
        dk = _sum_of_parts(dk, shares, k.dtype)
        dv = _sum_of_parts(dv, shares, v.dtype)
        tiles = _tiles("backward_queries", q, ("D", D), ("DV", DV))
        for again, options in _looks(tiles):
            _backward_queries[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
                q, k, v, dout, lse, row_max, row_weight, delta, dq, *q.stride()[:3],
                *k.stride()[:3], *v.stride()[:3], *dout.stride()[:3], scale, H, group, N, M,
                **options, LARGE=large, AGAIN=again,
            )
    return dq, dk, dv


def _pairs_seen(q, k):
    """How many pairs of a query and a key are in the tiles that are visited, of all heads."""
    B, H, N, D = q.shape
    HKV, M = k.shape[1:3]
    pairs = 0
    for q0 in range(0, N, TILE):
        q1 = min(q0 + TILE, N)
        seen, edges = _keys_seen(q0, q1, M)
        pairs += (q1 - q0) * _count(seen)
    return B * H * pairs


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
    q: Tensor, k: Tensor, v: Tensor, gain: Tensor, backend: str, floats: list[float],
    changing: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Output and log-sum-exp."""
    (scale,) = floats if changing is None else changing.tolist()
    forward = _forward_triton if backend == "triton" else _forward_cpu
    return forward(q, k, v, gain, scale)


@torch.library.register_fake(_attention, lib=_LIBRARY)
def _(q, k, v, gain, backend, floats, changing):
    wide = torch.promote_types(q.dtype, torch.float32)
    out = q.new_empty(*q.shape[:3], v.shape[3])
    return (
        out, q.new_empty(q.shape[:3], dtype=wide), q.new_empty(q.shape[:3], dtype=wide),
        q.new_empty(q.shape[:3], dtype=wide),
    )


_count_flops(_attention, {"q": 1, "v": 1})


@_operator
def _attention_backward(
    dout: Tensor, dlse: Tensor, q: Tensor, k: Tensor, v: Tensor, gain: Tensor, out: Tensor,
    row_max: Tensor, row_weight: Tensor, backend: str, floats: list[float], changing: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    (scale,) = floats if changing is None else changing.tolist()
    backward = _backward_triton if backend == "triton" else _backward_cpu
    return backward(dout, dlse, q, k, v, gain, out, row_max, row_weight, scale)


@torch.library.register_fake(_attention_backward, lib=_LIBRARY)
def _(dout, dlse, q, k, v, gain, out, row_max, row_weight, backend, floats, changing):
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


_derive(
    _attention_backward, _refuse, _keep_nothing,
    ("dout", "dlse", "q", "k", "v", "out", "row_max", "row_weight"),
)


_count_flops(_attention_backward, {"q": 3, "v": 2})


def _save(ctx, inputs, output):
    """Keep what the backward pass reads: all inputs, the output and numbers of rows."""
    out, _, row_max, row_weight = output
    ctx.save_for_backward(*inputs[:4], out, row_max, row_weight)
    ctx.mark_non_differentiable(row_max, row_weight)
    ctx.arguments = inputs[4:]


def _differentiate(ctx, dout, dlse, *_):
    """The gradient of every input of `_attention`."""
    dq, dk, dv = _attention_backward(dout, dlse, *ctx.saved_tensors, *ctx.arguments)
    return dq, dk, dv, None, None, None, None


_derive(_attention, _differentiate, _save, ("q", "k", "v"))


@_without_autocast
def _output(o, q, gain):
    """The result of the kernel, mapped as the spec says."""
    dtype = q.dtype
    return o * gain[:, None, None].to(dtype)


# _choose: attnc/support/call.py
# _floats: attnc/support/call.py
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


def _check(q, k, v, scale, gain):
    """Raise the first mistake of a call; return its parameters, numbers as Python's."""
    _check_inputs(q, k, v)
    scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)
    H = q.shape[1]
    _check_tensor("gain", gain, "[H]", (H,), FLOATS, q)
    return scale, gain


def differential(
    q: Tensor, k: Tensor, v: Tensor, *, gain: Tensor, scale: float | None = None,
    return_lse: bool = False, backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of q [B, H, N, D] over k [B, HKV, M, D] and v [B, HKV, M, DV]: [B, H, N, DV].

    gain: float[H]
    scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given
    return_lse: also return the log-sum-exp of each row, [B, H, N]
    backend: "auto" (by the device of the tensors), "triton" or "cpu"
    """
    q, k, v = map(_as_autocast, (q, k, v))
    try:
        scale, gain = _check(q, k, v, scale, gain)
    except (TypeError, ValueError) as mistake:
        return _refused(mistake, q, v, return_lse)
    _tell_counters()
    out, lse, *_ = _attention(q, k, v, gain, _choose(backend, q), *_floats(scale))
    if k.shape[2] > 0:  # without a key the output is 0
        out = _output(out, q, gain)
    return (out, lse) if return_lse else out
