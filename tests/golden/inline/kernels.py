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
def _add_keys_1(
    k0, sum_1, sum_2, q, k_ptr, k_stride_t, scale, M, D: tl.constexpr, BLOCK_K: tl.constexpr,
    PARTS_D: tl.constexpr, EDGE: tl.constexpr,
):
    """Add keys [k0, k0 + BLOCK_K) to the sums of one query tile."""
    j = (k0 + tl.arange(0, BLOCK_K))[None, :]
    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, EDGE)
    qk = _dot_rows(q, k)
    score = qk * scale                                                  # inline.attn:5

    part_1 = score
    if EDGE:
        visible = j < M
        part_1 = tl.where(visible, part_1, 0.0)
        sum_2 += _count_visible(visible, score)
    else:
        sum_2 += BLOCK_K
    sum_1 += tl.sum(part_1, 1)

    return sum_1, sum_2


@triton.jit(do_not_specialize=["N", "M"])
def _forward_1(
    q_ptr, k_ptr, sum_1_ptr, sum_2_ptr, q_stride_b, q_stride_h, q_stride_t, k_stride_b, k_stride_h,
    k_stride_t, scale, H, group, N, M, D: tl.constexpr, BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: BLOCK_Q queries of one head."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, H, LARGE)
    q0 = tile_id * BLOCK_Q
    h = head_id.to(tl.int64)
    b = batch_id.to(tl.int64)
    h_kv = h // group
    q_ptr += b * q_stride_b + h * q_stride_h
    k_ptr += b * k_stride_b + h_kv * k_stride_h

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        q_stride_t = tl.cast(q_stride_t, tl.int64)
        k_stride_t = tl.cast(k_stride_t, tl.int64)

    q = _load_rows(q_ptr, q0, N, q_stride_t, D, BLOCK_Q, PARTS_D, True)

    sum_1 = tl.zeros([BLOCK_Q], tl.float32)
    sum_2 = tl.zeros([BLOCK_Q], tl.float32)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    live_hi = tl.cdiv(M, BLOCK_K)
    full_hi = M // BLOCK_K

    for t in range(full_hi, live_hi):
        sum_1, sum_2 = _add_keys_1(
            t * BLOCK_K, sum_1, sum_2, q, k_ptr, k_stride_t, scale, M, D, BLOCK_K, PARTS_D,
            EDGE=True,
        )
    for t in range(0, full_hi):
        sum_1, sum_2 = _add_keys_1(
            t * BLOCK_K, sum_1, sum_2, q, k_ptr, k_stride_t, scale, M, D, BLOCK_K, PARTS_D,
            EDGE=False,
        )

    row = (b * H + h) * N
    rows = q0 + tl.arange(0, BLOCK_Q)
    tl.store(sum_1_ptr + row + rows, sum_1, mask=rows < N)
    tl.store(sum_2_ptr + row + rows, sum_2, mask=rows < N)


@triton.jit(do_not_specialize=["splits", "B", "N", "M"])
def _forward_split_1(
    q_ptr, k_ptr, part_sum_1_ptr, part_sum_2_ptr, q_stride_b, q_stride_h, q_stride_t, k_stride_b,
    k_stride_h, k_stride_t, scale, splits, B, H, HKV, group, N, M, D: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, LARGE: tl.constexpr,
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
    i = row // group
    q_ptr += b * q_stride_b + h * q_stride_h
    k_ptr += b * k_stride_b + h_kv * k_stride_h

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        k_stride_t = tl.cast(k_stride_t, tl.int64)

    q = _load_rows_at(q_ptr + i.to(tl.int64) * q_stride_t, i < N, D, PARTS_D)

    sum_1 = tl.zeros([BLOCK_Q], tl.float32)
    sum_2 = tl.zeros([BLOCK_Q], tl.float32)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    live_hi = tl.cdiv(M, BLOCK_K)
    full_hi = M // BLOCK_K

    # The share of this program: edge tiles are counted first, then full ones.
    edge_tiles = live_hi - full_hi
    count = edge_tiles + full_hi
    share = count // splits
    rest = count % splits
    share_lo = split * share + tl.minimum(split, rest)
    share_hi = (split + 1) * share + tl.minimum(split + 1, rest)
    for t in range(tl.minimum(share_lo, edge_tiles), tl.minimum(share_hi, edge_tiles)):
        tile = full_hi + t
        sum_1, sum_2 = _add_keys_1(
            tile * BLOCK_K, sum_1, sum_2, q, k_ptr, k_stride_t, scale, M, D, BLOCK_K, PARTS_D,
            EDGE=True,
        )
    for t in range(tl.maximum(share_lo - edge_tiles, 0), tl.maximum(share_hi - edge_tiles, 0)):
        sum_1, sum_2 = _add_keys_1(
            t * BLOCK_K, sum_1, sum_2, q, k_ptr, k_stride_t, scale, M, D, BLOCK_K, PARTS_D,
            EDGE=False,
        )

    place = ((split * B + b) * H + h) * N + i
    tl.store(part_sum_1_ptr + place, sum_1[:, None], mask=i < N)
    tl.store(part_sum_2_ptr + place, sum_2[:, None], mask=i < N)


@triton.jit(do_not_specialize=["splits"])
def _combine_1(part_sum_1_ptr, part_sum_2_ptr, sum_1_ptr, sum_2_ptr, splits, SHARES: tl.constexpr):
    """One program: one row, from what each share of its keys has left."""
    row = tl.program_id(0).to(tl.int64)
    rows = tl.num_programs(0).to(tl.int64)
    part = tl.arange(0, SHARES)[:, None]

    sum_1 = tl.zeros([SHARES, 1], tl.float32)
    sum_2 = tl.zeros([SHARES, 1], tl.float32)
    for first in range(0, splits, SHARES):
        inside = first + part < splits
        place = (first + part) * rows + row
        sum_1 += tl.load(part_sum_1_ptr + place, mask=inside, other=0.0)
        sum_2 += tl.load(part_sum_2_ptr + place, mask=inside, other=0.0)

    tl.store(sum_1_ptr + row, tl.sum(sum_1))
    tl.store(sum_2_ptr + row, tl.sum(sum_2))


@triton.jit
def _add_queries_1(
    q0, dk, k, row, q_head, dsum_1_ptr, q_stride_t, scale, N, D: tl.constexpr,
    BLOCK_Q: tl.constexpr, PARTS_D: tl.constexpr, EDGE: tl.constexpr,
):
    """Add what queries [q0, q0 + BLOCK_Q) of one head say about the gradient of one key tile."""
    i = (q0 + tl.arange(0, BLOCK_Q))[None, :]
    q = _load_rows(q_head, q0, N, q_stride_t, D, BLOCK_Q, PARTS_D, EDGE)
    qk = _dot_rows(k, q)
    score = qk * scale                                                  # inline.attn:5

    dsum_1 = tl.load(dsum_1_ptr + row + i, mask=i < N, other=0.0)
    ds = tl.zeros_like(score) + dsum_1
    if EDGE:
        visible = i < N
        ds = tl.where(visible, ds, 0.0)
    dk = _add_rows(dk, ds, q)

    return dk


@triton.jit(do_not_specialize=["shares", "N", "M"])
def _backward_keys_1(
    q_ptr, k_ptr, dsum_1_ptr, dk_ptr, q_stride_b, q_stride_h, q_stride_t, k_stride_b, k_stride_h,
    k_stride_t, scale, shares, H, HKV, group, N, M, D: tl.constexpr, BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: what a share of the query heads says about BLOCK_K keys of one key head."""
    tiles = tl.cdiv(M, BLOCK_K)
    tile_id, head_id, batch_id = _program(tiles, HKV * shares, LARGE)
    k0 = tile_id * BLOCK_K
    share = head_id % shares
    h_kv = (head_id // shares).to(tl.int64)
    b = batch_id.to(tl.int64)
    k_ptr += b * k_stride_b + h_kv * k_stride_h
    h_first = head_id // shares * group + share * group // shares
    h_end = head_id // shares * group + (share + 1) * group // shares

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        k_stride_t = tl.cast(k_stride_t, tl.int64)
        q_stride_t = tl.cast(q_stride_t, tl.int64)

    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, True)

    dk = _zeros(BLOCK_K, PARTS_D)

    for g in tl.range(h_first, h_end, disable_licm=True):
        h = tl.cast(g, tl.int64)
        row = (b * H + h) * N
        q_head = q_ptr + (b * q_stride_b + h * q_stride_h)

        # Tiles of queries: [live_lo, live_hi) see one of these keys, [full_lo, full_hi) see all.
        live_hi = tl.cdiv(N, BLOCK_Q)
        full_hi = N // BLOCK_Q
        for t in range(full_hi, live_hi):
            dk = _add_queries_1(
                t * BLOCK_Q, dk, k, row, q_head, dsum_1_ptr, q_stride_t, scale, N, D, BLOCK_Q,
                PARTS_D, EDGE=True,
            )
        for t in range(0, full_hi):
            dk = _add_queries_1(
                t * BLOCK_Q, dk, k, row, q_head, dsum_1_ptr, q_stride_t, scale, N, D, BLOCK_Q,
                PARTS_D, EDGE=False,
            )

    row = (b * (HKV * shares) + head_id) * M
    _store_rows(dk_ptr + row * D, k0, M, _scaled(dk, scale), D, BLOCK_K, PARTS_D)


@triton.jit
def _add_keys_backward_1(
    k0, dq, q, dsum_1, k_ptr, k_stride_t, scale, M, D: tl.constexpr, BLOCK_K: tl.constexpr,
    PARTS_D: tl.constexpr, EDGE: tl.constexpr,
):
    """Add what keys [k0, k0 + BLOCK_K) say about the gradient of one query tile."""
    j = (k0 + tl.arange(0, BLOCK_K))[None, :]
    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, EDGE)
    qk = _dot_rows(q, k)
    score = qk * scale                                                  # inline.attn:5

    ds = tl.zeros_like(score) + dsum_1
    if EDGE:
        visible = j < M
        ds = tl.where(visible, ds, 0.0)
    dq = _add_rows(dq, ds, k)

    return dq


@triton.jit(do_not_specialize=["N", "M"])
def _backward_queries_1(
    q_ptr, k_ptr, dsum_1_ptr, dq_ptr, q_stride_b, q_stride_h, q_stride_t, k_stride_b, k_stride_h,
    k_stride_t, scale, H, group, N, M, D: tl.constexpr, BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: the gradient of BLOCK_Q queries of one head."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, H, LARGE)
    q0 = tile_id * BLOCK_Q
    h = head_id.to(tl.int64)
    b = batch_id.to(tl.int64)
    h_kv = h // group
    q_ptr += b * q_stride_b + h * q_stride_h
    k_ptr += b * k_stride_b + h_kv * k_stride_h

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        q_stride_t = tl.cast(q_stride_t, tl.int64)
        k_stride_t = tl.cast(k_stride_t, tl.int64)

    i = (q0 + tl.arange(0, BLOCK_Q))[:, None]
    q = _load_rows(q_ptr, q0, N, q_stride_t, D, BLOCK_Q, PARTS_D, True)
    row = (b * H + h) * N
    dsum_1 = tl.load(dsum_1_ptr + row + i, mask=i < N, other=0.0)

    dq = _zeros(BLOCK_Q, PARTS_D)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    live_hi = tl.cdiv(M, BLOCK_K)
    full_hi = M // BLOCK_K

    for t in range(full_hi, live_hi):
        dq = _add_keys_backward_1(
            t * BLOCK_K, dq, q, dsum_1, k_ptr, k_stride_t, scale, M, D, BLOCK_K, PARTS_D, EDGE=True,
        )
    for t in range(0, full_hi):
        dq = _add_keys_backward_1(
            t * BLOCK_K, dq, q, dsum_1, k_ptr, k_stride_t, scale, M, D, BLOCK_K, PARTS_D,
            EDGE=False,
        )

    _store_rows(dq_ptr + row * D, q0, N, _scaled(dq, scale), D, BLOCK_Q, PARTS_D)


@triton.jit
def _add_keys(
    k0, acc, q, row_1_i, of_1_over_M, k_ptr, v_ptr, k_stride_t, v_stride_t, scale, M,
    D: tl.constexpr, DV: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr,
    PARTS_DV: tl.constexpr, EDGE: tl.constexpr,
):
    """Add keys [k0, k0 + BLOCK_K) to the sums of one query tile."""
    j = (k0 + tl.arange(0, BLOCK_K))[None, :]
    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, EDGE)
    qk = _dot_rows(q, k)
    score = qk * scale                                                  # inline.attn:5

    p = score - row_1_i + of_1_over_M                                   # inline.attn:6
    if EDGE:
        visible = j < M
        p = tl.where(visible, p, 0.0)
    v = _load_rows(v_ptr, k0, M, v_stride_t, DV, BLOCK_K, PARTS_DV, EDGE)
    acc = _add_rows_of_any_size(acc, p, v)

    return acc


@triton.jit(do_not_specialize=["N", "M"])
def _forward(
    q_ptr, k_ptr, v_ptr, out_ptr, row_1_ptr, q_stride_b, q_stride_h, q_stride_t, k_stride_b,
    k_stride_h, k_stride_t, v_stride_b, v_stride_h, v_stride_t, row_1_stride_0, row_1_stride_1,
    row_1_stride_2, scale, H, group, N, M, D: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: BLOCK_Q queries of one head."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, H, LARGE)
    q0 = tile_id * BLOCK_Q
    h = head_id.to(tl.int64)
    b = batch_id.to(tl.int64)
    h_kv = h // group
    q_ptr += b * q_stride_b + h * q_stride_h
    k_ptr += b * k_stride_b + h_kv * k_stride_h
    v_ptr += b * v_stride_b + h_kv * v_stride_h

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        q_stride_t = tl.cast(q_stride_t, tl.int64)
        k_stride_t = tl.cast(k_stride_t, tl.int64)
        v_stride_t = tl.cast(v_stride_t, tl.int64)

    i = (q0 + tl.arange(0, BLOCK_Q))[:, None]
    q = _load_rows(q_ptr, q0, N, q_stride_t, D, BLOCK_Q, PARTS_D, True)
    row_1_i = tl.load(
        row_1_ptr + b * row_1_stride_0 + h * row_1_stride_1 + i.to(tl.int64) * row_1_stride_2,
        mask=i < N, other=0,
    ).to(tl.float32)
    of_1_over_M = 1.0 / tl.cast(M, tl.float32)

    acc = _zeros(BLOCK_Q, PARTS_DV)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    live_hi = tl.cdiv(M, BLOCK_K)
    full_hi = M // BLOCK_K

    for t in range(full_hi, live_hi):
        acc = _add_keys(
            t * BLOCK_K, acc, q, row_1_i, of_1_over_M, k_ptr, v_ptr, k_stride_t, v_stride_t, scale,
            M, D, DV, BLOCK_K, PARTS_D, PARTS_DV, EDGE=True,
        )
    for t in range(0, full_hi):
        acc = _add_keys(
            t * BLOCK_K, acc, q, row_1_i, of_1_over_M, k_ptr, v_ptr, k_stride_t, v_stride_t, scale,
            M, D, DV, BLOCK_K, PARTS_D, PARTS_DV, EDGE=False,
        )

    row = (b * H + h) * N
    _store_rows(out_ptr + row * DV, q0, N, acc, DV, BLOCK_Q, PARTS_DV)


@triton.jit(do_not_specialize=["splits", "B", "N", "M"])
def _forward_split(
    q_ptr, k_ptr, v_ptr, part_acc_ptr, row_1_ptr, q_stride_b, q_stride_h, q_stride_t, k_stride_b,
    k_stride_h, k_stride_t, v_stride_b, v_stride_h, v_stride_t, row_1_stride_0, row_1_stride_1,
    row_1_stride_2, scale, splits, B, H, HKV, group, N, M, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr,
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
    i = row // group
    q_ptr += b * q_stride_b + h * q_stride_h
    k_ptr += b * k_stride_b + h_kv * k_stride_h
    v_ptr += b * v_stride_b + h_kv * v_stride_h

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        k_stride_t = tl.cast(k_stride_t, tl.int64)
        v_stride_t = tl.cast(v_stride_t, tl.int64)

    q = _load_rows_at(q_ptr + i.to(tl.int64) * q_stride_t, i < N, D, PARTS_D)
    row_1_i = tl.load(
        row_1_ptr + b * row_1_stride_0 + h * row_1_stride_1 + i.to(tl.int64) * row_1_stride_2,
        mask=i < N, other=0,
    ).to(tl.float32)
    of_1_over_M = 1.0 / tl.cast(M, tl.float32)

    acc = _zeros(BLOCK_Q, PARTS_DV)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    live_hi = tl.cdiv(M, BLOCK_K)
    full_hi = M // BLOCK_K

    # The share of this program: edge tiles are counted first, then full ones.
    edge_tiles = live_hi - full_hi
    count = edge_tiles + full_hi
    share = count // splits
    rest = count % splits
    share_lo = split * share + tl.minimum(split, rest)
    share_hi = (split + 1) * share + tl.minimum(split + 1, rest)
    for t in range(tl.minimum(share_lo, edge_tiles), tl.minimum(share_hi, edge_tiles)):
        tile = full_hi + t
        acc = _add_keys(
            tile * BLOCK_K, acc, q, row_1_i, of_1_over_M, k_ptr, v_ptr, k_stride_t, v_stride_t,
            scale, M, D, DV, BLOCK_K, PARTS_D, PARTS_DV, EDGE=True,
        )
    for t in range(tl.maximum(share_lo - edge_tiles, 0), tl.maximum(share_hi - edge_tiles, 0)):
        acc = _add_keys(
            t * BLOCK_K, acc, q, row_1_i, of_1_over_M, k_ptr, v_ptr, k_stride_t, v_stride_t, scale,
            M, D, DV, BLOCK_K, PARTS_D, PARTS_DV, EDGE=False,
        )

    place = ((split * B + b) * H + h) * N + i
    _store_rows_at(part_acc_ptr + place * DV, i < N, acc, DV, PARTS_DV)


@triton.jit(do_not_specialize=["splits"])
def _combine(
    part_acc_ptr, out_ptr, splits, DV: tl.constexpr, SHARES: tl.constexpr, BLOCK_DV: tl.constexpr,
):
    """One program: one row, from what each share of its keys has left."""
    row = tl.program_id(0).to(tl.int64)
    rows = tl.num_programs(0).to(tl.int64)
    part = tl.arange(0, SHARES)[:, None]

    acc = tl.zeros([SHARES, BLOCK_DV], tl.float32)
    for first in range(0, splits, SHARES):
        inside = first + part < splits
        place = (first + part) * rows + row
        acc += _load_tile_at(part_acc_ptr + place * DV, inside, DV, BLOCK_DV)

    col = tl.arange(0, BLOCK_DV)
    tl.store(out_ptr + row * DV + col, tl.sum(acc, 0).to(out_ptr.dtype.element_ty), mask=col < DV)


@triton.jit
def _add_queries(
    q0, dv, dk, b, k, v, of_1_over_M, h, q_head, dout_head, row_1_ptr, q_stride_t, dout_stride_t,
    row_1_stride_0, row_1_stride_1, row_1_stride_2, scale, N, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_Q: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, EDGE: tl.constexpr,
):
    """Add what queries [q0, q0 + BLOCK_Q) of one head say about the gradient of one key tile."""
    i = (q0 + tl.arange(0, BLOCK_Q))[None, :]
    q = _load_rows(q_head, q0, N, q_stride_t, D, BLOCK_Q, PARTS_D, EDGE)
    qk = _dot_rows(k, q)
    dout = _load_rows(dout_head, q0, N, dout_stride_t, DV, BLOCK_Q, PARTS_DV, EDGE)
    dp = _dot_rows(v, dout)
    score = qk * scale                                                  # inline.attn:5

    row_1_i = tl.load(
        row_1_ptr + b * row_1_stride_0 + h * row_1_stride_1 + i.to(tl.int64) * row_1_stride_2,
        mask=i < N, other=0,
    ).to(tl.float32)
    p = score - row_1_i + of_1_over_M                                   # inline.attn:6
    ds = dp
    if EDGE:
        visible = i < N
        p = tl.where(visible, p, 0.0)
        ds = tl.where(visible, ds, 0.0)
    dv = _add_rows_of_any_size(dv, p, dout)
    dk = _add_rows_of_any_size(dk, ds, q)

    return dv, dk


@triton.jit(do_not_specialize=["shares", "N", "M"])
def _backward_keys(
    q_ptr, k_ptr, v_ptr, dout_ptr, dk_ptr, dv_ptr, row_1_ptr, q_stride_b, q_stride_h, q_stride_t,
    k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h, v_stride_t, dout_stride_b,
    dout_stride_h, dout_stride_t, row_1_stride_0, row_1_stride_1, row_1_stride_2, scale, shares, H,
    HKV, group, N, M, D: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: what a share of the query heads says about BLOCK_K keys of one key head."""
    tiles = tl.cdiv(M, BLOCK_K)
    tile_id, head_id, batch_id = _program(tiles, HKV * shares, LARGE)
    k0 = tile_id * BLOCK_K
    share = head_id % shares
    h_kv = (head_id // shares).to(tl.int64)
    b = batch_id.to(tl.int64)
    k_ptr += b * k_stride_b + h_kv * k_stride_h
    v_ptr += b * v_stride_b + h_kv * v_stride_h
    h_first = head_id // shares * group + share * group // shares
    h_end = head_id // shares * group + (share + 1) * group // shares

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        k_stride_t = tl.cast(k_stride_t, tl.int64)
        v_stride_t = tl.cast(v_stride_t, tl.int64)
        q_stride_t = tl.cast(q_stride_t, tl.int64)
        dout_stride_t = tl.cast(dout_stride_t, tl.int64)

    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, True)
    v = _load_rows(v_ptr, k0, M, v_stride_t, DV, BLOCK_K, PARTS_DV, True)
    of_1_over_M = 1.0 / tl.cast(M, tl.float32)

    dk = _zeros(BLOCK_K, PARTS_D)
    dv = _zeros(BLOCK_K, PARTS_DV)

    for g in tl.range(h_first, h_end, disable_licm=True):
        h = tl.cast(g, tl.int64)
        row = (b * H + h) * N
        q_head = q_ptr + (b * q_stride_b + h * q_stride_h)
        dout_head = dout_ptr + (b * dout_stride_b + h * dout_stride_h)

        # Tiles of queries: [live_lo, live_hi) see one of these keys, [full_lo, full_hi) see all.
        live_hi = tl.cdiv(N, BLOCK_Q)
        full_hi = N // BLOCK_Q
        for t in range(full_hi, live_hi):
            dv, dk = _add_queries(
                t * BLOCK_Q, dv, dk, b, k, v, of_1_over_M, h, q_head, dout_head, row_1_ptr,
                q_stride_t, dout_stride_t, row_1_stride_0, row_1_stride_1, row_1_stride_2, scale, N,
                D, DV, BLOCK_Q, PARTS_D, PARTS_DV, EDGE=True,
            )
        for t in range(0, full_hi):
            dv, dk = _add_queries(
                t * BLOCK_Q, dv, dk, b, k, v, of_1_over_M, h, q_head, dout_head, row_1_ptr,
                q_stride_t, dout_stride_t, row_1_stride_0, row_1_stride_1, row_1_stride_2, scale, N,
                D, DV, BLOCK_Q, PARTS_D, PARTS_DV, EDGE=False,
            )

    row = (b * (HKV * shares) + head_id) * M
    _store_rows(dk_ptr + row * D, k0, M, _scaled(dk, scale), D, BLOCK_K, PARTS_D)
    _store_rows(dv_ptr + row * DV, k0, M, dv, DV, BLOCK_K, PARTS_DV)


@triton.jit
def _add_keys_backward(
    k0, dq, d_row_1, dout, k_ptr, v_ptr, k_stride_t, v_stride_t, M, D: tl.constexpr,
    DV: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr,
    EDGE: tl.constexpr,
):
    """Add what keys [k0, k0 + BLOCK_K) say about the gradient of one query tile."""
    j = (k0 + tl.arange(0, BLOCK_K))[None, :]
    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, EDGE)
    v = _load_rows(v_ptr, k0, M, v_stride_t, DV, BLOCK_K, PARTS_DV, EDGE)
    dp = _dot_rows(dout, v)

    ds = dp
    d_row_1_past = dp * -1.0
    if EDGE:
        visible = j < M
        ds = tl.where(visible, ds, 0.0)
        d_row_1_past = tl.where(visible, d_row_1_past, 0.0)
    dq = _add_rows_of_any_size(dq, ds, k)
    d_row_1 += tl.sum(d_row_1_past, 1)

    return dq, d_row_1


@triton.jit(do_not_specialize=["N", "M"])
def _backward_queries(
    q_ptr, k_ptr, v_ptr, dout_ptr, dq_ptr, d_row_1_ptr, q_stride_b, q_stride_h, q_stride_t,
    k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h, v_stride_t, dout_stride_b,
    dout_stride_h, dout_stride_t, scale, H, group, N, M, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr,
    LARGE: tl.constexpr,
):
    """One program: the gradient of BLOCK_Q queries of one head."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, H, LARGE)
    q0 = tile_id * BLOCK_Q
    h = head_id.to(tl.int64)
    b = batch_id.to(tl.int64)
    h_kv = h // group
    q_ptr += b * q_stride_b + h * q_stride_h
    k_ptr += b * k_stride_b + h_kv * k_stride_h
    v_ptr += b * v_stride_b + h_kv * v_stride_h
    dout_ptr += b * dout_stride_b + h * dout_stride_h

    if LARGE:
        # Rows may lie too far apart for 32 bits.
        q_stride_t = tl.cast(q_stride_t, tl.int64)
        dout_stride_t = tl.cast(dout_stride_t, tl.int64)
        k_stride_t = tl.cast(k_stride_t, tl.int64)
        v_stride_t = tl.cast(v_stride_t, tl.int64)

    row = (b * H + h) * N
    dout = _load_rows(dout_ptr, q0, N, dout_stride_t, DV, BLOCK_Q, PARTS_DV, True)

    dq = _zeros(BLOCK_Q, PARTS_D)
    d_row_1 = tl.zeros([BLOCK_Q], tl.float32)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    live_hi = tl.cdiv(M, BLOCK_K)
    full_hi = M // BLOCK_K

    for t in range(full_hi, live_hi):
        dq, d_row_1 = _add_keys_backward(
            t * BLOCK_K, dq, d_row_1, dout, k_ptr, v_ptr, k_stride_t, v_stride_t, M, D, DV, BLOCK_K,
            PARTS_D, PARTS_DV, EDGE=True,
        )
    for t in range(0, full_hi):
        dq, d_row_1 = _add_keys_backward(
            t * BLOCK_K, dq, d_row_1, dout, k_ptr, v_ptr, k_stride_t, v_stride_t, M, D, DV, BLOCK_K,
            PARTS_D, PARTS_DV, EDGE=False,
        )

    _store_rows(dq_ptr + row * D, q0, N, _scaled(dq, scale), D, BLOCK_Q, PARTS_D)
    rows = q0 + tl.arange(0, BLOCK_Q)
    tl.store(d_row_1_ptr + row + rows, d_row_1, mask=rows < N)


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
# _add_rows_of_any_size: attnc/support/kernels.py
# _count_visible: attnc/support/kernels.py
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
# _matmul: attnc/support/cpu.py
# _in_room: attnc/support/cpu.py
# _add_transposed: attnc/support/cpu.py


def _keys_seen(M):
    """The keys that queries [q0, q1) see, and the edges, where some are hidden."""
    return _join(M, (0, M, 0, M))


@_on_spare_threads
def _forward_cpu_1(q, k, scale):
    """Forward on the CPU: sum_1 and sum_2 [B, H, N]."""
    B, H, N, D = q.shape
    HKV, M = k.shape[1:3]
    dtype = torch.promote_types(q.dtype, torch.float32)
    sum_1 = q.new_empty(B, H, N, dtype=dtype)
    sum_2 = q.new_empty(B, H, N, dtype=dtype)
    room = torch.empty(0, dtype=dtype)
    k_room = torch.empty(0, dtype=dtype)
    tile = _rows_of_tile(_keys_seen(M), B * H, q.dtype) if N > 0 else TILE

    for q0 in range(0, N, tile):
        q1 = min(q0 + tile, N)
        seen, edges = _keys_seen(M)
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            # inline.attn:5
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale, _in_room(k[:, kv_heads, seen], k_room).mT,
                room,
            )
            part_1 = score.clone()                                      # inline.attn:6
            sum_1[:, heads, q0:q1] = part_1.sum(-1)
            part_2 = torch.full_like(score, 1.0)
            sum_2[:, heads, q0:q1] = part_2.sum(-1)

    return sum_1, sum_2


@_on_spare_threads
def _backward_cpu_1(dsum_1, dsum_2, q, k, scale):
    """Backward on the CPU: the gradient of every float tensor, in order."""
    B, H, N, D = q.shape
    HKV, M = k.shape[1:3]
    dtype = torch.promote_types(q.dtype, torch.float32)
    narrow = _narrow(q.dtype)
    dq = torch.empty(q.shape, dtype=q.dtype)
    dk = torch.zeros(k.shape, dtype=dtype)
    room = torch.empty(0, dtype=dtype)
    k_room = torch.empty(0, dtype=dtype)
    narrow_room = torch.empty(0, dtype=narrow)
    keys_room = torch.empty(0, dtype=narrow)
    tile = _rows_of_tile(_keys_seen(M), B * H, q.dtype) if N > 0 else TILE

    for q0 in range(0, N, tile):
        q1 = min(q0 + tile, N)
        seen, edges = _keys_seen(M)
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            # inline.attn:5
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale, _in_room(k[:, kv_heads, seen], k_room).mT,
                room,
            )
            ds = torch.zeros_like(score) + dsum_1[:, heads, q0:q1].unsqueeze(-1)
            ds_narrow = _in_room(ds, narrow_room)
            dq[:, heads, q0:q1] = _matmul(ds_narrow, k[:, kv_heads, seen].to(narrow)) * scale
            _add_transposed(
                dk[:, kv_heads], seen, ds_narrow, q[:, heads, q0:q1].to(narrow), keys_room,
            )

    dk.mul_(scale)
    return dq, dk.to(k.dtype)


@_on_spare_threads
def _forward_cpu(q, k, v, row_1, scale):
    """Forward on the CPU: out [B, H, N, DV]."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = torch.promote_types(q.dtype, torch.float32)
    narrow = _narrow(q.dtype)
    out = q.new_empty(B, H, N, DV, dtype=dtype)
    room = torch.empty(0, dtype=dtype)
    k_room = torch.empty(0, dtype=dtype)
    of_1_over_M = 1.0 / M
    narrow_room = torch.empty(0, dtype=narrow)
    tile = _rows_of_tile(_keys_seen(M), B * H, q.dtype) if N > 0 else TILE

    for q0 in range(0, N, tile):
        q1 = min(q0 + tile, N)
        seen, edges = _keys_seen(M)
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            # inline.attn:5
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale, _in_room(k[:, kv_heads, seen], k_room).mT,
                room,
            )
            row_1_i = row_1[:, heads, q0:q1, None].to(dtype)
            p = score - row_1_i + of_1_over_M                           # inline.attn:6
            p_narrow = _in_room(p, narrow_room)
            out[:, heads, q0:q1] = _matmul(p_narrow, v[:, kv_heads, seen].to(narrow))

    return out


@_on_spare_threads
def _backward_cpu(dout, q, k, v, row_1, scale):
    """Backward on the CPU: the gradient of every float tensor, in order."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = torch.promote_types(q.dtype, torch.float32)
    narrow = _narrow(q.dtype)
    dq = torch.empty(q.shape, dtype=q.dtype)
    dk = torch.zeros(k.shape, dtype=dtype)
    dv = torch.zeros(v.shape, dtype=dtype)
    d_row_1 = torch.zeros(row_1.shape, dtype=dtype)
    room = torch.empty(0, dtype=dtype)
    k_room = torch.empty(0, dtype=dtype)
    of_1_over_M = 1.0 / M
    v_room = torch.empty(0, dtype=dtype)
    dp_room = torch.empty(0, dtype=dtype)
    narrow_room = torch.empty(0, dtype=narrow)
    keys_room = torch.empty(0, dtype=narrow)
    tile = _rows_of_tile(_keys_seen(M), B * H, q.dtype) if N > 0 else TILE

    for q0 in range(0, N, tile):
        q1 = min(q0 + tile, N)
        seen, edges = _keys_seen(M)
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            # inline.attn:5
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale, _in_room(k[:, kv_heads, seen], k_room).mT,
                room,
            )
            row_1_i = row_1[:, heads, q0:q1, None].to(dtype)
            p = score - row_1_i + of_1_over_M                           # inline.attn:6
            dout_wide = dout[:, heads, q0:q1].to(dtype)
            dp = _matmul(dout_wide, _in_room(v[:, kv_heads, seen], v_room).mT, dp_room)
            ds = dp
            d_row_1_past = dp * -1.0
            p_narrow = _in_room(p, narrow_room)
            _add_transposed(dv[:, kv_heads], seen, p_narrow, dout_wide.to(narrow), keys_room)
            ds_narrow = _in_room(ds, narrow_room)
            dq[:, heads, q0:q1] = _matmul(ds_narrow, k[:, kv_heads, seen].to(narrow)) * scale
            _add_transposed(
                dk[:, kv_heads], seen, ds_narrow, q[:, heads, q0:q1].to(narrow), keys_room,
            )
            _add_to_d_row_1(d_row_1, d_row_1_past, q0, q1, heads)

    dk.mul_(scale)
    return dq, dk.to(k.dtype), dv.to(v.dtype), d_row_1.to(row_1.dtype)


def _add_to_d_row_1(total, value, q0, q1, heads):
    """Add to the gradient of `row_1` what pairs of queries [q0, q1) and keys `seen` say about it.
    """
    total[:, heads, q0:q1] += value.sum((3,))


# Queries and keys of a tile, warps, pipeline stages: of each kernel, by the widest head they serve.
TILES = {
    "wgmma": {  # data center Hopper and Blackwell: 227 KiB of shared memory
        "forward": {
            64: (128, 64, 8, 3), 128: (128, 64, 8, 3), 192: (128, 64, 8, 2), 256: (128, 32, 8, 2),
        },
        "backward_keys": {64: (32, 128, 8, 3), 128: (16, 128, 8, 3), 256: (16, 64, 8, 2)},
        "backward_queries": {64: (128, 64, 8, 2), 128: (128, 32, 8, 2), 256: (128, 16, 8, 2)},
    },
    "mma": {  # other GPUs: some have no more than 64 KiB
        "forward": {64: (128, 64, 8, 2), 128: (128, 32, 8, 2), 256: (64, 32, 4, 1)},
        "backward_keys": {64: (32, 32, 4, 2), 128: (16, 32, 4, 2), 256: (16, 32, 4, 1)},
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
# _shares: attnc/support/launch.py


def _few_rows(tiles, rows):
    """The tiles of a forward kernel for so many rows of a key head, each a query of a head."""
    if rows <= 16:
        return {**tiles, "BLOCK_Q": 16, "num_warps": 4}
    block = {"BLOCK_Q": min(64, tiles["BLOCK_Q"]), "BLOCK_K": min(32, tiles["BLOCK_K"])}
    return {**tiles, **block, "num_warps": 4}


# _splits: attnc/support/launch.py


def _forward_triton_1(q, k, scale):
    """Forward by the kernels: sum_1 and sum_2 [B, H, N]."""
    B, H, N, D = q.shape
    HKV, M = k.shape[1:3]
    group = H // HKV
    _check_reach("M + N", M + N)
    q, k = map(_with_unit_stride, (q, k))
    large = _is_large(H, B, q, k)
    sum_1 = q.new_empty(B, H, N, dtype=torch.float32)
    sum_2 = q.new_empty(B, H, N, dtype=torch.float32)
    tiles = _tiles("forward", q, ("D", D))
    few = _few_rows(tiles, N * group)
    splits = _splits(q, N * group, B * HKV, M, few)
    if splits:
        part_sum_1 = q.new_empty(splits, B, H, N, dtype=torch.float32)
        part_sum_2 = q.new_empty(splits, B, H, N, dtype=torch.float32)
        with torch.cuda.device_of(q):
            grid = _grid(triton.cdiv(N * group, few["BLOCK_Q"]), HKV * splits, B, large)
            _forward_split_1[grid](
                q, k, part_sum_1, part_sum_2, *q.stride()[:3], *k.stride()[:3], scale, splits, B, H,
                HKV, group, N, M, **few, LARGE=large,
            )
            _combine_1[(B * H * N,)](
                part_sum_1, part_sum_2, sum_1, sum_2, splits, SHARES=16, enable_fp_fusion=True,
            )
        return sum_1, sum_2
    with torch.cuda.device_of(q):
        _forward_1[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
            q, k, sum_1, sum_2, *q.stride()[:3], *k.stride()[:3], scale, H, group, N, M, **tiles,
            LARGE=large,
        )
    return sum_1, sum_2


def _backward_triton_1(dsum_1, dsum_2, q, k, scale):
    """Backward by the kernels: the gradient of every float tensor, in order."""
    B, H, N, D = q.shape
    HKV, M = k.shape[1:3]
    group = H // HKV
    q, k = map(_with_unit_stride, (q, k))
    large = _is_large(H, B, q, k)
    dq = q.new_empty(q.shape)
    with torch.cuda.device_of(q):
        tiles = _tiles("backward_keys", q, ("D", D))
        shares = min(group, _shares(q, triton.cdiv(M, tiles["BLOCK_K"]) * HKV * B))
        dk = _parts(k, shares)
        _backward_keys_1[_grid(triton.cdiv(M, tiles["BLOCK_K"]), HKV * shares, B, large)](
            q, k, dsum_1, dk, *q.stride()[:3], *k.stride()[:3], scale, shares, H, HKV, group, N, M,
            **tiles, LARGE=large,
        )
        dk = _sum_of_parts(dk, shares, k.dtype)
        tiles = _tiles("backward_queries", q, ("D", D))
        _backward_queries_1[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
            q, k, dsum_1, dq, *q.stride()[:3], *k.stride()[:3], scale, H, group, N, M, **tiles,
            LARGE=large,
        )
    return dq, dk


def _forward_triton(q, k, v, row_1, scale):
    """Forward by the kernels: out [B, H, N, DV]."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    group = H // HKV
    _check_reach("M + N", M + N)
    q, k, v = map(_with_unit_stride, (q, k, v))
    large = _is_large(H, B, q, k, v)
    out = q.new_empty(B, H, N, DV, dtype=torch.float32)
    tiles = _tiles("forward", q, ("D", D), ("DV", DV))
    few = _few_rows(tiles, N * group)
    splits = _splits(q, N * group, B * HKV, M, few)
    if splits:
        part_acc = q.new_empty(splits, B, H, N, DV, dtype=torch.float32)
        with torch.cuda.device_of(q):
            grid = _grid(triton.cdiv(N * group, few["BLOCK_Q"]), HKV * splits, B, large)
            _forward_split[grid](
                q, k, v, part_acc, row_1, *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
                *row_1.stride(), scale, splits, B, H, HKV, group, N, M, **few, LARGE=large,
            )
            _combine[(B * H * N,)](
                part_acc, out, splits, DV=DV, SHARES=16, BLOCK_DV=triton.next_power_of_2(DV),
                enable_fp_fusion=True,
            )
        return out
    with torch.cuda.device_of(q):
        _forward[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
            q, k, v, out, row_1, *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *row_1.stride(),
            scale, H, group, N, M, **tiles, LARGE=large,
        )
    return out


def _backward_triton(dout, q, k, v, row_1, scale):
    """Backward by the kernels: the gradient of every float tensor, in order."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    group = H // HKV
    q, k, v, dout = map(_with_unit_stride, (q, k, v, dout))
    large = _is_large(H, B, q, k, v, dout)
    dout = dout.to(v.dtype)
    dq = q.new_empty(q.shape)
    d_row_1 = q.new_empty(B, H, N, dtype=torch.float32)
    total_row_1 = torch.zeros(row_1.shape, dtype=torch.float32, device=q.device)
    with torch.cuda.device_of(q):
        tiles = _tiles("backward_keys", q, ("D", D), ("DV", DV))
        shares = min(group, _shares(q, triton.cdiv(M, tiles["BLOCK_K"]) * HKV * B))
        dk = _parts(k, shares)
        dv = _parts(v, shares)
        _backward_keys[_grid(triton.cdiv(M, tiles["BLOCK_K"]), HKV * shares, B, large)](
            q, k, v, dout, dk, dv, row_1, *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
            *dout.stride()[:3], *row_1.stride(), scale, shares, H, HKV, group, N, M, **tiles,
            LARGE=large,
        )
        dk = _sum_of_parts(dk, shares, k.dtype)
        dv = _sum_of_parts(dv, shares, v.dtype)
        tiles = _tiles("backward_queries", q, ("D", D), ("DV", DV))
        _backward_queries[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
            q, k, v, dout, dq, d_row_1, *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
            *dout.stride()[:3], scale, H, group, N, M, **tiles, LARGE=large,
        )
    q0, q1 = 0, N
    heads = slice(None)
    _add_to_d_row_1(total_row_1, d_row_1.unsqueeze(-1), q0, q1, heads)
    return dq, dk, dv, total_row_1.to(row_1.dtype)


def _pairs_seen(q, k):
    """How many pairs of a query and a key are in the tiles that are visited, of all heads."""
    B, H, N, D = q.shape
    HKV, M = k.shape[1:3]
    pairs = 0
    for q0 in range(0, N, TILE):
        q1 = min(q0 + TILE, N)
        seen, edges = _keys_seen(M)
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
def _rows_1(
    q: Tensor, k: Tensor, backend: str, floats: list[float], changing: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Pass 1, which weighs no values: sum_1 and sum_2 [B, H, N]."""
    (scale,) = floats if changing is None else changing.tolist()
    forward = _forward_triton_1 if backend == "triton" else _forward_cpu_1
    return forward(q, k, scale)


@torch.library.register_fake(_rows_1, lib=_LIBRARY)
def _(q, k, backend, floats, changing):
    wide = torch.promote_types(q.dtype, torch.float32)
    return q.new_empty(q.shape[:3], dtype=wide), q.new_empty(q.shape[:3], dtype=wide)


_count_flops(_rows_1, {"q": 1})


@_operator
def _rows_1_backward(
    dsum_1: Tensor, dsum_2: Tensor, q: Tensor, k: Tensor, backend: str, floats: list[float],
    changing: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    (scale,) = floats if changing is None else changing.tolist()
    backward = _backward_triton_1 if backend == "triton" else _backward_cpu_1
    return backward(dsum_1, dsum_2, q, k, scale)


@torch.library.register_fake(_rows_1_backward, lib=_LIBRARY)
def _(dsum_1, dsum_2, q, k, backend, floats, changing):
    return q.new_empty(q.shape), k.new_empty(k.shape)


_derive(_rows_1_backward, _refuse, _keep_nothing, ("dsum_1", "dsum_2", "q", "k"))


_count_flops(_rows_1_backward, {"q": 3})


def _save_1(ctx, inputs, output):
    """Keep what the backward pass reads: all inputs."""
    ctx.save_for_backward(*inputs[:2])
    ctx.arguments = inputs[2:]


def _differentiate_1(ctx, dsum_1, dsum_2):
    """The gradient of every input of `_rows_1`."""
    dq, dk = _rows_1_backward(dsum_1, dsum_2, *ctx.saved_tensors, *ctx.arguments)
    return dq, dk, None, None, None


_derive(_rows_1, _differentiate_1, _save_1, ("q", "k"))


@_operator
def _attention(
    q: Tensor, k: Tensor, v: Tensor, row_1: Tensor, backend: str, floats: list[float],
    changing: Tensor | None,
) -> Tensor:
    """Weighted values, and sums of each row."""
    (scale,) = floats if changing is None else changing.tolist()
    forward = _forward_triton if backend == "triton" else _forward_cpu
    return forward(q, k, v, row_1, scale)


@torch.library.register_fake(_attention, lib=_LIBRARY)
def _(q, k, v, row_1, backend, floats, changing):
    wide = torch.promote_types(q.dtype, torch.float32)
    out = q.new_empty(*q.shape[:3], v.shape[3], dtype=wide)
    return out


_count_flops(_attention, {"q": 1, "v": 1})


@_operator
def _attention_backward(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, row_1: Tensor, backend: str, floats: list[float],
    changing: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    (scale,) = floats if changing is None else changing.tolist()
    backward = _backward_triton if backend == "triton" else _backward_cpu
    return backward(dout, q, k, v, row_1, scale)


@torch.library.register_fake(_attention_backward, lib=_LIBRARY)
def _(dout, q, k, v, row_1, backend, floats, changing):
    return (
        q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape),
        row_1.new_empty(row_1.shape),
    )


_derive(_attention_backward, _refuse, _keep_nothing, ("dout", "q", "k", "v", "row_1"))


_count_flops(_attention_backward, {"q": 3, "v": 2})


def _save(ctx, inputs, output):
    """Keep what the backward pass reads: all inputs."""
    ctx.save_for_backward(*inputs[:4])
    ctx.arguments = inputs[4:]


def _differentiate(ctx, dout):
    """The gradient of every input of `_attention`."""
    dq, dk, dv, d_row_1 = _attention_backward(dout, *ctx.saved_tensors, *ctx.arguments)
    return dq, dk, dv, d_row_1, None, None, None


_derive(_attention, _differentiate, _save, ("q", "k", "v", "row_1"))


@_without_autocast
def _numbers_1(sum_1, sum_2):
    """What later passes read of each row."""
    row_1 = (sum_1.unsqueeze(-1) / sum_2.unsqueeze(-1)).squeeze(-1)
    return row_1


@_without_autocast
def _output(o, q):
    """The result of the kernel, mapped as the spec says."""
    dtype = q.dtype
    o = o.to(dtype)
    return o


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


def _check(q, k, v, scale):
    """Raise the first mistake of a call; return its parameters, numbers as Python's."""
    _check_inputs(q, k, v)
    scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)
    return scale


def inline(
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
    backend = _choose(backend, q)
    _tell_counters()
    sum_1, sum_2 = _rows_1(q, k, backend, *_floats(scale))
    row_1 = _numbers_1(sum_1, sum_2)
    out = _attention(q, k, v, row_1, backend, *_floats(scale))
    if k.shape[2] > 0:  # without a key the output is 0
        out = _output(out, q)
    else:
        out = out.to(q.dtype)
    return out
