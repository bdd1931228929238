"""What kernels of chunked linear attention are made of: blocks of matrices, products, and who sees whom in a chunk.

Copied by name. A query stands at the position `i + offset` among the keys.
"""

import triton
import triton.language as tl


@triton.jit
def _load_block(
    ptr,
    first,
    end,
    stride,
    column,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """A block of a matrix [end, WIDTH] from this row and column; zero outside."""
    row = first + tl.arange(0, ROWS)[:, None]
    col = column + tl.arange(0, COLS)[None, :]
    place = (ptr + tl.cast(row, tl.int64) * stride) + col
    return tl.load(place, mask=(row >= 0) & (row < end) & (col < WIDTH), other=0.0)


@triton.jit
def _load_turned(
    ptr,
    first,
    end,
    stride,
    column,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """The same block, read as its transpose [COLS, ROWS]."""
    row = first + tl.arange(0, ROWS)[None, :]
    col = column + tl.arange(0, COLS)[:, None]
    place = (ptr + tl.cast(row, tl.int64) * stride) + col
    return tl.load(place, mask=(row >= 0) & (row < end) & (col < WIDTH), other=0.0)


@triton.jit
def _store_block(
    ptr,
    tile,
    first,
    end,
    column,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
):
    """Write a block of a contiguous matrix [end, WIDTH], where it lies inside."""
    row = first + tl.arange(0, ROWS)[:, None]
    col = column + tl.arange(0, COLS)[None, :]
    place = (ptr + tl.cast(row, tl.int64) * WIDTH) + col
    tl.store(place, tile, mask=(row >= 0) & (row < end) & (col < WIDTH))


@triton.jit
def _load_numbers(ptr, first, end, COUNT: tl.constexpr):
    """Numbers of a row from this one on; zero outside."""
    at = first + tl.arange(0, COUNT)
    return tl.load(ptr + at, mask=(at >= 0) & (at < end), other=0.0)


@triton.jit
def _load_row(ptr, row, end, column, WIDTH: tl.constexpr, COLS: tl.constexpr):
    """A part of one row of a contiguous matrix [end, WIDTH]; zero outside."""
    col = column + tl.arange(0, COLS)
    inside = (col < WIDTH) & (col * 0 + row < end)
    return tl.load(ptr + tl.cast(row, tl.int64) * WIDTH + col, mask=inside, other=0.0)


@triton.jit
def _store_numbers(ptr, numbers, first, end, COUNT: tl.constexpr):
    """Write them, where they lie inside."""
    at = first + tl.arange(0, COUNT)
    tl.store(ptr + at, numbers, mask=(at >= 0) & (at < end))


@triton.jit
def _store_total(ptr, total, v0, f0, F: tl.constexpr, BLOCK_F: tl.constexpr):
    """Write the row of sums of a state, if this program has its first values."""
    if v0 == 0:
        _store_numbers(ptr, total, f0, F, BLOCK_F)


@triton.jit
def _narrowed(tile, AXIS: tl.constexpr, DTYPE: tl.constexpr):
    """A tile for a product in this dtype, and what its rows or columns are divided by.

    Numbers of any size fit float16 once the largest that is summed along the axis is 1.
    """
    if DTYPE == tl.float16 and tile.dtype != tl.float16:
        largest = tl.max(tl.abs(tile), AXIS)
        size = tl.where(largest == 0.0, 1.0, largest)
        if AXIS == 1:
            column = size[:, None]
            return (tile / column).to(tl.float16), column
        else:
            row = size[None, :]
            return (tile / row).to(tl.float16), row
    else:
        return tile.to(DTYPE), 1.0


@triton.jit
def _add_product(total, a, b, DTYPE: tl.constexpr):
    """total + a @ b, multiplied in this dtype and summed in float32."""
    narrow_a, rows = _narrowed(a, 1, DTYPE)
    narrow_b, columns = _narrowed(b, 0, DTYPE)
    if DTYPE == tl.float16:
        return total + tl.dot(narrow_a, narrow_b, input_precision="ieee") * rows * columns
    else:
        return tl.dot(narrow_a, narrow_b, total, input_precision="ieee")


@triton.jit
def _add_weighted(total, weights, rows, DTYPE: tl.constexpr):
    """The same, where weights leave some rows out: each row has its own size, which they take."""
    if DTYPE == tl.float16 and rows.dtype != tl.float16:
        largest = tl.max(tl.abs(rows), 1)
        size = tl.where(largest == 0.0, 1.0, largest)
        narrow = (rows / size[:, None]).to(tl.float16)
        return _add_product(total, weights * size[None, :], narrow, DTYPE)
    else:
        return _add_product(total, weights, rows, DTYPE)


@triton.jit
def _selected(tile, seen, exponent, GATED: tl.constexpr):
    """tile * exp(exponent) where it is seen, and zero elsewhere, whatever stands there."""
    if GATED:
        return tl.where(seen, tile * tl.exp(exponent), 0.0)
    else:
        return tl.where(seen, tile, 0.0)


@triton.jit
def _load_decay(decay_ptr, head, chunk, chunks, GATED: tl.constexpr, CHUNK: tl.constexpr):
    """The sums of a chunk's steps and the last of them; zero where there are no keys."""
    if GATED:
        decay_ptr += head * chunks * CHUNK
        decay = _load_numbers(decay_ptr, chunk * CHUNK, chunks * CHUNK, CHUNK)
        has_keys = (chunk >= 0) & (chunk < chunks)
        end = tl.load(decay_ptr + (chunk * CHUNK + (CHUNK - 1)), mask=has_keys, other=0.0)
        return decay, end
    else:
        return tl.zeros([CHUNK], tl.float32), 0.0


@triton.jit
def _is_read(at, of_keys_ptr, N, M, offset, DOCUMENTS: tl.constexpr):
    """May a query behind see the key there? Documents are sorted: the next key says it."""
    is_one = tl.maximum(at + 1 - offset, 0) < N
    if DOCUMENTS:
        own = tl.load(of_keys_ptr + tl.minimum(at, M - 1))
        is_one = is_one & (own == tl.load(of_keys_ptr + tl.minimum(at + 1, M - 1)))
    return is_one


@triton.jit
def _is_kept(chunk, of_keys_ptr, N, M, offset, DOCUMENTS: tl.constexpr, CHUNK: tl.constexpr):
    """May a query behind this chunk see the last key before it?"""
    before, last = chunk * CHUNK - 1, chunk * CHUNK + (CHUNK - 1)
    kept = _is_read(last, of_keys_ptr, N, M, offset, DOCUMENTS) & (before >= 0)
    if DOCUMENTS:
        of_first = tl.load(of_keys_ptr + tl.minimum(before, M - 1), mask=before >= 0, other=0)
        kept = kept & (of_first == tl.load(of_keys_ptr + tl.minimum(last, M - 1)))
    return kept


@triton.jit
def _enters(
    first,
    at,
    of_queries_ptr,
    of_keys_ptr,
    N,
    M,
    offset,
    DOCUMENTS: tl.constexpr,
    COUNT: tl.constexpr,
):
    """Which queries from a position on see the key at an earlier one, if there is one."""
    i = first - offset + tl.arange(0, COUNT)
    inside = (i >= 0) & (i < N)
    seen = inside & (at >= 0)
    if DOCUMENTS:
        of_key = tl.load(of_keys_ptr + tl.minimum(at, M - 1), mask=at >= 0, other=0)
        seen = seen & (tl.load(of_queries_ptr + i, mask=inside, other=0) == of_key)
    return seen


@triton.jit
def _leaves(first, at, of_keys_ptr, N, M, offset, DOCUMENTS: tl.constexpr, COUNT: tl.constexpr):
    """Which keys from a position on are in sight behind a later one, as the key there is."""
    j = first + tl.arange(0, COUNT)
    seen = (j < M) & _is_read(at, of_keys_ptr, N, M, offset, DOCUMENTS)
    if DOCUMENTS:
        of_key = tl.load(of_keys_ptr + tl.minimum(at, M - 1))
        seen = seen & (tl.load(of_keys_ptr + j, mask=j < M, other=0) == of_key)
    return seen


@triton.jit
def _meets(i, j, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS: tl.constexpr):
    """Which queries see which keys: one of them is a column, and one a row."""
    seen = (j <= i + offset) & (i >= 0) & (i < N) & (j >= 0) & (j < M)
    if DOCUMENTS:
        of_query = tl.load(of_queries_ptr + i, mask=(i >= 0) & (i < N), other=0)
        of_key = tl.load(of_keys_ptr + j, mask=(j >= 0) & (j < M), other=0)
        seen = seen & (of_query == of_key)
    return seen


@triton.jit
def _own(
    pairs,
    i,
    j,
    of_queries_ptr,
    of_keys_ptr,
    N,
    M,
    offset,
    DOCUMENTS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Of pairs of a chunk, those of a query and the key at its position."""
    at = tl.arange(0, CHUNK)
    own = tl.sum(tl.where(at[:, None] == at[None, :], pairs, 0.0), 1)
    seen = _meets(i + at, j + at, of_queries_ptr, of_keys_ptr, N, M, offset, DOCUMENTS)
    return tl.where(seen, own, 0.0)
