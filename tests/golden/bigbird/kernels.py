import inspect
import numbers
import os
import sys
import weakref
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
    k0, acc, row_max, row_sum, h, i, q, scale_times_log2e, bi, k_ptr, v_ptr, table_ptr, k_stride_t,
    v_stride_t, table_stride_0, table_stride_1, table_stride_2, N, M, block: tl.constexpr,
    D: tl.constexpr, DV: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr,
    PARTS_DV: tl.constexpr, AGAIN: tl.constexpr, EDGE: tl.constexpr,
):
    """Fold keys [k0, k0 + BLOCK_K) into the running softmax of one query tile."""
    j = (k0 + tl.arange(0, BLOCK_K))[None, :]
    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, EDGE)
    qk = _dot_rows(q, k)
    score = qk * scale_times_log2e
    if EDGE:
        bj = j // block                                                 # bigbird.attn:6
        # bigbird.attn:7
        visible = (
            (
                (tl.abs(bi - bj) <= 1)
                | (bi < 1)
                | (bj < 1)
                | _is_one_of(
                    bj, table_ptr + h * table_stride_0 + bi.to(tl.int64) * table_stride_1, 3,
                    table_stride_2, i < N,
                )
            )
            & (j < M)
        )
        score = tl.where(visible, score, MINUS_INF)

    new_max = tl.maximum(row_max, tl.max(score, 1))
    # no key yet: avoid inf - inf
    shift = tl.where(new_max == MINUS_INF, 0.0, new_max)
    p = tl.exp2(score - shift[:, None])
    rescale = tl.exp2(row_max - shift)
    row_sum = row_sum * rescale + tl.sum(p, 1)
    row_max = new_max
    v = _load_rows(v_ptr, k0, M, v_stride_t, DV, BLOCK_K, PARTS_DV, EDGE)
    if AGAIN and EDGE:
        acc = _add_seen_rows(_scaled(acc, rescale[:, None]), p, v, visible)
    else:
        acc = _add_rows(_scaled(acc, rescale[:, None]), p, v)

    return acc, row_max, row_sum


@triton.jit(do_not_specialize=["N", "M"])
def _forward(
    q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, row_max_ptr, row_weight_ptr, table_ptr, q_stride_b,
    q_stride_h, q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h, v_stride_t,
    table_stride_0, table_stride_1, table_stride_2, edge_start_ptr, edge_tiles_ptr, full_start_ptr,
    full_tiles_ptr, scale, H, group, N, M, block: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr,
    AGAIN: tl.constexpr, LARGE: tl.constexpr,
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
    bi = i // block                                                     # bigbird.attn:5

    acc = _zeros(BLOCK_Q, PARTS_DV)
    row_max = tl.full([BLOCK_Q], MINUS_INF, tl.float32)
    row_sum = tl.zeros([BLOCK_Q], tl.float32)

    # Tiles of keys, from the lists: edge tiles hold a visible key, full tiles hide none.
    list_row = h * tl.cdiv(N, BLOCK_Q) + q0 // BLOCK_Q

    for t in range(tl.load(edge_start_ptr + list_row), tl.load(edge_start_ptr + list_row + 1)):
        acc, row_max, row_sum = _add_keys(
            tl.load(edge_tiles_ptr + t) * BLOCK_K, acc, row_max, row_sum, h, i, q,
            scale_times_log2e, bi, k_ptr, v_ptr, table_ptr, k_stride_t, v_stride_t, table_stride_0,
            table_stride_1, table_stride_2, N, M, block, D, DV, BLOCK_K, PARTS_D, PARTS_DV, AGAIN,
            EDGE=True,
        )
    for t in range(tl.load(full_start_ptr + list_row), tl.load(full_start_ptr + list_row + 1)):
        acc, row_max, row_sum = _add_keys(
            tl.load(full_tiles_ptr + t) * BLOCK_K, acc, row_max, row_sum, h, i, q,
            scale_times_log2e, bi, k_ptr, v_ptr, table_ptr, k_stride_t, v_stride_t, table_stride_0,
            table_stride_1, table_stride_2, N, M, block, D, DV, BLOCK_K, PARTS_D, PARTS_DV, AGAIN,
            EDGE=False,
        )

    out = _divided(acc, row_sum[:, None])
    row = (b * H + h) * N
    _store_rows(out_ptr + row * DV, q0, N, out, DV, BLOCK_Q, PARTS_DV)
    rows = q0 + tl.arange(0, BLOCK_Q)
    tl.store(lse_ptr + row + rows, (row_max + tl.log2(row_sum)) / LOG2_E, mask=rows < N)
    tl.store(row_max_ptr + row + rows, row_max, mask=rows < N)
    tl.store(row_weight_ptr + row + rows, 1.0 / row_sum, mask=rows < N)


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
    q0, dv, dk, k, v, scale_times_log2e, bj, h, row, q_head, dout_head, lse_ptr, row_max_ptr,
    row_weight_ptr, delta_ptr, table_ptr, q_stride_t, dout_stride_t, table_stride_0, table_stride_1,
    table_stride_2, N, block: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
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
        bi = i // block                                                 # bigbird.attn:5
        # bigbird.attn:7
        visible = (
            (
                (tl.abs(bi - bj) <= 1)
                | (bi < 1)
                | (bj < 1)
                | _is_one_of(
                    bj, table_ptr + h * table_stride_0 + bi.to(tl.int64) * table_stride_1, 3,
                    table_stride_2, i < N,
                )
            )
            & (i < N)
        )
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
    table_ptr, q_stride_b, q_stride_h, q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b,
    v_stride_h, v_stride_t, dout_stride_b, dout_stride_h, dout_stride_t, table_stride_0,
    table_stride_1, table_stride_2, edge_start_ptr, edge_tiles_ptr, full_start_ptr, full_tiles_ptr,
    scale, shares, H, HKV, group, N, M, block: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr,
    AGAIN: tl.constexpr, LARGE: tl.constexpr,
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
    bj = j // block                                                     # bigbird.attn:6

    dk = _zeros(BLOCK_K, PARTS_D)
    dv = _zeros(BLOCK_K, PARTS_DV)

    for g in tl.range(h_first, h_end, disable_licm=True):
        h = tl.cast(g, tl.int64)
        row = (b * H + h) * N
        q_head = q_ptr + (b * q_stride_b + h * q_stride_h)
        dout_head = dout_ptr + (b * dout_stride_b + h * dout_stride_h)

        # Tiles of queries, from the lists: edge tiles see one of these keys, full tiles see all.
        list_row = h * tl.cdiv(M, BLOCK_K) + k0 // BLOCK_K
        for t in range(tl.load(edge_start_ptr + list_row), tl.load(edge_start_ptr + list_row + 1)):
            dv, dk = _add_queries(
                tl.load(edge_tiles_ptr + t) * BLOCK_Q, dv, dk, k, v, scale_times_log2e, bj, h, row,
                q_head, dout_head, lse_ptr, row_max_ptr, row_weight_ptr, delta_ptr, table_ptr,
                q_stride_t, dout_stride_t, table_stride_0, table_stride_1, table_stride_2, N, block,
                D, DV, BLOCK_Q, PARTS_D, PARTS_DV, AGAIN, EDGE=True,
            )
        for t in range(tl.load(full_start_ptr + list_row), tl.load(full_start_ptr + list_row + 1)):
            dv, dk = _add_queries(
                tl.load(full_tiles_ptr + t) * BLOCK_Q, dv, dk, k, v, scale_times_log2e, bj, h, row,
                q_head, dout_head, lse_ptr, row_max_ptr, row_weight_ptr, delta_ptr, table_ptr,
                q_stride_t, dout_stride_t, table_stride_0, table_stride_1, table_stride_2, N, block,
                D, DV, BLOCK_Q, PARTS_D, PARTS_DV, AGAIN, EDGE=False,
            )

    row = (b * (HKV * shares) + head_id) * M
    _store_rows(dk_ptr + row * D, k0, M, _scaled(dk, scale), D, BLOCK_K, PARTS_D)
    _store_rows(dv_ptr + row * DV, k0, M, dv, DV, BLOCK_K, PARTS_DV)


@triton.jit
def _add_keys_backward(
    k0, dq, h, i, q, lse, row_max, row_weight, delta, dout, scale_times_log2e, bi, k_ptr, v_ptr,
    table_ptr, k_stride_t, v_stride_t, table_stride_0, table_stride_1, table_stride_2, N, M,
    block: tl.constexpr, D: tl.constexpr, DV: tl.constexpr, BLOCK_K: tl.constexpr,
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
        bj = j // block                                                 # bigbird.attn:6
        # bigbird.attn:7
        visible = (
            (
                (tl.abs(bi - bj) <= 1)
                | (bi < 1)
                | (bj < 1)
                | _is_one_of(
                    bj, table_ptr + h * table_stride_0 + bi.to(tl.int64) * table_stride_1, 3,
                    table_stride_2, i < N,
                )
            )
            & (j < M)
        )
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
    table_ptr, q_stride_b, q_stride_h, q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b,
    v_stride_h, v_stride_t, dout_stride_b, dout_stride_h, dout_stride_t, table_stride_0,
    table_stride_1, table_stride_2, edge_start_ptr, edge_tiles_ptr, full_start_ptr, full_tiles_ptr,
    scale, H, group, N, M, block: tl.constexpr, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr,
    AGAIN: tl.constexpr, LARGE: tl.constexpr,
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
    bi = i // block                                                     # bigbird.attn:5

    dq = _zeros(BLOCK_Q, PARTS_D)

    # Tiles of keys, from the lists: edge tiles hold a visible key, full tiles hide none.
    list_row = h * tl.cdiv(N, BLOCK_Q) + q0 // BLOCK_Q

    for t in range(tl.load(edge_start_ptr + list_row), tl.load(edge_start_ptr + list_row + 1)):
        dq = _add_keys_backward(
            tl.load(edge_tiles_ptr + t) * BLOCK_K, dq, h, i, q, lse, row_max, row_weight, delta,
            dout, scale_times_log2e, bi, k_ptr, v_ptr, table_ptr, k_stride_t, v_stride_t,
            table_stride_0, table_stride_1, table_stride_2, N, M, block, D, DV, BLOCK_K, PARTS_D,
            PARTS_DV, AGAIN, EDGE=True,
        )
    for t in range(tl.load(full_start_ptr + list_row), tl.load(full_start_ptr + list_row + 1)):
        dq = _add_keys_backward(
            tl.load(full_tiles_ptr + t) * BLOCK_K, dq, h, i, q, lse, row_max, row_weight, delta,
            dout, scale_times_log2e, bi, k_ptr, v_ptr, table_ptr, k_stride_t, v_stride_t,
            table_stride_0, table_stride_1, table_stride_2, N, M, block, D, DV, BLOCK_K, PARTS_D,
            PARTS_DV, AGAIN, EDGE=False,
        )

    _store_rows(dq_ptr + row * D, q0, N, _scaled(dq, scale), D, BLOCK_Q, PARTS_D)


# _program: attnc/support/kernels.py
# _load_tile: attnc/support/kernels.py
# _load_rows: attnc/support/kernels.py
# _store_rows: attnc/support/kernels.py
# _zero_tile: attnc/support/kernels.py
# _zeros: attnc/support/kernels.py
# _dot_rows: attnc/support/kernels.py
# _add_rows: attnc/support/kernels.py
# _scaled: attnc/support/kernels.py
# _divided: attnc/support/kernels.py
# _is_one_of: attnc/support/kernels.py
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
# _bits_of: attnc/support/torch_functions.py
# _remembered: attnc/support/torch_functions.py
# _look_inside: attnc/support/torch_functions.py
# _lists: attnc/support/torch_functions.py
# _on_spare_threads: attnc/support/cpu.py
# _spare_processors: attnc/support/cpu.py
# _quota: attnc/support/cpu.py
# _join: attnc/support/cpu.py
# _join_tiles: attnc/support/cpu.py
# _positions: attnc/support/cpu.py
# _count: attnc/support/cpu.py
# _steps: attnc/support/cpu.py
# _narrow: attnc/support/cpu.py
# _bits_of_pairs: attnc/support/cpu.py
# _fill_hidden: attnc/support/cpu.py
# _matmul: attnc/support/cpu.py
# _are_spoiled: attnc/support/cpu.py
# _are_finite: attnc/support/cpu.py
# _wide_sum: attnc/support/cpu.py
# _in_room: attnc/support/cpu.py
# _add_transposed: attnc/support/cpu.py


def _visible(b, h, i, j, table, block):
    """Does query i see key j? For any pairs."""
    return (
        ((i // block - j // block).abs() <= 1)
        | (i // block < 1)
        | (j // block < 1)
        | (
            (table[h, i // block] == (j // block).unsqueeze(-1))
            & (table[h, i // block] >= 0)
        ).any(-1)
    )


@_remembered
def _tile_kinds(rows, columns, device, table, block, H, N, M):
    """Kinds of tiles, [B or 1, H or 1, ...]: 0 hides all its pairs, 2 shows all, 1 is an edge."""
    i_first = torch.arange(0, N, rows, device=device)[:, None]
    i_last = (i_first + rows).clamp(max=N) - 1
    j_first = torch.arange(0, M, columns, device=device)
    j_last = (j_first + columns).clamp(max=M) - 1
    some = torch.tensor(True, device=device)                            # bigbird.attn:7
    # bigbird.attn:7
    every = (
        (
            0
            <= torch.minimum(
                i_first // block - j_last // block + 1, j_first // block - i_last // block + 1,
            )
        )
        | (i_last // block < 1)
        | (j_last // block < 1)
    )
    shape = 1, H, i_first.numel(), j_first.numel()
    return _look_inside(_visible, some, every, shape, rows, columns, N, M, table, block)


@_remembered
def _lists_of_keys(rows, columns, device, table, block, H, N, M):
    """Tiles of keys for each tile of queries: edge_start, edge_tiles, full_start, full_tiles."""
    return _lists(_tile_kinds(rows, columns, device, table, block, H, N, M), M // columns)


@_remembered
def _lists_of_queries(rows, columns, device, table, block, H, N, M):
    """Tiles of queries for each tile of keys: edge_start, edge_tiles, full_start, full_tiles."""
    return _lists(_tile_kinds(rows, columns, device, table, block, H, N, M).mT, N // rows)


def _keys_seen(q0, M, kinds):
    """The keys that queries [q0, q1) see, and the edges, where some are hidden."""
    return _join_tiles(M, kinds[:, :, q0 // TILE])


def _hide(pairs, otherwise, edges, h, i, table, block):
    """Fill in every pair of a tile that the mask hides."""
    bi = i // block                                                     # bigbird.attn:5
    for columns, seen in edges:
        j = torch.arange(seen.start, seen.stop)[None, :]
        bj = j // block                                                 # bigbird.attn:6
        # bigbird.attn:7
        visible = (
            ((bi - bj).abs() <= 1)
            | (bi < 1)
            | (bj < 1)
            | ((table[h, bi] == bj.unsqueeze(-1)) & (table[h, bi] >= 0)).any(-1)
        )
        _fill_hidden(pairs[:, :, :, columns], *_bits_of_pairs(visible, pairs.dtype, otherwise))


@_on_spare_threads
def _forward_cpu(q, k, v, table, scale, block):
    """Forward on the CPU: out [B, H, N, DV] and lse [B, H, N]."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = torch.promote_types(q.dtype, torch.float32)
    narrow = _narrow(q.dtype)
    device = q.device
    rows, columns = TILE, TILE
    kinds = _tile_kinds(rows, columns, device, table, block, H, N, M)
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

    for q0 in range(0, N, TILE):
        q1 = min(q0 + TILE, N)
        seen, edges = _keys_seen(q0, M, kinds)
        i = torch.arange(q0, q1)[:, None]
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            h = torch.arange(heads.start, heads.stop)[:, None, None]
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale_times_log2e,
                _in_room(k[:, kv_heads, seen], k_room).mT, room,
            )
            _hide(score, float("-inf"), edges, h, i, table, block)
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
                _hide(shown, float(0), edges, h, i, table, block)
                values = _matmul(p_narrow, v[:, kv_heads, seen].to(narrow), shown=shown)
            out[:, heads, q0:q1] = values / total

    row_weight = row_sum.reciprocal().squeeze(-1)
    lse = ((row_max + row_sum.log2_()) * 0.6931471805599453).squeeze(-1)
    row_max = row_max.squeeze(-1)
    return out, lse, row_max, row_weight


@_on_spare_threads
def _backward_cpu(dout, dlse, q, k, v, table, out, row_max, row_weight, scale, block):
    """Backward on the CPU: the gradient of every float tensor, in order."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = torch.promote_types(q.dtype, torch.float32)
    narrow = _narrow(q.dtype)
    device = q.device
    rows, columns = TILE, TILE
    kinds = _tile_kinds(rows, columns, device, table, block, H, N, M)
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

    for q0 in range(0, N, TILE):
        q1 = min(q0 + TILE, N)
        seen, edges = _keys_seen(q0, M, kinds)
        i = torch.arange(q0, q1)[:, None]
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            h = torch.arange(heads.start, heads.stop)[:, None, None]
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale_times_log2e,
                _in_room(k[:, kv_heads, seen], k_room).mT, room,
            )
            _hide(score, float("-inf"), edges, h, i, table, block)
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
                _hide(shown, float(0), edges, h, i, table, block)
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
# _shares: attnc/support/launch.py


def _forward_triton(q, k, v, table, scale, block):
    """Forward by the kernels: out [B, H, N, DV] and lse [B, H, N]."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    group = H // HKV
    _check_reach("M + N + 3 * block", M + N + 3 * block)
    q, k, v = map(_with_unit_stride, (q, k, v))
    large = _is_large(H, B, q, k, v)
    out = q.new_empty(B, H, N, DV)
    lse = q.new_empty(B, H, N, dtype=torch.float32)
    row_max = q.new_empty(B, H, N, dtype=torch.float32)
    row_weight = q.new_empty(B, H, N, dtype=torch.float32)
    if M == 0:  # every row of the kernel sees a key
        return out.zero_(), lse.fill_(float("-inf")), row_max.zero_(), row_weight.zero_()
    tiles = _tiles("forward", q, ("D", D), ("DV", DV))
    edge_start, edge_tiles, full_start, full_tiles = _lists_of_keys(
        tiles["BLOCK_Q"], tiles["BLOCK_K"], q.device, table, block, H, N, M,
    )
    with torch.cuda.device_of(q):
        for again, options in _looks(tiles):
            _forward[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
                q, k, v, out, lse, row_max, row_weight, table, *q.stride()[:3], *k.stride()[:3],
                *v.stride()[:3], *table.stride(), edge_start, edge_tiles, full_start, full_tiles,
                scale, H, group, N, M, block=block, **options, LARGE=large, AGAIN=again,
            )
    return out, lse, row_max, row_weight


def _backward_triton(dout, dlse, q, k, v, table, out, row_max, row_weight, scale, block):
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
        edge_start, edge_tiles, full_start, full_tiles = _lists_of_queries(
            tiles["BLOCK_Q"], tiles["BLOCK_K"], q.device, table, block, H, N, M,
        )
        shares = min(group, _shares(q, triton.cdiv(M, tiles["BLOCK_K"]) * HKV * B))
        dk = _parts(k, shares)
        dv = _parts(v, shares)
        for again, options in _looks(tiles):
            _backward_keys[_grid(triton.cdiv(M, tiles["BLOCK_K"]), HKV * shares, B, large)](
                q, k, v, dout, lse, row_max, row_weight, delta, dk, dv, table, *q.stride()[:3],
                *k.stride()[:3], *v.stride()[:3], *dout.stride()[:3], *table.stride(), edge_start,
                edge_tiles, full_start, full_tiles, scale, shares, H, HKV, group, N, M, block=block,
                **options, LARGE=large, AGAIN=again,
            )
        dk = _sum_of_parts(dk, shares, k.dtype)
        dv = _sum_of_parts(dv, shares, v.dtype)
        tiles = _tiles("backward_queries", q, ("D", D), ("DV", DV))
        edge_start, edge_tiles, full_start, full_tiles = _lists_of_keys(
            tiles["BLOCK_Q"], tiles["BLOCK_K"], q.device, table, block, H, N, M,
        )
        for again, options in _looks(tiles):
            _backward_queries[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
                q, k, v, dout, lse, row_max, row_weight, delta, dq, table, *q.stride()[:3],
                *k.stride()[:3], *v.stride()[:3], *dout.stride()[:3], *table.stride(), edge_start,
                edge_tiles, full_start, full_tiles, scale, H, group, N, M, block=block, **options,
                LARGE=large, AGAIN=again,
            )
    return dq, dk, dv


def _pairs_seen(q, k, table, block):
    """How many pairs of a query and a key are in the tiles that are visited, of all heads."""
    B, H, N, D = q.shape
    HKV, M = k.shape[1:3]
    device = q.device
    rows, columns = TILE, TILE
    kinds = _tile_kinds(rows, columns, device, table, block, H, N, M)
    pairs = 0
    for q0 in range(0, N, TILE):
        q1 = min(q0 + TILE, N)
        seen, edges = _keys_seen(q0, M, kinds)
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
    q: Tensor, k: Tensor, v: Tensor, table: Tensor, block: int, backend: str, floats: list[float],
    changing: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Output and log-sum-exp."""
    (scale,) = floats if changing is None else changing.tolist()
    forward = _forward_triton if backend == "triton" else _forward_cpu
    return forward(q, k, v, table, scale, block)


@torch.library.register_fake(_attention, lib=_LIBRARY)
def _(q, k, v, table, block, backend, floats, changing):
    wide = torch.promote_types(q.dtype, torch.float32)
    out = q.new_empty(*q.shape[:3], v.shape[3])
    return (
        out, q.new_empty(q.shape[:3], dtype=wide), q.new_empty(q.shape[:3], dtype=wide),
        q.new_empty(q.shape[:3], dtype=wide),
    )


_count_flops(_attention, {"q": 1, "v": 1})


@_operator
def _attention_backward(
    dout: Tensor, dlse: Tensor, q: Tensor, k: Tensor, v: Tensor, table: Tensor, out: Tensor,
    row_max: Tensor, row_weight: Tensor, block: int, backend: str, floats: list[float],
    changing: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    (scale,) = floats if changing is None else changing.tolist()
    backward = _backward_triton if backend == "triton" else _backward_cpu
    return backward(dout, dlse, q, k, v, table, out, row_max, row_weight, scale, block)


@torch.library.register_fake(_attention_backward, lib=_LIBRARY)
def _(dout, dlse, q, k, v, table, out, row_max, row_weight, block, backend, floats, changing):
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
    return dq, dk, dv, None, None, None, None, None


_derive(_attention, _differentiate, _save, ("q", "k", "v"))


# _choose: attnc/support/call.py
# _floats: attnc/support/call.py
# _as_autocast: attnc/support/call.py
# _refusal: attnc/support/refused.py
# _: attnc/support/refused.py
# _mistake: attnc/support/refused.py
# _refused: attnc/support/refused.py


FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTS = (torch.int32, torch.int64)


# _names: attnc/support/checks.py
# _listed: attnc/support/checks.py
# _is_dense: attnc/support/checks.py
# _layout: attnc/support/checks.py
# _check_tensor: attnc/support/checks.py
# _check_input: attnc/support/checks.py
# _check_inputs: attnc/support/checks.py
# _is_near: attnc/support/checks.py
# _number: attnc/support/checks.py
# _holds: attnc/support/checks.py


def _check(q, k, v, scale, table, block):
    """Raise the first mistake of a call; return its parameters, numbers as Python's."""
    _check_inputs(q, k, v)
    scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)
    block = _number("block", int, block)
    H, N = q.shape[1], q.shape[2]
    if block == 0:
        raise ValueError("`table` has the dimension `(N + block - 1) // block`, which divides by 0")
    if (N + block - 1) // block < 0:
        raise ValueError(
            "`table` has the dimension `(N + block - 1) // block`, which is "
            f"{(N + block - 1) // block}"
        )
    _check_tensor(
        "table", table, "[H, (N + block - 1) // block, 3]", (H, (N + block - 1) // block, 3), INTS,
        q,
    )
    # `i // block` divides by `block`: the call checks that `block` is at least 1 (bigbird.attn:5)
    if not _holds(block >= 1):
        raise ValueError(f"`block` needs 1 or more, got {block}")
    return scale, table, block


def bigbird(
    q: Tensor, k: Tensor, v: Tensor, *, table: Tensor, block: int = 64, scale: float | None = None,
    return_lse: bool = False, backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of q [B, H, N, D] over k [B, HKV, M, D] and v [B, HKV, M, DV]: [B, H, N, DV].

    table: int[H, (N + block - 1) // block, 3]
    block: int
    scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given
    return_lse: also return the log-sum-exp of each row, [B, H, N]
    backend: "auto" (by the device of the tensors), "triton" or "cpu"

    The tiles that the mask shows are listed once for the same arrays. On a GPU those are the same
    tensors, unchanged as far as torch knows: it knows of no change through `.data`.
    """
    q, k, v = map(_as_autocast, (q, k, v))
    try:
        scale, table, block = _check(q, k, v, scale, table, block)
    except (TypeError, ValueError) as mistake:
        return _refused(mistake, q, v, return_lse)
    _tell_counters()
    out, lse, *_ = _attention(q, k, v, table, block, _choose(backend, q), *_floats(scale))
    return (out, lse) if return_lse else out
