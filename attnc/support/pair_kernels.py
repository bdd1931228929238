"""Kernels of linear attention pair by pair, for calls in which some result of chunks is no number.

Enters: features, values, steps and documents as a call has them, and whether to look again: elsewhere they end at once.
Leaves: outputs and gradients, in the place of those that are there. A number that is none spoils those who see it, and
nobody else: in a product of a chunk 0 times nan is nan. Time grows with the pairs. Copied by name.

A query stands at the position `i + offset` among the keys. The exponent of a pair is the sum of the steps behind the
key, up to the query; it grows by a step from key to key.
"""

import triton
import triton.language as tl


@triton.jit
def _load_token(ptr, t, end, stride, WIDTH: tl.constexpr, COLS: tl.constexpr):
    """A row of a matrix [end, WIDTH], in float32; zero outside."""
    col = tl.arange(0, COLS)
    inside = (col < WIDTH) & (col * 0 + t >= 0) & (col * 0 + t < end)
    return tl.load(ptr + tl.cast(t, tl.int64) * stride + col, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _store_token(ptr, row, t, end, WIDTH: tl.constexpr, COLS: tl.constexpr):
    """Write it to a contiguous matrix, where it lies inside."""
    col = tl.arange(0, COLS)
    inside = (col < WIDTH) & (col * 0 + t >= 0) & (col * 0 + t < end)
    tl.store(ptr + tl.cast(t, tl.int64) * WIDTH + col, row, mask=inside)


@triton.jit
def _load_number(ptr, t, end):
    """A number of a row, zero outside."""
    return tl.load(ptr + t, mask=(t >= 0) & (t < end), other=0.0)


@triton.jit
def _load_step(
    steps_ptr, t, M, F: tl.constexpr, GATED: tl.constexpr, CHANNELS: tl.constexpr,
    BLOCK_F: tl.constexpr,
):
    """The step of each feature at a key; zero outside."""
    if CHANNELS:
        return _load_token(steps_ptr, t, M, F, F, BLOCK_F)
    elif GATED:
        return tl.where(tl.arange(0, BLOCK_F) < F, _load_number(steps_ptr, t, M), 0.0)
    else:
        return tl.zeros([BLOCK_F], tl.float32)


@triton.jit
def _document(ptr, t, end, DOCUMENTS: tl.constexpr):
    """The document of a token, the same for all where there are none."""
    if DOCUMENTS:
        return tl.load(ptr + t, mask=(t >= 0) & (t < end), other=0)
    else:
        return t * 0


@triton.jit(do_not_specialize=["rows", "N", "M", "offset", "share"])
def _pair_outputs(
    again_ptr, f_ptr, g_ptr, v_ptr, steps_ptr, of_queries_ptr, of_keys_ptr, out_ptr, sums_ptr,
    f_stride_b, f_stride_h, f_stride_t, g_stride_b, g_stride_h, g_stride_t, v_stride_b, v_stride_h,
    v_stride_t, H, group, rows, N, M, offset, share, F: tl.constexpr, DV: tl.constexpr,
    GATED: tl.constexpr, CHANNELS: tl.constexpr, DOCUMENTS: tl.constexpr, SUMS: tl.constexpr,
    BLOCK_F: tl.constexpr, BLOCK_V: tl.constexpr,
):
    """One program: a share of all rows, from the key at the query back to the first."""
    first = tl.cast(tl.program_id(0), tl.int64) * share
    for n in range(0, tl.load(again_ptr) * tl.minimum(share, rows - first).to(tl.int32)):
        head, i = (first + n) // N, ((first + n) % N).to(tl.int32)
        b, h = head // H, head % H
        f = _load_token(f_ptr + b * f_stride_b + h * f_stride_h, i, N, f_stride_t, F, BLOCK_F)
        of_g = g_ptr + b * g_stride_b + h // group * g_stride_h
        of_v = v_ptr + b * v_stride_b + h // group * v_stride_h
        of_steps = steps_ptr + head * M * (F if CHANNELS else 1) if GATED else steps_ptr
        of_keys = of_keys_ptr + b * M if DOCUMENTS else of_keys_ptr
        own = _document(of_queries_ptr + b * N if DOCUMENTS else of_queries_ptr, i, N, DOCUMENTS)
        last = tl.minimum(i + offset, M - 1)
        lost = tl.zeros([BLOCK_F], tl.float32)
        acc = tl.zeros([BLOCK_V], tl.float32)
        total = 0.0
        for m in range(0, last + 1):
            j = last - m
            g = _load_token(of_g, j, M, g_stride_t, F, BLOCK_F)
            v = _load_token(of_v, j, M, v_stride_t, DV, BLOCK_V)
            seen = own == _document(of_keys, j, M, DOCUMENTS)
            weight = tl.sum(f * g * tl.exp(lost), 0)
            acc += tl.where(seen, weight * v, 0.0)
            total += tl.where(seen, weight, 0.0)
            lost += _load_step(of_steps, j, M, F, GATED, CHANNELS, BLOCK_F)
        _store_token(out_ptr + head * N * DV, acc, i, N, DV, BLOCK_V)
        if SUMS:
            tl.store(sums_ptr + head * N + i, total)


@triton.jit(do_not_specialize=["rows", "N", "M", "offset", "share", "start", "places"])
def _pair_gradients(
    again_ptr, f_ptr, g_ptr, v_ptr, steps_ptr, of_queries_ptr, of_keys_ptr, dout_ptr, dsums_ptr,
    df_ptr, dg_ptr, dv_ptr, change_ptr, spoiled_ptr, f_stride_b, f_stride_h, f_stride_t, g_stride_b,
    g_stride_h, g_stride_t, v_stride_b, v_stride_h, v_stride_t, H, group, rows, N, M, offset, share,
    start, places, F: tl.constexpr, DV: tl.constexpr, GATED: tl.constexpr, CHANNELS: tl.constexpr,
    DOCUMENTS: tl.constexpr, SUMS: tl.constexpr, BLOCK_F: tl.constexpr, BLOCK_V: tl.constexpr,
):
    """One program: a share of all positions: what the query and the key get that stand there.

    Steps are crossed by the pairs that begin before them, and end there or behind: for each
    position what ends there less what begins there, and how many of it are no numbers.
    """
    WIDTH: tl.constexpr = F if CHANNELS else 1
    COLS: tl.constexpr = BLOCK_F if CHANNELS else 1
    first = tl.cast(tl.program_id(0), tl.int64) * share
    for n in range(0, tl.load(again_ptr) * tl.minimum(share, rows - first).to(tl.int32)):
        head, place = (first + n) // places, ((first + n) % places).to(tl.int32)
        b, h, t = head // H, head % H, place + start
        of_f = f_ptr + b * f_stride_b + h * f_stride_h
        of_g = g_ptr + b * g_stride_b + h // group * g_stride_h
        of_v = v_ptr + b * v_stride_b + h // group * v_stride_h
        of_dout = dout_ptr + head * N * DV
        of_dsums = dsums_ptr + head * N if SUMS else dsums_ptr
        of_steps = steps_ptr + head * M * WIDTH if GATED else steps_ptr
        of_keys = of_keys_ptr + b * M if DOCUMENTS else of_keys_ptr
        of_queries = of_queries_ptr + b * N if DOCUMENTS else of_queries_ptr
        change = tl.zeros([COLS], tl.float32)
        spoiled = tl.zeros([COLS], tl.int32)

        # The query there, from its last key back to the first.
        i, last = t - offset, tl.minimum(t, M - 1)
        f = _load_token(of_f, i, N, f_stride_t, F, BLOCK_F)
        dout = _load_token(of_dout, i, N, DV, DV, BLOCK_V)
        dsum = _load_number(of_dsums, i, N) if SUMS else 0.0
        own = _document(of_queries, i, N, DOCUMENTS)
        lost = tl.zeros([BLOCK_F], tl.float32)
        df = tl.zeros([BLOCK_F], tl.float32)
        for m in range(0, tl.where((i >= 0) & (i < N), last + 1, 0)):
            j = last - m
            g = _load_token(of_g, j, M, g_stride_t, F, BLOCK_F) * tl.exp(lost)
            v = _load_token(of_v, j, M, v_stride_t, DV, BLOCK_V)
            seen = own == _document(of_keys, j, M, DOCUMENTS)
            dweight = tl.sum(dout * v, 0) + dsum
            df += tl.where(seen, dweight * g, 0.0)
            part = _of_pair(f * g, dweight, CHANNELS)
            is_finite = tl.abs(part) < float("inf")
            crosses = seen & (m > 0)
            change += tl.where(crosses & is_finite, part, 0.0)
            spoiled += tl.where(is_finite, 0, tl.where(crosses, 1, 0))
            lost += _load_step(of_steps, j, M, F, GATED, CHANNELS, BLOCK_F)
        _store_token(df_ptr + head * N * F, df, i, N, F, BLOCK_F)

        # The key there, from its own position to that of the last query.
        g = _load_token(of_g, t, M, g_stride_t, F, BLOCK_F)
        v = _load_token(of_v, t, M, v_stride_t, DV, BLOCK_V)
        own = _document(of_keys, t, M, DOCUMENTS)
        lost = tl.zeros([BLOCK_F], tl.float32)
        dg = tl.zeros([BLOCK_F], tl.float32)
        dv = tl.zeros([BLOCK_V], tl.float32)
        for m in range(0, tl.where((t >= 0) & (t < M), N + offset - t, 0)):
            i = t + m - offset
            if GATED:
                step = _load_step(of_steps, t + m, M, F, GATED, CHANNELS, BLOCK_F)
                lost += tl.where(m > 0, step, 0.0)
            f = _load_token(of_f, i, N, f_stride_t, F, BLOCK_F) * tl.exp(lost)
            dout = _load_token(of_dout, i, N, DV, DV, BLOCK_V)
            dsum = _load_number(of_dsums, i, N) if SUMS else 0.0
            seen = (own == _document(of_queries, i, N, DOCUMENTS)) & (i >= 0)
            dweight = tl.sum(dout * v, 0) + dsum
            dv += tl.where(seen, tl.sum(f * g, 0) * dout, 0.0)
            dg += tl.where(seen, dweight * f, 0.0)
            part = _of_pair(f * g, dweight, CHANNELS)
            is_finite = tl.abs(part) < float("inf")
            crosses = seen & (tl.minimum(t + m, M - 1) > t)
            change -= tl.where(crosses & is_finite, part, 0.0)
            spoiled -= tl.where(is_finite, 0, tl.where(crosses, 1, 0))
        _store_token(dg_ptr + head * M * F, dg, t, M, F, BLOCK_F)
        _store_token(dv_ptr + head * M * DV, dv, t, M, DV, BLOCK_V)
        if GATED:
            _store_token(change_ptr + head * places * WIDTH, change, place, places, WIDTH, COLS)
            _store_token(spoiled_ptr + head * places * WIDTH, spoiled, place, places, WIDTH, COLS)


@triton.jit
def _of_pair(products, dweight, CHANNELS: tl.constexpr):
    """What the exponents of a pair get: one number, or one for each feature."""
    if CHANNELS:
        return products * dweight
    else:
        return tl.sum(products, 0) * dweight + tl.zeros([1], tl.float32)


@triton.jit(do_not_specialize=["M", "start", "places"])
def _pair_steps(
    again_ptr, change_ptr, spoiled_ptr, dsteps_ptr, M, start, places, WIDTH: tl.constexpr,
    COLS: tl.constexpr,
):
    """One program: steps of a head, from the last to the second: what ends there or behind."""
    head = tl.cast(tl.program_id(0), tl.int64)
    col = tl.arange(0, COLS)
    change = tl.zeros([COLS], tl.float32)
    spoiled = tl.zeros([COLS], tl.int32)
    for n in range(0, tl.load(again_ptr) * places):
        place = places - 1 - n
        t = place + start
        at = (head * places + place) * WIDTH + col
        change += tl.load(change_ptr + at, mask=col < WIDTH, other=0.0)
        spoiled += tl.load(spoiled_ptr + at, mask=col < WIDTH, other=0)
        found = tl.where(spoiled > 0, float("nan"), change)
        found = tl.where(col * 0 + t > 0, found, 0.0)
        _store_token(dsteps_ptr + head * M * WIDTH, found, t, M, WIDTH, COLS)
