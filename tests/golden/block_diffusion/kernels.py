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
    k0, acc, row_max, row_sum, late_k0, late_p, late_rescale, q, scale_times_log2e, clean_i, bi,
    k_ptr, v_ptr, k_stride_t, v_stride_t, length, block, M, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr,
    AHEAD: tl.constexpr, EDGE: tl.constexpr,
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
        clean_j = length <= j                                           # block_diffusion.attn:6
        bj = tl.where(clean_j, j - length, j) // block                  # block_diffusion.attn:8
        # block_diffusion.attn:9
        visible = (
            ((bi == bj) & tl.where(clean_i, clean_j, j < length) | (bj < bi) & clean_j)
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


@triton.jit(do_not_specialize=["length", "block", "N", "M"])
def _forward(
    q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, row_max_ptr, row_weight_ptr, q_stride_b, q_stride_h,
    q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h, v_stride_t, scale,
    length, block, H, group, N, M, D: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr,
    AHEAD: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: BLOCK_Q queries of one head."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, H, LARGE)
    q0 = tile_id * BLOCK_Q
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
    clean_i = length <= i                                               # block_diffusion.attn:5
    bi = tl.where(clean_i, i - length, i) // block                      # block_diffusion.attn:7

    acc = _zeros(BLOCK_Q, PARTS_DV)
    row_max = tl.full([BLOCK_Q], MINUS_INF, tl.float32)
    row_sum = tl.zeros([BLOCK_Q], tl.float32)
    # No weights wait for their values yet: behind the last key, rows are zero.
    late_k0 = M
    late_p = _bits(tl.zeros([BLOCK_Q, BLOCK_K], tl.float32), v_ptr.dtype.element_ty)
    late_rescale = tl.zeros([BLOCK_Q], tl.float32)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    key_lo_1 = block * (i_first // block)
    key_hi_1 = tl.minimum(
        tl.where(
            i_first < length,
            tl.minimum(
                block * _floor_divide(tl.minimum(i_last, length - 1), block) + block, length,
            ),
            0,
        ),
        M,
    )
    live_hi_1 = tl.where(key_lo_1 < key_hi_1, tl.cdiv(key_hi_1, BLOCK_K), 0)
    full_lo_1 = tl.minimum(tl.cdiv(block * (i_last // block), BLOCK_K), live_hi_1)
    whole_hi_1 = tl.minimum(
        tl.where(i_last < length, tl.minimum(block * (i_first // block) + block, length), 0), M,
    )
    full_hi_1 = tl.maximum(tl.minimum(whole_hi_1 // BLOCK_K, live_hi_1), full_lo_1)
    live_lo_1 = tl.minimum(key_lo_1 // BLOCK_K, full_lo_1)
    key_lo_2 = tl.maximum(length, 0)
    key_hi_2 = tl.minimum(
        tl.where(
            length <= i_last, block * _floor_divide(i_last - length, block) + block + length, 0,
        ),
        M,
    )
    live_hi_2 = tl.maximum(tl.where(key_lo_2 < key_hi_2, tl.cdiv(key_hi_2, BLOCK_K), 0), live_hi_1)
    full_lo_2 = tl.minimum(
        tl.maximum(tl.cdiv(tl.maximum(length, 0), BLOCK_K), full_hi_1), live_hi_2,
    )
    whole_hi_2 = tl.minimum(
        tl.where(
            length <= i_first, block * _floor_divide(i_first - length, block) + block + length, 0,
        ),
        M,
    )
    full_hi_2 = tl.maximum(tl.minimum(whole_hi_2 // BLOCK_K, live_hi_2), full_lo_2)
    edge_hi_1 = tl.minimum(live_hi_1, full_lo_2)
    live_lo_2 = tl.minimum(tl.maximum(key_lo_2 // BLOCK_K, live_hi_1), full_lo_2)
    key_lo_3 = tl.maximum(length, 0)
    key_hi_3 = tl.minimum(
        tl.where(
            i_first < length, block * _floor_divide(tl.minimum(i_last, length - 1), block) + length,
            0,
        ),
        M,
    )
    live_hi_3 = tl.maximum(tl.where(key_lo_3 < key_hi_3, tl.cdiv(key_hi_3, BLOCK_K), 0), live_hi_2)
    full_lo_3 = tl.minimum(
        tl.maximum(tl.cdiv(tl.maximum(length, 0), BLOCK_K), full_hi_2), live_hi_3,
    )
    whole_hi_3 = tl.minimum(tl.where(i_last < length, block * (i_first // block) + length, 0), M)
    full_hi_3 = tl.maximum(tl.minimum(whole_hi_3 // BLOCK_K, live_hi_3), full_lo_3)
    edge_hi_2 = tl.minimum(live_hi_2, full_lo_3)
    live_lo_3 = tl.minimum(tl.maximum(key_lo_3 // BLOCK_K, live_hi_2), full_lo_3)

    edge_end_1 = full_lo_1 - live_lo_1
    edge_end_2 = edge_end_1 + (edge_hi_1 - full_hi_1)
    edge_end_3 = edge_end_2 + (full_lo_2 - live_lo_2)
    edge_end_4 = edge_end_3 + (edge_hi_2 - full_hi_2)
    edge_end_5 = edge_end_4 + (full_lo_3 - live_lo_3)
    edge_tiles = edge_end_5 + (live_hi_3 - full_hi_3)
    for t in tl.range(0, edge_tiles, num_stages=AHEAD):
        tile = tl.where(
            t < edge_end_1,
            live_lo_1 + t,
            tl.where(
                t < edge_end_2,
                full_hi_1 + t - edge_end_1,
                tl.where(
                    t < edge_end_3,
                    live_lo_2 + t - edge_end_2,
                    tl.where(
                        t < edge_end_4,
                        full_hi_2 + t - edge_end_3,
                        tl.where(
                            t < edge_end_5, live_lo_3 + t - edge_end_4, full_hi_3 + t - edge_end_5,
                        ),
                    ),
                ),
            ),
        )
        acc, row_max, row_sum, late_k0, late_p, late_rescale = _add_keys(
            tile * BLOCK_K, acc, row_max, row_sum, late_k0, late_p, late_rescale, q,
            scale_times_log2e, clean_i, bi, k_ptr, v_ptr, k_stride_t, v_stride_t, length, block, M,
            D, DV, BLOCK_K, PARTS_D, PARTS_DV, AGAIN, AHEAD, EDGE=True,
        )
    full_end_1 = full_hi_1 - full_lo_1
    full_end_2 = full_end_1 + (full_hi_2 - full_lo_2)
    full_tiles = full_end_2 + (full_hi_3 - full_lo_3)
    for t in tl.range(0, full_tiles, num_stages=AHEAD):
        tile = tl.where(
            t < full_end_1, full_lo_1 + t,
            tl.where(t < full_end_2, full_lo_2 + t - full_end_1, full_lo_3 + t - full_end_2),
        )
        acc, row_max, row_sum, late_k0, late_p, late_rescale = _add_keys(
            tile * BLOCK_K, acc, row_max, row_sum, late_k0, late_p, late_rescale, q,
            scale_times_log2e, clean_i, bi, k_ptr, v_ptr, k_stride_t, v_stride_t, length, block, M,
            D, DV, BLOCK_K, PARTS_D, PARTS_DV, AGAIN, AHEAD, EDGE=False,
        )
    if AHEAD:
        # The values of the last of all tiles.
        acc = _add_values(
            acc, late_k0, late_p, late_rescale, v_ptr, v_stride_t, M, DV, BLOCK_K, PARTS_DV,
        )

    total = tl.where(row_sum == 0.0, 1.0, row_sum)                      # a row that sees no key: 0
    out = _divided(acc, total[:, None])
    row = (b * H + h) * N
    _store_rows(out_ptr + row * DV, q0, N, out, DV, BLOCK_Q, PARTS_DV)
    rows = q0 + tl.arange(0, BLOCK_Q)
    tl.store(lse_ptr + row + rows, (row_max + tl.log2(row_sum)) / LOG2_E, mask=rows < N)
    tl.store(row_max_ptr + row + rows, tl.where(row_sum == 0.0, 0.0, row_max), mask=rows < N)
    tl.store(
        row_weight_ptr + row + rows, tl.where(row_sum == 0.0, 0.0, 1.0 / row_sum), mask=rows < N,
    )


@triton.jit(do_not_specialize=["length", "block", "splits", "B", "N", "M"])
def _forward_split(
    q_ptr, k_ptr, v_ptr, part_acc_ptr, part_max_ptr, part_sum_ptr, q_stride_b, q_stride_h,
    q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h, v_stride_t, scale,
    length, block, splits, B, H, HKV, group, N, M, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr,
    AGAIN: tl.constexpr, LARGE: tl.constexpr,
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
    clean_i = length <= i                                               # block_diffusion.attn:5
    bi = tl.where(clean_i, i - length, i) // block                      # block_diffusion.attn:7

    acc = _zeros(BLOCK_Q, PARTS_DV)
    row_max = tl.full([BLOCK_Q], MINUS_INF, tl.float32)
    row_sum = tl.zeros([BLOCK_Q], tl.float32)
    # No weights wait for their values yet: behind the last key, rows are zero.
    late_k0 = M
    late_p = _bits(tl.zeros([BLOCK_Q, BLOCK_K], tl.float32), v_ptr.dtype.element_ty)
    late_rescale = tl.zeros([BLOCK_Q], tl.float32)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    key_lo_1 = block * (i_first // block)
    key_hi_1 = tl.minimum(
        tl.where(
            i_first < length,
            tl.minimum(
                block * _floor_divide(tl.minimum(i_last, length - 1), block) + block, length,
            ),
            0,
        ),
        M,
    )
    live_hi_1 = tl.where(key_lo_1 < key_hi_1, tl.cdiv(key_hi_1, BLOCK_K), 0)
    full_lo_1 = tl.minimum(tl.cdiv(block * (i_last // block), BLOCK_K), live_hi_1)
    whole_hi_1 = tl.minimum(
        tl.where(i_last < length, tl.minimum(block * (i_first // block) + block, length), 0), M,
    )
    full_hi_1 = tl.maximum(tl.minimum(whole_hi_1 // BLOCK_K, live_hi_1), full_lo_1)
    live_lo_1 = tl.minimum(key_lo_1 // BLOCK_K, full_lo_1)
    key_lo_2 = tl.maximum(length, 0)
    key_hi_2 = tl.minimum(
        tl.where(
            length <= i_last, block * _floor_divide(i_last - length, block) + block + length, 0,
        ),
        M,
    )
    live_hi_2 = tl.maximum(tl.where(key_lo_2 < key_hi_2, tl.cdiv(key_hi_2, BLOCK_K), 0), live_hi_1)
    full_lo_2 = tl.minimum(
        tl.maximum(tl.cdiv(tl.maximum(length, 0), BLOCK_K), full_hi_1), live_hi_2,
    )
    whole_hi_2 = tl.minimum(
        tl.where(
            length <= i_first, block * _floor_divide(i_first - length, block) + block + length, 0,
        ),
        M,
    )
    full_hi_2 = tl.maximum(tl.minimum(whole_hi_2 // BLOCK_K, live_hi_2), full_lo_2)
    edge_hi_1 = tl.minimum(live_hi_1, full_lo_2)
    live_lo_2 = tl.minimum(tl.maximum(key_lo_2 // BLOCK_K, live_hi_1), full_lo_2)
    key_lo_3 = tl.maximum(length, 0)
    key_hi_3 = tl.minimum(
        tl.where(
            i_first < length, block * _floor_divide(tl.minimum(i_last, length - 1), block) + length,
            0,
        ),
        M,
    )
    live_hi_3 = tl.maximum(tl.where(key_lo_3 < key_hi_3, tl.cdiv(key_hi_3, BLOCK_K), 0), live_hi_2)
    full_lo_3 = tl.minimum(
        tl.maximum(tl.cdiv(tl.maximum(length, 0), BLOCK_K), full_hi_2), live_hi_3,
    )
    whole_hi_3 = tl.minimum(tl.where(i_last < length, block * (i_first // block) + length, 0), M)
    full_hi_3 = tl.maximum(tl.minimum(whole_hi_3 // BLOCK_K, live_hi_3), full_lo_3)
    edge_hi_2 = tl.minimum(live_hi_2, full_lo_3)
    live_lo_3 = tl.minimum(tl.maximum(key_lo_3 // BLOCK_K, live_hi_2), full_lo_3)

    # The share of this program: edge tiles are counted first, then full ones.
    edge_end_1 = full_lo_1 - live_lo_1
    edge_end_2 = edge_end_1 + (edge_hi_1 - full_hi_1)
    edge_end_3 = edge_end_2 + (full_lo_2 - live_lo_2)
    edge_end_4 = edge_end_3 + (edge_hi_2 - full_hi_2)
    edge_end_5 = edge_end_4 + (full_lo_3 - live_lo_3)
    edge_tiles = edge_end_5 + (live_hi_3 - full_hi_3)
    full_end_1 = full_hi_1 - full_lo_1
    full_end_2 = full_end_1 + (full_hi_2 - full_lo_2)
    full_tiles = full_end_2 + (full_hi_3 - full_lo_3)
    count = edge_tiles + full_tiles
    share = count // splits
    rest = count % splits
    share_lo = split * share + tl.minimum(split, rest)
    share_hi = (split + 1) * share + tl.minimum(split + 1, rest)
    for t in range(tl.minimum(share_lo, edge_tiles), tl.minimum(share_hi, edge_tiles)):
        tile = tl.where(
            t < edge_end_1,
            live_lo_1 + t,
            tl.where(
                t < edge_end_2,
                full_hi_1 + t - edge_end_1,
                tl.where(
                    t < edge_end_3,
                    live_lo_2 + t - edge_end_2,
                    tl.where(
                        t < edge_end_4,
                        full_hi_2 + t - edge_end_3,
                        tl.where(
                            t < edge_end_5, live_lo_3 + t - edge_end_4, full_hi_3 + t - edge_end_5,
                        ),
                    ),
                ),
            ),
        )
        acc, row_max, row_sum, late_k0, late_p, late_rescale = _add_keys(
            tile * BLOCK_K, acc, row_max, row_sum, late_k0, late_p, late_rescale, q,
            scale_times_log2e, clean_i, bi, k_ptr, v_ptr, k_stride_t, v_stride_t, length, block, M,
            D, DV, BLOCK_K, PARTS_D, PARTS_DV, AGAIN, AHEAD=None, EDGE=True,
        )
    for t in range(tl.maximum(share_lo - edge_tiles, 0), tl.maximum(share_hi - edge_tiles, 0)):
        tile = tl.where(
            t < full_end_1, full_lo_1 + t,
            tl.where(t < full_end_2, full_lo_2 + t - full_end_1, full_lo_3 + t - full_end_2),
        )
        acc, row_max, row_sum, late_k0, late_p, late_rescale = _add_keys(
            tile * BLOCK_K, acc, row_max, row_sum, late_k0, late_p, late_rescale, q,
            scale_times_log2e, clean_i, bi, k_ptr, v_ptr, k_stride_t, v_stride_t, length, block, M,
            D, DV, BLOCK_K, PARTS_D, PARTS_DV, AGAIN, AHEAD=None, EDGE=False,
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

    # a row that sees no key: avoid inf - inf
    shift = tl.where(row_max == MINUS_INF, 0.0, row_max)
    row_sum = tl.zeros([SHARES, 1], tl.float32)
    acc = tl.zeros([SHARES, BLOCK_DV], tl.float32)
    for first in range(0, splits, SHARES):
        inside = first + part < splits
        place = (first + part) * rows + row
        rescale = tl.exp2(tl.load(part_max_ptr + place, mask=inside, other=MINUS_INF) - shift)
        row_sum += rescale * tl.load(part_sum_ptr + place, mask=inside, other=0.0)
        acc += rescale * _load_tile_at(part_acc_ptr + place * DV, inside, DV, BLOCK_DV)

    row_sum = tl.sum(row_sum)
    total = tl.where(row_sum == 0.0, 1.0, row_sum)                      # a row that sees no key: 0
    col = tl.arange(0, BLOCK_DV)
    tl.store(
        out_ptr + row * DV + col, (tl.sum(acc, 0) / total).to(out_ptr.dtype.element_ty),
        mask=col < DV,
    )
    tl.store(lse_ptr + row, (row_max + tl.log2(row_sum)) / LOG2_E)
    tl.store(row_max_ptr + row, tl.where(row_sum == 0.0, 0.0, row_max))
    tl.store(row_weight_ptr + row, tl.where(row_sum == 0.0, 0.0, 1.0 / row_sum))


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
    q0, dv, dk, j, k, v, scale_times_log2e, clean_j, bj, row, q_head, dout_head, lse_ptr,
    row_max_ptr, row_weight_ptr, delta_ptr, q_stride_t, dout_stride_t, length, block, N,
    D: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, PARTS_D: tl.constexpr,
    PARTS_DV: tl.constexpr, AGAIN: tl.constexpr, EDGE: tl.constexpr,
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
        clean_i = length <= i                                           # block_diffusion.attn:5
        bi = tl.where(clean_i, i - length, i) // block                  # block_diffusion.attn:7
        # block_diffusion.attn:9
        visible = (
            ((bi == bj) & tl.where(clean_i, clean_j, j < length) | (bj < bi) & clean_j)
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


@triton.jit(do_not_specialize=["length", "block", "shares", "N", "M"])
def _backward_keys(
    q_ptr, k_ptr, v_ptr, dout_ptr, lse_ptr, row_max_ptr, row_weight_ptr, delta_ptr, dk_ptr, dv_ptr,
    q_stride_b, q_stride_h, q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h,
    v_stride_t, dout_stride_b, dout_stride_h, dout_stride_t, scale, length, block, shares, H, HKV,
    group, N, M, D: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
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
    clean_j = length <= j                                               # block_diffusion.attn:6
    bj = tl.where(clean_j, j - length, j) // block                      # block_diffusion.attn:8

    dk = _zeros(BLOCK_K, PARTS_D)
    dv = _zeros(BLOCK_K, PARTS_DV)

    for g in tl.range(h_first, h_end, disable_licm=True):
        h = tl.cast(g, tl.int64)
        row = (b * H + h) * N
        q_head = q_ptr + (b * q_stride_b + h * q_stride_h)
        dout_head = dout_ptr + (b * dout_stride_b + h * dout_stride_h)

        # Tiles of queries: [live_lo, live_hi) see one of these keys, [full_lo, full_hi) see all.
        query_lo_1 = tl.where(
            block * (j_first // block) <= block, block * (j_first // block),
            block * ((tl.maximum(j_first, length) - length) // block) + block,
        )
        query_hi_1 = tl.minimum(
            tl.where(
                block * (j_first // block) <= block,
                tl.where(
                    j_first < length,
                    tl.minimum(
                        block * _floor_divide(tl.minimum(j_last, length - 1), block) + block,
                        length,
                    ),
                    0,
                ),
                tl.where(length <= j_last, length, 0),
            ),
            N,
        )
        live_hi_1 = tl.where(query_lo_1 < query_hi_1, tl.cdiv(query_hi_1, BLOCK_Q), 0)
        whole_lo_1 = tl.maximum(
            tl.where(
                block * (j_first // block) <= block, block * (j_last // block),
                block * _floor_divide(j_last - length, block) + block,
            ),
            0,
        )
        full_lo_1 = tl.minimum(
            tl.maximum(tl.cdiv(whole_lo_1, BLOCK_Q), query_lo_1 // BLOCK_Q), live_hi_1,
        )
        whole_hi_1 = tl.minimum(
            tl.where(
                block * (j_first // block) <= block,
                tl.where(
                    j_last < length, tl.minimum(block * (j_first // block) + block, length), 0,
                ),
                tl.where(length <= j_first, length, 0),
            ),
            N,
        )
        full_hi_1 = tl.maximum(tl.minimum(whole_hi_1 // BLOCK_Q, live_hi_1), full_lo_1)
        live_lo_1 = tl.minimum(query_lo_1 // BLOCK_Q, full_lo_1)
        query_lo_2 = tl.where(
            block * (j_first // block) <= block,
            block * ((tl.maximum(j_first, length) - length) // block) + block,
            block * (j_first // block),
        )
        query_hi_2 = tl.minimum(
            tl.where(
                block * (j_first // block) <= block,
                tl.where(length <= j_last, length, 0),
                tl.where(
                    j_first < length,
                    tl.minimum(
                        block * _floor_divide(tl.minimum(j_last, length - 1), block) + block,
                        length,
                    ),
                    0,
                ),
            ),
            N,
        )
        live_hi_2 = tl.maximum(
            tl.where(query_lo_2 < query_hi_2, tl.cdiv(query_hi_2, BLOCK_Q), 0), live_hi_1,
        )
        whole_lo_2 = tl.maximum(
            tl.where(
                block * (j_first // block) <= block,
                block * _floor_divide(j_last - length, block) + block, block * (j_last // block),
            ),
            0,
        )
        full_lo_2 = tl.minimum(
            tl.maximum(tl.maximum(tl.cdiv(whole_lo_2, BLOCK_Q), query_lo_2 // BLOCK_Q), full_hi_1),
            live_hi_2,
        )
        whole_hi_2 = tl.minimum(
            tl.where(
                block * (j_first // block) <= block,
                tl.where(length <= j_first, length, 0),
                tl.where(
                    j_last < length, tl.minimum(block * (j_first // block) + block, length), 0,
                ),
            ),
            N,
        )
        full_hi_2 = tl.maximum(tl.minimum(whole_hi_2 // BLOCK_Q, live_hi_2), full_lo_2)
        edge_hi_1 = tl.minimum(live_hi_1, full_lo_2)
        live_lo_2 = tl.minimum(tl.maximum(query_lo_2 // BLOCK_Q, live_hi_1), full_lo_2)
        query_lo_3 = tl.maximum(
            block * ((tl.maximum(j_first, length) - length) // block) + length, 0,
        )
        query_hi_3 = tl.where(length <= j_last, N, 0)
        live_hi_3 = tl.maximum(
            tl.where(query_lo_3 < query_hi_3, tl.cdiv(query_hi_3, BLOCK_Q), 0), live_hi_2,
        )
        full_lo_3 = tl.minimum(
            tl.maximum(
                tl.maximum(
                    tl.cdiv(
                        tl.maximum(block * _floor_divide(j_last - length, block) + length, 0),
                        BLOCK_Q,
                    ),
                    query_lo_3 // BLOCK_Q,
                ),
                full_hi_2,
            ),
            live_hi_3,
        )
        full_hi_3 = tl.maximum(
            tl.minimum(tl.where(length <= j_first, N, 0) // BLOCK_Q, live_hi_3), full_lo_3,
        )
        edge_hi_2 = tl.minimum(live_hi_2, full_lo_3)
        live_lo_3 = tl.minimum(tl.maximum(query_lo_3 // BLOCK_Q, live_hi_2), full_lo_3)
        edge_end_1 = full_lo_1 - live_lo_1
        edge_end_2 = edge_end_1 + (edge_hi_1 - full_hi_1)
        edge_end_3 = edge_end_2 + (full_lo_2 - live_lo_2)
        edge_end_4 = edge_end_3 + (edge_hi_2 - full_hi_2)
        edge_end_5 = edge_end_4 + (full_lo_3 - live_lo_3)
        edge_tiles = edge_end_5 + (live_hi_3 - full_hi_3)
        for t in range(0, edge_tiles):
            tile = tl.where(
                t < edge_end_1,
                live_lo_1 + t,
                tl.where(
                    t < edge_end_2,
                    full_hi_1 + t - edge_end_1,
                    tl.where(
                        t < edge_end_3,
                        live_lo_2 + t - edge_end_2,
                        tl.where(
                            t < edge_end_4,
                            full_hi_2 + t - edge_end_3,
                            tl.where(
                                t < edge_end_5, live_lo_3 + t - edge_end_4,
                                full_hi_3 + t - edge_end_5,
                            ),
                        ),
                    ),
                ),
            )
            dv, dk = _add_queries(
                tile * BLOCK_Q, dv, dk, j, k, v, scale_times_log2e, clean_j, bj, row, q_head,
                dout_head, lse_ptr, row_max_ptr, row_weight_ptr, delta_ptr, q_stride_t,
                dout_stride_t, length, block, N, D, DV, BLOCK_Q, PARTS_D, PARTS_DV, AGAIN,
                EDGE=True,
            )
        full_end_1 = full_hi_1 - full_lo_1
        full_end_2 = full_end_1 + (full_hi_2 - full_lo_2)
        full_tiles = full_end_2 + (full_hi_3 - full_lo_3)
        for t in range(0, full_tiles):
            tile = tl.where(
                t < full_end_1, full_lo_1 + t,
                tl.where(t < full_end_2, full_lo_2 + t - full_end_1, full_lo_3 + t - full_end_2),
            )
            dv, dk = _add_queries(
                tile * BLOCK_Q, dv, dk, j, k, v, scale_times_log2e, clean_j, bj, row, q_head,
                dout_head, lse_ptr, row_max_ptr, row_weight_ptr, delta_ptr, q_stride_t,
                dout_stride_t, length, block, N, D, DV, BLOCK_Q, PARTS_D, PARTS_DV, AGAIN,
                EDGE=False,
            )

    row = (b * (HKV * shares) + head_id) * M
    _store_rows(dk_ptr + row * D, k0, M, _scaled(dk, scale), D, BLOCK_K, PARTS_D)
    _store_rows(dv_ptr + row * DV, k0, M, dv, DV, BLOCK_K, PARTS_DV)


@triton.jit
def _add_keys_backward(
    k0, dq, q, lse, row_max, row_weight, delta, dout, scale_times_log2e, clean_i, bi, k_ptr, v_ptr,
    k_stride_t, v_stride_t, length, block, M, D: tl.constexpr, DV: tl.constexpr,
    BLOCK_K: tl.constexpr, PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr,
    EDGE: tl.constexpr,
):
    """Add what keys [k0, k0 + BLOCK_K) say about the gradient of one query tile."""
    j = (k0 + tl.arange(0, BLOCK_K))[None, :]
    k = _load_rows(k_ptr, k0, M, k_stride_t, D, BLOCK_K, PARTS_D, EDGE)
    qk = _dot_rows(q, k)
    v = _load_rows(v_ptr, k0, M, v_stride_t, DV, BLOCK_K, PARTS_DV, EDGE)
    dp = _dot_rows(dout, v)
    score = qk * scale_times_log2e
    if EDGE:
        clean_j = length <= j                                           # block_diffusion.attn:6
        bj = tl.where(clean_j, j - length, j) // block                  # block_diffusion.attn:8
        # block_diffusion.attn:9
        visible = (
            ((bi == bj) & tl.where(clean_i, clean_j, j < length) | (bj < bi) & clean_j)
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


@triton.jit(do_not_specialize=["length", "block", "N", "M"])
def _backward_queries(
    q_ptr, k_ptr, v_ptr, dout_ptr, lse_ptr, row_max_ptr, row_weight_ptr, delta_ptr, dq_ptr,
    q_stride_b, q_stride_h, q_stride_t, k_stride_b, k_stride_h, k_stride_t, v_stride_b, v_stride_h,
    v_stride_t, dout_stride_b, dout_stride_h, dout_stride_t, scale, length, block, H, group, N, M,
    D: tl.constexpr, DV: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    PARTS_D: tl.constexpr, PARTS_DV: tl.constexpr, AGAIN: tl.constexpr, LARGE: tl.constexpr,
):
    """One program: the gradient of BLOCK_Q queries of one head."""
    tiles = tl.cdiv(N, BLOCK_Q)
    tile_id, head_id, batch_id = _program(tiles, H, LARGE)
    q0 = tile_id * BLOCK_Q
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
    clean_i = length <= i                                               # block_diffusion.attn:5
    bi = tl.where(clean_i, i - length, i) // block                      # block_diffusion.attn:7

    dq = _zeros(BLOCK_Q, PARTS_D)

    # Tiles of keys: [live_lo, live_hi) hold a visible key, [full_lo, full_hi) hide none.
    key_lo_1 = block * (i_first // block)
    key_hi_1 = tl.minimum(
        tl.where(
            i_first < length,
            tl.minimum(
                block * _floor_divide(tl.minimum(i_last, length - 1), block) + block, length,
            ),
            0,
        ),
        M,
    )
    live_hi_1 = tl.where(key_lo_1 < key_hi_1, tl.cdiv(key_hi_1, BLOCK_K), 0)
    full_lo_1 = tl.minimum(tl.cdiv(block * (i_last // block), BLOCK_K), live_hi_1)
    whole_hi_1 = tl.minimum(
        tl.where(i_last < length, tl.minimum(block * (i_first // block) + block, length), 0), M,
    )
    full_hi_1 = tl.maximum(tl.minimum(whole_hi_1 // BLOCK_K, live_hi_1), full_lo_1)
    live_lo_1 = tl.minimum(key_lo_1 // BLOCK_K, full_lo_1)
    key_lo_2 = tl.maximum(length, 0)
    key_hi_2 = tl.minimum(
        tl.where(
            length <= i_last, block * _floor_divide(i_last - length, block) + block + length, 0,
        ),
        M,
    )
    live_hi_2 = tl.maximum(tl.where(key_lo_2 < key_hi_2, tl.cdiv(key_hi_2, BLOCK_K), 0), live_hi_1)
    full_lo_2 = tl.minimum(
        tl.maximum(tl.cdiv(tl.maximum(length, 0), BLOCK_K), full_hi_1), live_hi_2,
    )
    whole_hi_2 = tl.minimum(
        tl.where(
            length <= i_first, block * _floor_divide(i_first - length, block) + block + length, 0,
        ),
        M,
    )
    full_hi_2 = tl.maximum(tl.minimum(whole_hi_2 // BLOCK_K, live_hi_2), full_lo_2)
    edge_hi_1 = tl.minimum(live_hi_1, full_lo_2)
    live_lo_2 = tl.minimum(tl.maximum(key_lo_2 // BLOCK_K, live_hi_1), full_lo_2)
    key_lo_3 = tl.maximum(length, 0)
    key_hi_3 = tl.minimum(
        tl.where(
            i_first < length, block * _floor_divide(tl.minimum(i_last, length - 1), block) + length,
            0,
        ),
        M,
    )
    live_hi_3 = tl.maximum(tl.where(key_lo_3 < key_hi_3, tl.cdiv(key_hi_3, BLOCK_K), 0), live_hi_2)
    full_lo_3 = tl.minimum(
        tl.maximum(tl.cdiv(tl.maximum(length, 0), BLOCK_K), full_hi_2), live_hi_3,
    )
    whole_hi_3 = tl.minimum(tl.where(i_last < length, block * (i_first // block) + length, 0), M)
    full_hi_3 = tl.maximum(tl.minimum(whole_hi_3 // BLOCK_K, live_hi_3), full_lo_3)
    edge_hi_2 = tl.minimum(live_hi_2, full_lo_3)
    live_lo_3 = tl.minimum(tl.maximum(key_lo_3 // BLOCK_K, live_hi_2), full_lo_3)

    edge_end_1 = full_lo_1 - live_lo_1
    edge_end_2 = edge_end_1 + (edge_hi_1 - full_hi_1)
    edge_end_3 = edge_end_2 + (full_lo_2 - live_lo_2)
    edge_end_4 = edge_end_3 + (edge_hi_2 - full_hi_2)
    edge_end_5 = edge_end_4 + (full_lo_3 - live_lo_3)
    edge_tiles = edge_end_5 + (live_hi_3 - full_hi_3)
    for t in range(0, edge_tiles):
        tile = tl.where(
            t < edge_end_1,
            live_lo_1 + t,
            tl.where(
                t < edge_end_2,
                full_hi_1 + t - edge_end_1,
                tl.where(
                    t < edge_end_3,
                    live_lo_2 + t - edge_end_2,
                    tl.where(
                        t < edge_end_4,
                        full_hi_2 + t - edge_end_3,
                        tl.where(
                            t < edge_end_5, live_lo_3 + t - edge_end_4, full_hi_3 + t - edge_end_5,
                        ),
                    ),
                ),
            ),
        )
        dq = _add_keys_backward(
            tile * BLOCK_K, dq, q, lse, row_max, row_weight, delta, dout, scale_times_log2e,
            clean_i, bi, k_ptr, v_ptr, k_stride_t, v_stride_t, length, block, M, D, DV, BLOCK_K,
            PARTS_D, PARTS_DV, AGAIN, EDGE=True,
        )
    full_end_1 = full_hi_1 - full_lo_1
    full_end_2 = full_end_1 + (full_hi_2 - full_lo_2)
    full_tiles = full_end_2 + (full_hi_3 - full_lo_3)
    for t in range(0, full_tiles):
        tile = tl.where(
            t < full_end_1, full_lo_1 + t,
            tl.where(t < full_end_2, full_lo_2 + t - full_end_1, full_lo_3 + t - full_end_2),
        )
        dq = _add_keys_backward(
            tile * BLOCK_K, dq, q, lse, row_max, row_weight, delta, dout, scale_times_log2e,
            clean_i, bi, k_ptr, v_ptr, k_stride_t, v_stride_t, length, block, M, D, DV, BLOCK_K,
            PARTS_D, PARTS_DV, AGAIN, EDGE=False,
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
# _floor_divide: attnc/support/kernels.py
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
# _row_max: attnc/support/cpu.py
# _matmul: attnc/support/cpu.py
# _are_spoiled: attnc/support/cpu.py
# _are_finite: attnc/support/cpu.py
# _wide_sum: attnc/support/cpu.py
# _in_room: attnc/support/cpu.py
# _add_transposed: attnc/support/cpu.py


def _keys_seen(q0, q1, M, length, block):
    """The keys that queries [q0, q1) see, and the edges, where some are hidden."""
    i_first = q0
    i_last = q1 - 1
    return _join(
        M,
        (
            block * (i_first // block),
            (
                min(block * (min(i_last, length - 1) // block) + block, length)
                if i_first < length
                else 0
            ),
            block * (i_last // block),
            min(block * (i_first // block) + block, length) if i_last < length else 0,
        ),
        (
            length,
            block * ((i_last - length) // block) + block + length if length <= i_last else 0,
            length,
            block * ((i_first - length) // block) + block + length if length <= i_first else 0,
        ),
        (
            length, block * (min(i_last, length - 1) // block) + length if i_first < length else 0,
            length, block * (i_first // block) + length if i_last < length else 0,
        ),
    )


def _hide(pairs, otherwise, edges, i, length, block):
    """Fill in every pair of a tile that the mask hides."""
    clean_i = length <= i                                               # block_diffusion.attn:5
    bi = torch.where(clean_i, i - length, i) // block                   # block_diffusion.attn:7
    for columns, seen in edges:
        j = torch.arange(seen.start, seen.stop)[None, :]
        clean_j = length <= j                                           # block_diffusion.attn:6
        bj = torch.where(clean_j, j - length, j) // block               # block_diffusion.attn:8
        # block_diffusion.attn:9
        visible = (bi == bj) & torch.where(clean_i, clean_j, j < length) | (bj < bi) & clean_j
        _fill_hidden(pairs[:, :, :, columns], *_bits_of_pairs(visible, pairs.dtype, otherwise))


@_on_spare_threads
def _forward_cpu(q, k, v, scale, length, block):
    """Forward on the CPU: out [B, H, N, DV] and lse [B, H, N]."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = torch.promote_types(q.dtype, torch.float32)
    narrow = _narrow(q.dtype)
    out = q.new_empty(B, H, N, DV)
    row_max = q.new_empty(B, H, N, 1, dtype=dtype)
    row_sum = q.new_empty(B, H, N, 1, dtype=dtype)
    scale_times_log2e = scale * 1.4426950408889634
    room = torch.empty(0, dtype=dtype)
    k_room = torch.empty(0, dtype=dtype)
    narrow_room = torch.empty(0, dtype=narrow)
    tile = _rows_of_tile(_keys_seen(N - 1, N, M, length, block), B * H, q.dtype) if N > 0 else TILE

    for q0 in range(0, N, tile):
        q1 = min(q0 + tile, N)
        seen, edges = _keys_seen(q0, q1, M, length, block)
        i = torch.arange(q0, q1)[:, None]
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale_times_log2e,
                _in_room(k[:, kv_heads, seen], k_room).mT, room,
            )
            _hide(score, float("-inf"), edges, i, length, block)
            largest = _row_max(score)
            p = score.sub_(largest).exp2_()
            total = p.sum(-1, keepdim=True)
            row_max[:, heads, q0:q1] = largest
            row_sum[:, heads, q0:q1] = total
            # no key: 0; else the largest adds 1
            total.clamp_(min=1.0)
            p_narrow = _in_room(p, narrow_room)
            values = _matmul(p_narrow, v[:, kv_heads, seen].to(narrow))
            if _are_spoiled([values]):
                # 0 times what is not finite is not 0: once more, without what a row does not see.
                shown = torch.ones_like(score)
                _hide(shown, float(0), edges, i, length, block)
                values = _matmul(p_narrow, v[:, kv_heads, seen].to(narrow), shown=shown)
            out[:, heads, q0:q1] = values / total

    row_weight = row_sum.reciprocal().masked_fill_(row_sum == 0.0, 0.0).squeeze(-1)
    lse = ((row_max + row_sum.log2_()) * 0.6931471805599453).squeeze(-1)
    row_max = row_max.squeeze(-1)
    return out, lse, row_max, row_weight


@_on_spare_threads
def _backward_cpu(dout, dlse, q, k, v, out, row_max, row_weight, scale, length, block):
    """Backward on the CPU: the gradient of every float tensor, in order."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    dtype = torch.promote_types(q.dtype, torch.float32)
    narrow = _narrow(q.dtype)
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
    tile = _rows_of_tile(_keys_seen(N - 1, N, M, length, block), B * H, q.dtype) if N > 0 else TILE

    for q0 in range(0, N, tile):
        q1 = min(q0 + tile, N)
        seen, edges = _keys_seen(q0, q1, M, length, block)
        i = torch.arange(q0, q1)[:, None]
        for heads, kv_heads in _steps(H, HKV, B * (q1 - q0), seen):
            score = _matmul(
                q[:, heads, q0:q1].to(dtype) * scale_times_log2e,
                _in_room(k[:, kv_heads, seen], k_room).mT, room,
            )
            _hide(score, float("-inf"), edges, i, length, block)
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
                _hide(shown, float(0), edges, i, length, block)
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


def _forward_triton(q, k, v, scale, length, block):
    """Forward by the kernels: out [B, H, N, DV] and lse [B, H, N]."""
    B, H, N, D = q.shape
    HKV, M, DV = v.shape[1:]
    group = H // HKV
    _check_reach("M + N + 2 * block + 3 * abs(length)", M + N + 2 * block + 3 * abs(length))
    q, k, v = map(_with_unit_stride, (q, k, v))
    large = _is_large(H, B, q, k, v)
    out = q.new_empty(B, H, N, DV)
    lse = q.new_empty(B, H, N, dtype=torch.float32)
    row_max = q.new_empty(B, H, N, dtype=torch.float32)
    row_weight = q.new_empty(B, H, N, dtype=torch.float32)
    tiles = _tiles("forward", q, ("D", D), ("DV", DV))
    few = _few_rows(tiles, N * group)
    splits = _splits(q, N * group, B * HKV, M, few)
    if splits:
        part_acc = q.new_empty(splits, B, H, N, DV, dtype=torch.float32)
        part_max = q.new_empty(splits, B, H, N, dtype=torch.float32)
        part_sum = q.new_empty(splits, B, H, N, dtype=torch.float32)
        with torch.cuda.device_of(q):
            grid = _grid(triton.cdiv(N * group, few["BLOCK_Q"]), HKV * splits, B, large)
            for again, options in _looks(few):
                _forward_split[grid](
                    q, k, v, part_acc, part_max, part_sum, *q.stride()[:3], *k.stride()[:3],
                    *v.stride()[:3], scale, length, block, splits, B, H, HKV, group, N, M,
                    **options, AGAIN=again, LARGE=large,
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
                *v.stride()[:3], scale, length, block, H, group, N, M, **options, LARGE=large,
                AHEAD=None if again else _ahead(q, tiles), AGAIN=again,
            )
    return out, lse, row_max, row_weight


def _backward_triton(dout, dlse, q, k, v, out, row_max, row_weight, scale, length, block):
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
                *k.stride()[:3], *v.stride()[:3], *dout.stride()[:3], scale, length, block, shares,
                H, HKV, group, N, M, **options, LARGE=large, AGAIN=again,
            )
        dk = _sum_of_parts(dk, shares, k.dtype)
        dv = _sum_of_parts(dv, shares, v.dtype)
        tiles = _tiles("backward_queries", q, ("D", D), ("DV", DV))
        for again, options in _looks(tiles):
            _backward_queries[_grid(triton.cdiv(N, tiles["BLOCK_Q"]), H, B, large)](
                q, k, v, dout, lse, row_max, row_weight, delta, dq, *q.stride()[:3],
                *k.stride()[:3], *v.stride()[:3], *dout.stride()[:3], scale, length, block, H,
                group, N, M, **options, LARGE=large, AGAIN=again,
            )
    return dq, dk, dv


def _pairs_seen(q, k, length, block):
    """How many pairs of a query and a key are in the tiles that are visited, of all heads."""
    B, H, N, D = q.shape
    HKV, M = k.shape[1:3]
    pairs = 0
    for q0 in range(0, N, TILE):
        q1 = min(q0 + TILE, N)
        seen, edges = _keys_seen(q0, q1, M, length, block)
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
    q: Tensor, k: Tensor, v: Tensor, length: int, block: int, backend: str, floats: list[float],
    changing: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Output and log-sum-exp."""
    (scale,) = floats if changing is None else changing.tolist()
    forward = _forward_triton if backend == "triton" else _forward_cpu
    return forward(q, k, v, scale, length, block)


@torch.library.register_fake(_attention, lib=_LIBRARY)
def _(q, k, v, length, block, backend, floats, changing):
    wide = torch.promote_types(q.dtype, torch.float32)
    out = q.new_empty(*q.shape[:3], v.shape[3])
    return (
        out, q.new_empty(q.shape[:3], dtype=wide), q.new_empty(q.shape[:3], dtype=wide),
        q.new_empty(q.shape[:3], dtype=wide),
    )


_count_flops(_attention, {"q": 1, "v": 1})


@_operator
def _attention_backward(
    dout: Tensor, dlse: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, row_max: Tensor,
    row_weight: Tensor, length: int, block: int, backend: str, floats: list[float],
    changing: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of every float tensor, in order."""
    (scale,) = floats if changing is None else changing.tolist()
    backward = _backward_triton if backend == "triton" else _backward_cpu
    return backward(dout, dlse, q, k, v, out, row_max, row_weight, scale, length, block)


@torch.library.register_fake(_attention_backward, lib=_LIBRARY)
def _(dout, dlse, q, k, v, out, row_max, row_weight, length, block, backend, floats, changing):
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


_derive(
    _attention_backward, _refuse, _keep_nothing,
    ("dout", "dlse", "q", "k", "v", "out", "row_max", "row_weight"),
)


_count_flops(_attention_backward, {"q": 3, "v": 2})


def _save(ctx, inputs, output):
    """Keep what the backward pass reads: all inputs, the output and numbers of rows."""
    out, _, row_max, row_weight = output
    ctx.save_for_backward(*inputs[:3], out, row_max, row_weight)
    ctx.mark_non_differentiable(row_max, row_weight)
    ctx.arguments = inputs[3:]


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


def _check(q, k, v, scale, length, block):
    """Raise the first mistake of a call; return its parameters, numbers as Python's."""
    _check_inputs(q, k, v)
    scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)
    length = _number("length", int, length)
    block = _number("block", int, block)
    # `(i - length if length <= i else i) // block` divides by `block`: the call checks that `block`
    # is at least 1 (block_diffusion.attn:7)
    if not _holds(block >= 1):
        raise ValueError(f"`block` needs 1 or more, got {block}")
    return scale, length, block


def block_diffusion(
    q: Tensor, k: Tensor, v: Tensor, *, length: int, block: int = 16, scale: float | None = None,
    return_lse: bool = False, backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of q [B, H, N, D] over k [B, HKV, M, D] and v [B, HKV, M, DV]: [B, H, N, DV].

    length: int
    block: int
    scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given
    return_lse: also return the log-sum-exp of each row, [B, H, N]
    backend: "auto" (by the device of the tensors), "triton" or "cpu"
    """
    q, k, v = map(_as_autocast, (q, k, v))
    try:
        scale, length, block = _check(q, k, v, scale, length, block)
    except (TypeError, ValueError) as mistake:
        return _refused(mistake, q, v, return_lse)
    _tell_counters()
    out, lse, *_ = _attention(q, k, v, length, block, _choose(backend, q), *_floats(scale))
    return (out, lse) if return_lse else out
