"""What kernels call: rows in parts and their products, bounds, integers as Python means them, functions of numbers.

Copied by name, each where something calls it. It knows nothing of any spec.
"""

import triton
import triton.language as tl

from attnc.support.of_module import LOG2_E


@triton.jit
def _program(tiles, heads, LARGE: tl.constexpr):
    """The tile, head and batch entry of a program; in a LARGE call, one axis has them all."""
    if LARGE:
        number = tl.program_id(0)
        return number % tiles, number // tiles % heads, number // tiles // heads
    else:
        return tl.program_id(0), tl.program_id(1), tl.program_id(2)


@triton.jit
def _load_tile(
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
def _load_rows(
    ptr, first, end, stride, WIDTH: tl.constexpr, ROWS: tl.constexpr, PARTS: tl.constexpr,
    RAGGED: tl.constexpr,
):
    """The same as a tuple of tiles, each a power of two wide: 96 columns are 64 and 32."""
    tiles = ()
    for n in tl.static_range(len(PARTS)):
        tile = _load_tile(
            ptr + n * PARTS[0], first, end, stride, WIDTH - n * PARTS[0], ROWS, PARTS[n], RAGGED,
        )
        tiles = tiles + (tile,)
    return tiles


@triton.jit
def _store_rows(
    ptr, first, end, tiles, WIDTH: tl.constexpr, ROWS: tl.constexpr, PARTS: tl.constexpr,
):
    """Write rows [first, first + ROWS) of a contiguous matrix [end, WIDTH], where it has them."""
    row = tl.arange(0, ROWS)[:, None]
    for n in tl.static_range(len(PARTS)):
        col = n * PARTS[0] + tl.arange(0, PARTS[n])[None, :]
        inside = (first + row < end) & (col < WIDTH)
        place = (ptr + tl.cast(first, tl.int64) * WIDTH) + (row * WIDTH + col)
        tl.store(place, tiles[n].to(ptr.dtype.element_ty), mask=inside)


@triton.jit
def _load_tile_at(places, inside, WIDTH: tl.constexpr, COLS: tl.constexpr):
    """Rows that begin at a column of pointers; what is not inside reads as zero."""
    col = tl.arange(0, COLS)[None, :]
    return tl.load(places + col, mask=inside & (col < WIDTH), other=0.0)


@triton.jit
def _load_rows_at(places, inside, WIDTH: tl.constexpr, PARTS: tl.constexpr):
    """The same as a tuple of tiles."""
    tiles = ()
    for n in tl.static_range(len(PARTS)):
        tile = _load_tile_at(places + n * PARTS[0], inside, WIDTH - n * PARTS[0], PARTS[n])
        tiles = tiles + (tile,)
    return tiles


@triton.jit
def _store_rows_at(places, inside, tiles, WIDTH: tl.constexpr, PARTS: tl.constexpr):
    """Write rows that begin at a column of pointers, where they are inside."""
    for n in tl.static_range(len(PARTS)):
        col = n * PARTS[0] + tl.arange(0, PARTS[n])[None, :]
        tl.store(places + col, tiles[n], mask=inside & (col < WIDTH))


@triton.jit
def _zero_tile(ROWS: tl.constexpr, COLS: tl.constexpr):
    """Sums that have not begun."""
    return tl.zeros([ROWS, COLS], tl.float32)


@triton.jit
def _zeros(ROWS: tl.constexpr, PARTS: tl.constexpr):
    """The same as a tuple of tiles."""
    tiles = ()
    for n in tl.static_range(len(PARTS)):
        tiles = tiles + (_zero_tile(ROWS, PARTS[n]),)
    return tiles


@triton.jit
def _dot_rows(a, b):
    """a @ b.T: the dot products of the rows of both."""
    total = tl.dot(a[0], b[0].T, input_precision="ieee")
    for n in tl.static_range(1, len(a)):
        total = tl.dot(a[n], b[n].T, total, input_precision="ieee")
    return total


@triton.jit
def _add_rows(totals, weights, rows):
    """totals + weights @ rows, whose dtype the weights take."""
    tiles = ()
    for n in tl.static_range(len(rows)):
        product = tl.dot(weights.to(rows[n].dtype), rows[n], totals[n], input_precision="ieee")
        tiles = tiles + (product,)
    return tiles


@triton.jit
def _scaled(tiles, factor):
    """Every part of a tile, times a number or a column."""
    products = ()
    for n in tl.static_range(len(tiles)):
        products = products + (tiles[n] * factor,)
    return products


@triton.jit
def _divided(tiles, divisor):
    """Every part of a tile, divided by a column."""
    quotients = ()
    for n in tl.static_range(len(tiles)):
        quotients = quotients + (tiles[n] / divisor,)
    return quotients


@triton.jit
def _bits(tile, dtype: tl.constexpr):
    """A tile in this dtype, as ints: a loop carries those in registers, and numbers not always."""
    if dtype.primitive_bitwidth == 16:
        return tile.to(dtype).to(tl.int16, bitcast=True)
    else:
        return tile.to(dtype).to(tl.int32, bitcast=True)


@triton.jit
def _add_values(
    acc, first, p, rescale, ptr, stride, end, WIDTH: tl.constexpr, ROWS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """Add the values of rows [first, first + ROWS), whose weights come as bits."""
    v = _load_rows(ptr, first, end, stride, WIDTH, ROWS, PARTS, True)
    p = p.to(ptr.dtype.element_ty, bitcast=True)
    return _add_rows(_scaled(acc, rescale[:, None]), p, v)


@triton.jit
def _least(values, inside):
    """The least of the values that are inside of the sequence."""
    return tl.min(tl.where(inside, values, 2147483647))


@triton.jit
def _greatest(values, inside):
    """The greatest of the values that are inside of the sequence."""
    return tl.max(tl.where(inside, values, -2147483648))


@triton.jit
def _load_bound(places, inside):
    """What positions are compared with, in 32 bits: all beyond 2**30 is alike to them."""
    numbers = tl.load(places, mask=inside, other=0)
    return tl.minimum(tl.maximum(numbers, -1073741824), 1073741824).to(tl.int32)


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
        value = tl.load(row_ptr + tl.cast(slot, tl.int64) * stride, mask=inside, other=-1)
        found = found | ((value == item) & (value >= 0))
    return found


@triton.jit
def _is_one_of(item, row_ptr, SLOTS: tl.constexpr, stride, inside):
    """Is the item in a row of few slots? A negative one is empty. Unrolled: no loop in a loop."""
    found = (item != item) & inside
    for slot in tl.static_range(SLOTS):
        value = tl.load(row_ptr + tl.cast(slot, tl.int64) * stride, mask=inside, other=-1)
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
    """log(1 + exp(x)) without overflow, and exp(x) where that is small (Kahan's log1p)."""
    small = tl.exp2(tl.abs(x) * -LOG2_E)
    whole = 1.0 + small
    log1p = tl.where(whole == 1.0, small, tl.log(whole) * (small / tl.maximum(whole - 1.0, 1e-30)))
    return tl.maximum(x, 0.0) + log1p


@triton.jit
def _add_rows_of_any_size(totals, weights, rows):
    """The same. Numbers of any size fit float16 once the largest of each row is 1."""
    if rows[0].dtype == tl.float16:
        largest = tl.max(tl.abs(weights), 1)[:, None]
        size = tl.where(largest == 0.0, 1.0, largest)
        weights = (weights / size).to(tl.float16)
        tiles = ()
        for n in tl.static_range(len(rows)):
            product = tl.dot(weights, rows[n], input_precision="ieee")
            tiles = tiles + (totals[n] + size * product,)
        return tiles
    else:
        return _add_rows(totals, weights, rows)


@triton.jit
def _add_seen_rows(totals, weights, rows, seen):
    """The same of pairs that are seen, with nan where one meets what is infinite or no number."""
    tame, met = (), ()
    for n in tl.static_range(len(rows)):
        is_finite = tl.abs(rows[n]) < float("inf")
        tame = tame + (tl.where(is_finite, rows[n], 0.0).to(rows[n].dtype),)
        wild = tl.where(is_finite, 0.0, 1.0).to(rows[n].dtype)
        met = met + (tl.dot(seen.to(rows[n].dtype), wild, input_precision="ieee"),)
    sums = _add_rows_of_any_size(totals, tl.where(seen, weights, 0.0), tame)
    tiles = ()
    for n in tl.static_range(len(rows)):
        tiles = tiles + (tl.where(met[n] > 0.0, float("nan"), sums[n]),)
    return tiles


@triton.jit
def _is_spoiled(tiles):
    """Is some number of a tile, in any of its parts, no number?"""
    spoiled = tl.max((tiles[0] != tiles[0]).to(tl.int32))
    for n in tl.static_range(1, len(tiles)):
        spoiled = tl.maximum(spoiled, tl.max((tiles[n] != tiles[n]).to(tl.int32)))
    return spoiled > 0


@triton.jit
def _are_spoiled_rows(
    ptr, first, end, WIDTH: tl.constexpr, ROWS: tl.constexpr, PARTS: tl.constexpr,
):
    """Is some number of rows [first, first + ROWS) of a contiguous matrix [end, WIDTH] none?"""
    return _is_spoiled(_load_rows(ptr, first, end, WIDTH, WIDTH, ROWS, PARTS, True))


@triton.jit
def _count_visible(visible, score):
    """How many keys each row sees; zeros made of the score have it counted where that lies."""
    zeros = tl.minimum(tl.maximum(score, 0.0), 0.0)
    return tl.sum(tl.where(visible, 1.0, zeros), 1)


@triton.jit
def _power(x, y):
    """x ** y: a negative base needs a whole exponent, and 0 ** 0 is 1."""
    x, y = x * 1.0, y * 1.0
    magnitude = tl.exp2(y * tl.log2(tl.abs(x)))
    half = y * 0.5
    signed = tl.where(tl.floor(half) != half, -magnitude, magnitude)
    legal = tl.where(tl.floor(y) == y, signed, float("nan"))
    return tl.where(y == 0, 1.0, tl.where(x < 0, legal, magnitude))
