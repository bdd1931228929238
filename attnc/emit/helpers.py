"""Small functions that emitted modules carry, each only where something calls it.

Enters: the names that a module's functions use. Leaves: the text of the helpers among them, in the order of
this file. These are the only lines of an emitted module that are the same in every module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TRITON = '''
@triton.jit
def _load_rows(
    ptr, first, end, stride, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
    RAGGED: tl.constexpr,
):
    """Rows [first, first + ROWS) of a matrix [end, WIDTH]; what lies outside reads as zero."""
    row = tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, COLS)[None, :]
    tile = (ptr + tl.cast(first, tl.int64) * stride) + (row * stride + col)
    if RAGGED:
        return tl.load(tile, mask=(first + row < end) & (col < WIDTH), other=0.0)
    elif WIDTH < COLS:
        return tl.load(tile, mask=col < WIDTH, other=0.0)
    else:
        return tl.load(tile)


@triton.jit
def _store_rows(ptr, first, end, tile, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Write rows [first, first + ROWS) of a contiguous matrix [end, WIDTH], where it has them."""
    row = tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, COLS)[None, :]
    inside = (first + row < end) & (col < WIDTH)
    place = (ptr + tl.cast(first, tl.int64) * WIDTH) + (row * WIDTH + col)
    tl.store(place, tile.to(ptr.dtype.element_ty), mask=inside)


@triton.jit
def _least(values, inside):
    """The least of the values that are inside of the sequence."""
    return tl.min(tl.where(inside, values, 2147483647))


@triton.jit
def _greatest(values, inside):
    """The greatest of the values that are inside of the sequence."""
    return tl.max(tl.where(inside, values, -2147483648))


@triton.jit
def _floor_divide(a, b):
    """a // b as Python means it; Triton's own truncates."""
    quotient = a // b
    return tl.where((a % b != 0) & ((a < 0) != (b < 0)), quotient - 1, quotient)


@triton.jit
def _floor_modulo(a, b):
    """a % b as Python means it; Triton's own has the sign of a."""
    rest = a % b
    return tl.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)


@triton.jit
def _is_member(item, row_ptr, slots, stride, inside):
    """Is the item in a row of slots? A negative slot is empty."""
    found = (item != item) & inside
    for slot in range(0, slots):
        value = tl.load(row_ptr + slot * stride, mask=inside, other=-1)
        found = found | ((value == item) & (value >= 0))
    return found


@triton.jit
def _tanh(x):
    """tanh by exp2, which saturates at both ends and never overflows."""
    small = tl.exp2(tl.abs(x) * (-2.0 * LOG2_E))
    magnitude = (1.0 - small) / (1.0 + small)
    return tl.where(x < 0, -magnitude, magnitude)


@triton.jit
def _softplus(x):
    """log(1 + exp(x)) without overflow."""
    return tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp2(tl.abs(x) * -LOG2_E))


@triton.jit
def _power(x, y):
    """x ** y: a negative base needs a whole exponent, and 0 ** 0 is 1."""
    x, y = x * 1.0, y * 1.0
    magnitude = tl.exp2(y * tl.log2(tl.abs(x)))
    half = y * 0.5
    signed = tl.where(tl.floor(half) != half, -magnitude, magnitude)
    legal = tl.where(tl.floor(y) == y, signed, float("nan"))
    return tl.where(y == 0, 1.0, tl.where(x < 0, legal, magnitude))
'''

TORCH = '''
def _without_autocast(function):
    """Autocast would give some tensors another dtype than those that they meet."""

    def plain(*args):
        device = next(arg.device for arg in args if isinstance(arg, Tensor))
        with torch.autocast(device.type, enabled=False):
            return function(*args)

    return plain


def _join(M, *intervals):
    """Intervals of keys, cut at [0, M), as an index of all their keys, and its edges as columns and keys.

    An interval is first, end, and the first and end of those keys that every query sees.
    """
    parts, edges, reached, column = [], [], 0, 0
    for lo, hi, full_lo, full_hi in intervals:
        lo = max(lo, reached)
        hi = max(min(hi, M), lo)
        full_lo, full_hi = max(full_lo, lo), min(full_hi, hi)
        for first, end in ((lo, full_lo), (full_hi, hi)) if full_lo < full_hi else ((lo, hi),):
            if first < end:
                edges.append((slice(column + first - lo, column + end - lo), slice(first, end)))
        if lo < hi:
            touches = parts and parts[-1].stop == lo
            parts.append(slice(parts.pop().start if touches else lo, hi))
            column += hi - lo
            reached = hi
    if len(parts) <= 1:
        return parts[0] if parts else slice(0, 0), edges
    return torch.cat([_positions(part) for part in parts]), edges


def _positions(seen):
    """The positions of an index."""
    return torch.arange(seen.start, seen.stop) if isinstance(seen, slice) else seen


def _steps(heads, groups, rows, seen):
    """Heads of queries and those of keys that they read, as many at a time as keep their pairs in the cache."""
    keys = seen.stop - seen.start if isinstance(seen, slice) else len(seen)
    pairs = rows * keys * (heads // groups)
    count = max(1, torch.get_num_threads() * 2**19 // max(1, pairs))
    for first in range(0, groups, count):
        end = min(first + count, groups)
        yield slice(first * heads // groups, end * heads // groups), slice(first, end)


def _narrow(dtype):
    """What weights are multiplied in: bfloat16, as matrix units add its products up in float32, or the wide dtype."""
    return dtype if dtype == torch.bfloat16 else torch.promote_types(dtype, torch.float32)


def _fill_hidden(pairs, visible, otherwise):
    """Fill in the pairs that are not visible, by their bits: `masked_fill_` takes five times as long."""
    bits = pairs.view(torch.int32 if pairs.dtype == torch.float32 else torch.int64)
    shown = visible.to(bits.dtype).neg_()
    bits.bitwise_and_(shown)
    if otherwise != 0:
        hidden = shown.bitwise_not_()
        bits.bitwise_or_(hidden & torch.tensor(otherwise, dtype=pairs.dtype).view(bits.dtype))


def _row_max(score):
    """The largest score of each row; 0 where a row sees no key, which is harmless to subtract."""
    if score.shape[-1] == 0:
        return score.new_zeros(*score.shape[:-1], 1)
    row_max = score.amax(-1, keepdim=True)
    return row_max.masked_fill_(row_max == float("-inf"), 0.0)


def _matmul(a, b, room=None):
    """a [B, H, T, X] @ b [B, HKV, X, Y], where H // HKV heads in a row share a head of b; written in `room`."""
    B, H, T, X = a.shape
    groups, Y = b.shape[1], b.shape[3]
    a, b = a.reshape(B * groups, H // groups * T, X), b.reshape(B * groups, X, Y)
    product = torch.bmm(a, b) if room is None else torch.bmm(a, b, out=room.resize_(*a.shape[:2], Y))
    return product.view(B, H, T, Y)


def _add_transposed(total, seen, a, b):
    """total[:, :, seen] += the transpose of a [B, H, T, X] @ b [B, H, T, Y], summed over heads that share one."""
    groups, rows = total.shape[1], a.shape[1] // total.shape[1] * a.shape[2]
    a, b = (x.reshape(x.shape[0], groups, rows, x.shape[3]) for x in (a, b))
    if isinstance(seen, slice) and total.dtype == a.dtype:
        for batch, x, y in zip(total, a, b):
            batch[:, seen].baddbmm_(x.mT, y)
    else:
        total[:, :, seen] += a.mT @ b


def _suits_torch(q, k, v):
    """Does torch's kernel take it, and as fast: float32, one width, and no shared heads for few queries?"""
    if q.dtype != torch.float32 or q.shape[3] != v.shape[3] or not (q.numel() and k.numel()):
        return False
    return q.shape[1] == k.shape[1] or q.shape[2] >= TILE


def _forward_of_torch(q, k, v, scale, is_causal):
    """What `scaled_dot_product_attention` calls on the CPU: out and lse."""
    q, k, v = map(_with_unit_stride, (q, k, v))
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return tuple(x.contiguous() for x in attend(q, k, v, 0.0, is_causal, scale=scale))


def _backward_of_torch(dout, q, k, v, out, lse, scale, is_causal):
    """Its gradients of q, k and v."""
    dout, q, k, v = map(_with_unit_stride, (dout.to(q.dtype), q, k, v))
    differentiate = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    gradients = differentiate(dout, q, k, v, out, lse, 0.0, is_causal, scale=scale)
    return tuple(x.contiguous() for x in gradients)


def _add_at(total, index, value):
    """total[index] += value, where an index may occur many times; in the same order every time."""
    flat = torch.zeros((), dtype=torch.long, device=total.device)
    for item, size in zip(index, total.shape, strict=True):
        flat = flat * size + item
    flat = flat.expand(value.shape).reshape(-1)
    if total.is_cuda:  # sorts first, and so adds in a fixed order
        total.view(-1).index_put_((flat,), value.reshape(-1), accumulate=True)
    else:
        total.view(-1).index_add_(0, flat, value.reshape(-1))


def _with_unit_stride(tensor):
    """The kernels step along a row by one element."""
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _remembered(function):
    """Keep the last results: the same numbers and the very same tensors, unchanged, give the same answer."""
    kept = []

    def remembering(*args):
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        key = [arg._version if isinstance(arg, Tensor) else arg for arg in args]
        for entry in kept:
            known, refs, result = entry
            if known == key and all(ref() is tensor for ref, tensor in zip(refs, tensors, strict=True)):
                return result
        result = function(*args)
        kept.insert(0, (key, [weakref.ref(tensor) for tensor in tensors], result))
        del kept[8:]
        return result

    return remembering


def _over_tiles(values, reduce, step, dim):
    """The least ("amin") or the greatest ("amax") of each `step` values along a dimension."""
    count = values.shape[dim]
    tiles = -(-count // step)
    whole = torch.arange(tiles * step, device=values.device).clamp(max=count - 1)
    parts = values.index_select(dim, whole).unflatten(dim, (tiles, step))
    return getattr(parts, reduce)(dim)


def _look_inside(some, every, shape, rows, columns, N, M, *given):
    """Kinds of tiles: 0 hides all, 2 shows all, 1 is an edge. What is not decided is looked at pair by pair."""
    kinds = (some.int() + (some & every).int()).expand(shape).contiguous()
    for part in ((kinds == 1).nonzero()).split(256):
        b, h, tile_i, tile_j = part.T[..., None, None]
        i = (tile_i * rows + torch.arange(rows, device=kinds.device)[:, None]).clamp(max=N - 1)
        j = (tile_j * columns + torch.arange(columns, device=kinds.device)).clamp(max=M - 1)
        visible = _visible(b, h, i, j, *given).expand(len(part), rows, columns).flatten(1)
        kinds[tuple(part.T)] = visible.any(1).int() + visible.all(1).int()
    return kinds


def _lists(kinds, whole):
    """Tiles to mask and tiles that need no mask: where those of each row begin, and their numbers.

    A tile from `whole` on is cut off by the end of the sequence, and so is always masked.
    """
    full = kinds == 2
    full[..., whole:] = False
    lists = []
    for chosen in ((kinds > 0) & ~full, full):
        starts = torch.zeros(chosen[..., 0].numel() + 1, dtype=torch.int32, device=kinds.device)
        starts[1:] = chosen.sum(-1).flatten().cumsum(0)
        lists += [starts, chosen.nonzero()[:, -1].int()]
    return lists


def _rank(rows, values):
    """How many entries of each row, which is in order, are below each of the values: int32 [..., count]."""
    lead = torch.broadcast_shapes(rows.shape[:-1], values.shape[:-1])
    rows, values = (x.long().expand(*lead, x.shape[-1]).contiguous() for x in (rows, values))
    return torch.searchsorted(rows, values, out_int32=True)


def _for_query_heads(tensor, heads):
    """[B, HKV, ...] as [B, H, ...]: every query head has the one it reads."""
    return tensor.repeat_interleave(heads // tensor.shape[1], 1)


def _rope(x, position, theta):
    """Rotary embedding (Su et al. 2021) of the pairs (x[t], x[t + D / 2])."""
    half = x.shape[-1] // 2
    step = torch.arange(half, device=x.device, dtype=torch.float64)
    angle = position.double() * torch.as_tensor(theta).double() ** (-2.0 * step / x.shape[-1])
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
'''


def _split(text: str) -> dict[str, str]:
    parts = re.split(r"\n\n\n", text.strip("\n"))
    return {re.search(r"def (\w+)\(", part)[1]: part for part in parts}  # type: ignore[index]


TRITON_HELPERS = _split(TRITON)
TORCH_HELPERS = _split(TORCH)


def select_helpers(helpers: dict[str, str], used: Iterable[str]) -> list[str]:
    """The texts of the helpers that are used, by a module or by each other."""
    wanted: set[str] = set()
    todo = set(used) & set(helpers)
    while todo:
        wanted |= todo
        todo = {name for each in todo for name in re.findall(r"\w+", helpers[each])} & set(helpers) - wanted
    return [text for name, text in helpers.items() if name in wanted]
