"""What the CPU path calls: how many threads work, what a tile sees, products of tiles, torch's own kernels.

Copied by name, each where something calls it. It knows nothing of any spec.
"""

import os
from functools import lru_cache

import torch
from torch import Tensor

from attnc.support.of_module import TILE
from attnc.support.torch_functions import _with_unit_stride, _without_autocast


def _on_spare_threads(function):
    """A call takes a hundred operations, and threads that share one wait for each other at its end.

    So on a busy machine fewer are faster: no more than there are processors that nobody else wants.
    """
    plain = _without_autocast(function)

    def sparing(*args):
        threads = torch.get_num_threads()
        is_small = next(arg for arg in args if isinstance(arg, Tensor)).numel() < 2**15
        if threads == 1 or is_small or torch.are_deterministic_algorithms_enabled():
            return plain(*args)
        torch.set_num_threads(max(1, min(threads, _spare_processors(threads))))
        try:
            return plain(*args)
        finally:
            torch.set_num_threads(threads)

    return sparing


def _spare_processors(threads):
    """Processors that nobody else wants, if all threads of ours run; where it is not said, all."""
    try:
        with open("/proc/loadavg") as load:
            running = int(load.read().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        running = 0
    return min(os.cpu_count() or threads, _quota()) - max(0, running - threads)


@lru_cache(maxsize=1)
def _quota():
    """Processors that a container may use."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as limit:
            share, period = map(float, limit.read().split())  # "max" is no number
        return max(1, round(share / period))
    except (OSError, ValueError):
        return 2**16


def _join(M, *intervals):
    """Intervals of keys, cut at [0, M), as an index of all keys, and its edges: columns and keys.

    An interval is first, end, and first and end of those keys that every query sees. It begins a
    little earlier: whole cache lines are faster, and the mask hides what comes too much.
    """
    parts, edges, reached, column = [], [], 0, 0
    for lo, hi, full_lo, full_hi in sorted(intervals):
        lo = max(lo, reached)
        hi = max(min(hi, M), lo)
        full_lo, full_hi = max(full_lo, lo), min(full_hi, hi)
        if lo == hi:
            continue
        lo = max(lo // 64 * 64, reached)
        for first, end in ((lo, full_lo), (full_hi, hi)) if full_lo < full_hi else ((lo, hi),):
            if first < end:
                edges.append((slice(column + first - lo, column + end - lo), slice(first, end)))
        touches = parts and parts[-1].stop == lo
        parts.append(slice(parts.pop().start if touches else lo, hi))
        column += hi - lo
        reached = hi
    if len(parts) <= 1:
        return parts[0] if parts else slice(0, 0), edges
    return torch.cat([_positions(part) for part in parts]), edges


def _join_tiles(M, kinds):
    """`_join` of a row of tiles, by their kinds [B or 1, H or 1, tiles]: what some head sees."""
    some = (kinds > 0).flatten(0, 1).any(0)
    every = (kinds == 2).flatten(0, 1).all(0).tolist()
    intervals = []
    for tile in some.nonzero().flatten().tolist():
        lo, hi = tile * TILE, tile * TILE + TILE
        intervals.append((lo, hi, lo, hi) if every[tile] else (lo, hi, 0, 0))
    return _join(M, *intervals)


def _positions(seen):
    """The positions of an index."""
    return torch.arange(seen.start, seen.stop) if isinstance(seen, slice) else seen


def _count(seen):
    """How many keys an index has."""
    return seen.stop - seen.start if isinstance(seen, slice) else len(seen)


def _rows_of_tile(last, heads, dtype):
    """Queries in a tile, by the keys that the last sees: few read few in vain, many multiply fast.

    Half precision needs more of them, since keys are converted for each tile, and few heads need
    work for each step.
    """
    keys = _count(last[0])
    if dtype.itemsize == 2:
        return 2 * TILE if keys >= 2048 else TILE
    return TILE // 2 if keys <= 512 and heads >= 8 else TILE


def _steps(heads, groups, rows, seen):
    """Heads of queries and of their keys, so many at a time that the pairs stay in the cache.

    The keys should too: they weigh more than their pairs where a head has fewer than 16 rows.
    """
    pairs = max(16, rows * (heads // groups)) * _count(seen)
    count = max(1, torch.get_num_threads() * 2**19 // max(1, pairs))
    for first in range(0, groups, count):
        end = min(first + count, groups)
        yield slice(first * heads // groups, end * heads // groups), slice(first, end)


def _narrow(dtype):
    """What weights are multiplied in: bfloat16 where the processor can, or a wide dtype."""
    mkldnn = torch.ops.mkldnn if torch.backends.mkldnn.is_available() else None
    if dtype == torch.bfloat16 and mkldnn and mkldnn._is_mkldnn_bf16_supported():
        return dtype  # its products are summed in float32
    return torch.promote_types(dtype, torch.float32)


def _bits_of_pairs(visible, dtype, otherwise):
    """What stays of the bits of every pair, and what comes to those of hidden pairs, if not 0."""
    shown = visible.to(torch.int32 if dtype == torch.float32 else torch.int64).neg_()
    if otherwise == 0:
        return shown, None
    return shown, shown.bitwise_not() & torch.tensor(otherwise, dtype=dtype).view(shown.dtype)


def _fill_hidden(pairs, shown, filled):
    """Fill in the hidden pairs, by their bits: `masked_fill_` takes five times as long."""
    bits = pairs.view(shown.dtype).bitwise_and_(shown)
    if filled is not None:
        bits.bitwise_or_(filled)


def _first_of_largest(value, seen):
    """Where the first of the largest numbers of each row is; -1 where a row sees no key."""
    if value.shape[-1] == 0:
        return -1
    largest, column = value.max(-1)
    return torch.where(largest == float("-inf"), -1, _positions(seen)[column])


def _row_max(score):
    """The largest score of each row; where a row sees no key finite, and harmless to subtract."""
    if score.shape[-1] == 0:
        return score.new_zeros(*score.shape[:-1], 1)
    return score.amax(-1, keepdim=True).clamp_(min=torch.finfo(score.dtype).min)


def _matmul(a, b, room=None, shown=None):
    """a [B, H, T, X] @ b [B, HKV, X, Y], where H // HKV heads in a row share a head of b.

    0 times what is not finite is not 0: where `shown` says which of a there are, it is left out.
    """
    if shown is not None:
        wild = b.isfinite().logical_not_()
        met = _matmul(shown.to(a.dtype), wild.to(b.dtype)) > 0
        total = _matmul(a.masked_fill(shown == 0, 0), b.masked_fill(wild, 0), room)
        return total.masked_fill_(met, float("nan"))
    B, H, T, X = a.shape
    groups, Y = b.shape[1], b.shape[3]
    a, b = a.reshape(B * groups, H // groups * T, X), b.reshape(B * groups, X, Y)
    if room is None:
        return torch.bmm(a, b).view(B, H, T, Y)
    return torch.bmm(a, b, out=room.resize_(*a.shape[:2], Y)).view(B, H, T, Y)


def _are_spoiled(tensors):
    """Is some number of one of them no number?"""
    return any(bool(_wide_sum(x).isnan()) for x in tensors)


def _are_near(row_max):
    """Has float32 digits for the logarithm of a sum next to each of these scores?"""
    return bool((row_max.abs() <= 1024.0).all())


def _are_finite(*tensors):
    """Is every number of all of them finite? Then mostly their sum is, which is found faster."""
    return all(bool(_wide_sum(x).isfinite() or x.isfinite().all()) for x in tensors)


def _wide_sum(x):
    """The sum of a tensor, where float16 and bfloat16 have room for it."""
    return x.sum(dtype=torch.promote_types(x.dtype, torch.float32))


def _in_room(x, room):
    """`x` in the dtype of `room`, and in its memory where that is another."""
    return x if x.dtype == room.dtype else room.resize_(x.shape).copy_(x)


def _add_transposed(total, seen, a, b, room, shown=None):
    """At the keys seen: += the transpose of a [B, H, T, X] @ b [B, H, T, Y], over shared heads."""
    if shown is not None:  # as above
        wild, met = b.isfinite().logical_not_(), torch.zeros_like(total)
        _add_transposed(met, seen, shown.to(a.dtype), wild.to(b.dtype), room)
        total.masked_fill_(met > 0, float("nan"))
        a, b = a.masked_fill(shown == 0, 0), b.masked_fill(wild, 0)
    groups = total.shape[1]
    rows = a.shape[1] // groups * a.shape[2]
    a, b = (x.reshape(x.shape[0], groups, rows, x.shape[3]) for x in (a, b))
    for batch, x, y in zip(total, a, b):
        if isinstance(seen, slice) and total.dtype == a.dtype:
            batch[:, seen].baddbmm_(x.mT, y)
        else:
            shape = groups, x.shape[2], y.shape[2]
            batch[:, seen] += torch.bmm(x.mT, y, out=room.resize_(shape))


def _suits_torch(q, k, v):
    """Is it fast in torch's kernel: one width, not float64, and no heads shared by few queries?"""
    if q.dtype == torch.float64 or q.shape[3] != v.shape[3] or 0 in (q.numel(), k.numel()):
        return False
    return q.shape[1] == k.shape[1] or q.shape[2] >= TILE


def _forward_of_torch(q, k, v, scale, is_causal):
    """What `scaled_dot_product_attention` calls on the CPU: out and lse.

    In a wide dtype: in bfloat16 its exp has fewer bits than the log-sum-exp needs.
    """
    dtype, wide = q.dtype, torch.promote_types(q.dtype, torch.float32)
    q, k, v = (_with_unit_stride(x.to(wide)) for x in (q, k, v))
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out, lse = attend(q, k, v, 0.0, is_causal, scale=scale)
    return out.to(dtype).contiguous(), lse.contiguous()


def _backward_of_torch(dout, q, k, v, out, lse, scale, is_causal):
    """Its gradients of q, k and v."""
    dtype, narrow = q.dtype, _narrow(q.dtype)
    dout, q, k, v = (_with_unit_stride(x.to(narrow)) for x in (dout, q, k, v))
    differentiate = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    gradients = differentiate(dout, q, k, v, out.to(narrow), lse, 0.0, is_causal, scale=scale)
    return tuple(x.to(dtype).contiguous() for x in gradients)
