"""Chunked linear attention on a GPU: what is made of a call before its kernels, and their launches.

Enters: features, values, log gates and documents of a call. Leaves: outputs, sums, states, and gradients. Copied by
name.
"""

import torch
import triton
import triton.language as tl

from attnc.support.channel_kernels import (
    _channel_keys,
    _channel_outputs,
    _channel_pairs,
    _channel_queries,
    _channel_values,
    _channel_weights,
)
from attnc.support.chunk_kernels import (
    _chunk_keys,
    _chunk_outputs,
    _chunk_queries,
    _chunk_values,
)
from attnc.support.chunk_states import _chunk_state_gradients, _chunk_states
from attnc.support.torch_functions import _with_unit_stride


def _chunked_forward_triton(f, g, v, steps, of_queries, of_keys, offset, with_sums):
    """Query i of f [B, H, N, F] over the keys j <= i + offset of g [B, HG, M, F] in its document.

    steps is None, [B, H, M] or [B, H, M, F]. Leaves out [B, H, N, DV], the sums of weights [B, H, N] or None, and
    the states before each chunk and behind the last, [B, H, chunks + 1, DV, F], with one more row
    for sums; all in float32. Documents are sorted, and none of a query is before that of the key at
    the query's position.
    """
    (B, H, N, F), (HG, M, DV) = f.shape, v.shape[1:]
    out = f.new_zeros((B, H, N, DV), dtype=torch.float32)
    sums = f.new_zeros((B, H, N), dtype=torch.float32) if with_sums else None
    narrow = _dtype_of_products(f, g, v)
    chunk = _chunk_tiles(narrow)["CHUNK"]
    chunks = triton.cdiv(M, chunk)
    states = f.new_empty((B, H, chunks + 1, DV + with_sums, F), dtype=torch.float32)
    if 0 in (B, H, N, M):
        return out, sums, states.zero_()
    f, g, v = map(_with_unit_stride, (f, g, v))
    of_queries, of_keys = _contiguous(of_queries), _contiguous(of_keys)
    decay = _decays_of_chunks(steps, chunks, chunk)
    has_channels = steps is not None and steps.ndim == 4
    offset, group = _within_reach(offset, N, M), H // HG
    first, tiles = _tiles_of_queries(N, offset, chunk)
    kinds = _chunk_kinds(steps, of_keys, with_sums, narrow)

    sizes = {"F": F, "DV": DV, **_chunk_tiles(narrow, with_sums=with_sums)}
    blocks = triton.cdiv(F, sizes["BLOCK_F"]) * triton.cdiv(DV, sizes["BLOCK_V"])
    _chunk_states[(blocks * H * B,)](
        g,
        v,
        decay,
        of_queries,
        of_keys,
        states,
        *g.stride()[:3],
        *v.stride()[:3],
        H,
        group,
        chunks,
        N,
        M,
        offset,
        CHANNELS=has_channels,
        **sizes,
        **kinds,
    )

    sizes = {"F": F, "DV": DV, **_chunk_tiles(narrow, DV=DV)}
    blocks = triton.cdiv(DV, sizes["BLOCK_V"])
    if has_channels:
        weights = _channel_weights_of(f, g, decay, of_queries, of_keys, offset, narrow)
        _channel_outputs[(tiles * blocks * H * B,)](
            f,
            v,
            decay,
            of_queries,
            of_keys,
            states,
            weights,
            out,
            sums,
            *f.stride()[:3],
            *v.stride()[:3],
            H,
            group,
            chunks,
            first,
            tiles,
            N,
            M,
            offset,
            **sizes,
            **kinds,
        )
        return out, sums, states
    _chunk_outputs[(tiles * blocks * H * B,)](
        f,
        g,
        v,
        decay,
        of_queries,
        of_keys,
        states,
        out,
        sums,
        *f.stride()[:3],
        *g.stride()[:3],
        *v.stride()[:3],
        H,
        group,
        chunks,
        first,
        tiles,
        N,
        M,
        offset,
        **sizes,
        **kinds,
    )
    return out, sums, states


def _chunked_backward_triton(dout, dsums, f, g, v, steps, of_queries, of_keys, offset, states):
    """Gradients of f, g, v and steps, in float32. `dsums` is None where there are no sums."""
    (B, H, N, F), (HG, M, DV) = f.shape, v.shape[1:]
    with_sums, narrow = dsums is not None, _dtype_of_products(f, g, v)
    if 0 in (B, H, N, M):
        nothing = (None if x is None else torch.zeros_like(x) for x in (f, g, v, steps))
        return tuple(nothing)
    df = f.new_empty((B, H, N, F), dtype=torch.float32)
    dg = f.new_empty((B, H, M, F), dtype=torch.float32)
    dv = f.new_empty((B, H, M, DV), dtype=torch.float32)
    f, g, v = map(_with_unit_stride, (f, g, v))
    # In bfloat16 all sizes fit; in float16 they do once rows are divided.
    dout = dout.to(torch.bfloat16 if narrow == torch.bfloat16 else torch.float32).contiguous()
    dsums = _contiguous(dsums)
    of_queries, of_keys = _contiguous(of_queries), _contiguous(of_keys)
    chunk, chunks = _chunk_tiles(narrow)["CHUNK"], states.shape[2] - 1
    decay = _decays_of_chunks(steps, chunks, chunk)
    has_channels = steps is not None and steps.ndim == 4
    offset, group = _within_reach(offset, N, M), H // HG
    first, tiles = _tiles_of_queries(N, offset, chunk)
    kinds = _chunk_kinds(steps, of_keys, with_sums, narrow)

    dstates = torch.empty_like(states)
    sizes = {"F": F, "DV": DV, **_chunk_tiles(narrow, with_sums=with_sums)}
    blocks = triton.cdiv(DV, sizes["BLOCK_V"])
    dends = f.new_empty((blocks, B, H, chunks, F), dtype=torch.float32)  # of the decays at ends
    _chunk_state_gradients[(triton.cdiv(F, sizes["BLOCK_F"]) * blocks * H * B,)](
        f,
        dout,
        dsums,
        decay,
        of_queries,
        of_keys,
        states,
        dstates,
        dends,
        *f.stride()[:3],
        B,
        H,
        chunks,
        N,
        M,
        offset,
        CHANNELS=has_channels,
        **sizes,
        **kinds,
    )
    if has_channels:
        df, dg, dv, ddecay = _backward_of_channels(
            dout,
            dsums,
            f,
            g,
            v,
            decay,
            of_queries,
            of_keys,
            offset,
            states,
            dstates,
            narrow,
        )
        ddecay = ddecay.unflatten(2, (chunks, chunk))
        ddecay[:, :, :, -1] += dends.sum(0)
        dsteps = _gradient_of_steps(ddecay, M)
        return df, _of_heads_of_keys(dg, group), _of_heads_of_keys(dv, group), dsteps

    sizes = {"F": F, "DV": DV, **_chunk_tiles(narrow, DV=DV)}
    blocks = triton.cdiv(DV, sizes["BLOCK_V"])
    _chunk_values[(chunks * blocks * H * B,)](
        f,
        g,
        dout,
        decay,
        of_queries,
        of_keys,
        dstates,
        dv,
        *f.stride()[:3],
        *g.stride()[:3],
        H,
        group,
        chunks,
        N,
        M,
        offset,
        **sizes,
        **kinds,
    )

    sizes = {"F": F, "DV": DV, **_chunk_tiles(narrow, F=F)}
    blocks = triton.cdiv(F, sizes["BLOCK_F"])
    # Of queries and of keys, which give a part for each block of features.
    ddecay = None
    if steps is not None:
        ddecay = f.new_zeros((2, blocks, B, H, chunks * chunk), dtype=torch.float32)
    of_query, of_key = (None, None) if ddecay is None else ddecay
    _chunk_queries[(tiles * blocks * H * B,)](
        f,
        g,
        v,
        dout,
        dsums,
        decay,
        of_queries,
        of_keys,
        states,
        df,
        of_query,
        *f.stride()[:3],
        *g.stride()[:3],
        *v.stride()[:3],
        B,
        H,
        group,
        chunks,
        first,
        tiles,
        N,
        M,
        offset,
        **sizes,
        **kinds,
    )
    _chunk_keys[(chunks * blocks * H * B,)](
        f,
        g,
        v,
        dout,
        dsums,
        decay,
        of_queries,
        of_keys,
        dstates,
        dg,
        of_key,
        *f.stride()[:3],
        *g.stride()[:3],
        *v.stride()[:3],
        B,
        H,
        group,
        chunks,
        N,
        M,
        offset,
        **sizes,
        **kinds,
    )
    dg, dv = _of_heads_of_keys(dg, group), _of_heads_of_keys(dv, group)
    if ddecay is None:
        return df, dg, dv, None
    ddecay = ddecay.sum((0, 1)).unflatten(2, (chunks, chunk))
    ddecay[..., -1] += dends.sum((0, 4))
    return df, dg, dv, _gradient_of_steps(ddecay, M)


def _channel_weights_of(f, g, decay, of_queries, of_keys, offset, narrow):
    """Weights of the pairs of every chunk, [B, H, chunks, CHUNK, CHUNK]."""
    (B, H, N, F), (HG, M) = f.shape, g.shape[1:3]
    sizes = _channel_tiles(narrow, warps=2)
    chunks = triton.cdiv(M, sizes["CHUNK"])
    weights = f.new_zeros((B, H, chunks, sizes["CHUNK"], sizes["CHUNK"]), dtype=torch.float32)
    kinds = _chunk_kinds(None, of_keys, False, narrow)
    _channel_weights[(chunks * (sizes["CHUNK"] // sizes["SUB"]) * H * B,)](
        f,
        g,
        decay,
        of_queries,
        of_keys,
        weights,
        *f.stride()[:3],
        *g.stride()[:3],
        H,
        H // HG,
        chunks,
        N,
        M,
        offset,
        F=F,
        DOCUMENTS=kinds["DOCUMENTS"],
        DTYPE=kinds["DTYPE"],
        **sizes,
    )
    return weights


def _backward_of_channels(
    dout,
    dsums,
    f,
    g,
    v,
    decay,
    of_queries,
    of_keys,
    offset,
    states,
    dstates,
    narrow,
):
    """Gradients of f, of g and v for each head of queries, and of the decays."""
    (B, H, N, F), (HG, M, DV) = f.shape, v.shape[1:]
    group, chunks, chunk = H // HG, states.shape[2] - 1, _chunk_tiles(narrow)["CHUNK"]
    df = f.new_empty((B, H, N, F), dtype=torch.float32)
    dg = f.new_empty((B, H, M, F), dtype=torch.float32)
    dv = f.new_empty((B, H, M, DV), dtype=torch.float32)
    ddecay = torch.empty_like(decay)
    first, tiles = _tiles_of_queries(N, offset, chunk)
    kinds = _chunk_kinds(None, of_keys, dsums is not None, narrow)
    weights = _channel_weights_of(f, g, decay, of_queries, of_keys, offset, narrow)

    sizes = {"F": F, "DV": DV, **_chunk_tiles(narrow, DV=DV)}
    blocks = triton.cdiv(DV, sizes["BLOCK_V"])
    _channel_values[(chunks * blocks * H * B,)](
        g,
        dout,
        decay,
        of_queries,
        of_keys,
        dstates,
        weights,
        dv,
        *g.stride()[:3],
        H,
        group,
        chunks,
        N,
        M,
        offset,
        **sizes,
        **kinds,
    )

    dweights = torch.zeros_like(weights)
    sizes = {"F": F, "DV": DV, **_chunk_tiles(narrow, F=F)}
    blocks = triton.cdiv(F, sizes["BLOCK_F"])
    _channel_queries[(tiles * blocks * H * B,)](
        v,
        dout,
        dsums,
        decay,
        of_queries,
        of_keys,
        states,
        dweights,
        df,
        *v.stride()[:3],
        H,
        group,
        chunks,
        first,
        tiles,
        N,
        M,
        offset,
        **sizes,
        **kinds,
    )
    _channel_keys[(chunks * blocks * H * B,)](
        v,
        decay,
        of_queries,
        of_keys,
        dstates,
        dg,
        *v.stride()[:3],
        H,
        group,
        chunks,
        N,
        M,
        offset,
        **sizes,
        **kinds,
    )
    sizes = _channel_tiles(narrow, warps=4)
    blocks = triton.cdiv(F, sizes["BLOCK_F"]) * (chunk // sizes["SUB"])
    _channel_pairs[(chunks * blocks * H * B,)](
        f,
        g,
        decay,
        of_queries,
        of_keys,
        dweights,
        df,
        dg,
        ddecay,
        *f.stride()[:3],
        *g.stride()[:3],
        H,
        group,
        chunks,
        N,
        M,
        offset,
        F=F,
        DOCUMENTS=kinds["DOCUMENTS"],
        DTYPE=kinds["DTYPE"],
        **sizes,
    )
    return df, dg, dv, ddecay


def _channel_tiles(narrow, warps):
    """The same where gates of channels are taken apart within a chunk, by 16 tokens."""
    tiles = _chunk_tiles(narrow)
    sizes = {"CHUNK": tiles["CHUNK"], "SUB": 16, "BLOCK_F": tiles["BLOCK_F"]}
    return {**sizes, "num_warps": warps, "num_stages": 1, "enable_fp_fusion": True}


def _of_heads_of_keys(x, group):
    """Of the heads of queries that read one head of keys."""
    return x if group == 1 else x.unflatten(1, (-1, group)).sum(2)


def _dtype_of_products(f, g, v):
    """That of all three, and where they differ float32."""
    return f.dtype if f.dtype == g.dtype == v.dtype else torch.float32


def _chunk_tiles(narrow, F=64, DV=64, with_sums=False):
    """Tokens of a chunk, blocks of features and of values, and launch options.

    A kernel whose sums are as wide as features or values names that width. No block is below 64
    where products are wgmma: Triton 3.7.1 reads outside of shared memory there (triton#11366).
    In float16, what rows are divided by takes registers too, and so do sums that go with a state.
    """
    if narrow == torch.float32:
        sizes = {"CHUNK": 32, "BLOCK_F": 32, "BLOCK_V": 32, "num_warps": 4, "num_stages": 1}
    else:
        is_half = narrow == torch.float16
        block_f, block_v = (64 if width <= 64 or is_half else 128 for width in (F, DV))
        warps = 8 if is_half or with_sums or block_f != block_v else 4
        sizes = {"CHUNK": 64, "BLOCK_F": block_f, "BLOCK_V": block_v, "num_warps": warps}
        sizes["num_stages"] = 1 if is_half else 2
    return {**sizes, "enable_fp_fusion": True}


def _chunk_kinds(steps, of_keys, with_sums, narrow):
    """What kernels are compiled for beside sizes."""
    dtypes = {torch.float16: tl.float16, torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}
    has_documents = of_keys is not None
    return {
        "GATED": steps is not None and steps.ndim == 3,
        "DOCUMENTS": has_documents,
        "SUMS": with_sums,
        "DTYPE": dtypes[narrow],
    }


def _contiguous(tensor):
    return None if tensor is None else tensor.contiguous()


def _within_reach(offset, N, M):
    """Beyond these ends, all queries see all keys or none."""
    return max(-N, min(offset, M))


def _tiles_of_queries(N, offset, chunk):
    """The chunk in which the first query stands, and how many there are up to that of the last."""
    first = offset // chunk
    return first, (N - 1 + offset) // chunk - first + 1


def _decays_of_chunks(steps, chunks, chunk):
    """The sum of steps of each key since its chunk began, [B, H, chunks * chunk] or with channels.

    The first step of all has no key before it, and is none.
    """
    if steps is None:
        return None
    B, H, M = steps.shape[:3]
    wide = steps.new_zeros((B, H, chunks * chunk, *steps.shape[3:]), dtype=torch.float32)
    wide[:, :, 1:M] = steps[:, :, 1:]
    return wide.unflatten(2, (chunks, chunk)).cumsum(3).flatten(2, 3)


def _gradient_of_steps(ddecay, M):
    """A step is a part of every sum behind it in its chunk."""
    dsteps = ddecay.flip(3).cumsum(3).flip(3).flatten(2, 3)[:, :, :M]
    dsteps[:, :, 0] = 0.0
    return dsteps
