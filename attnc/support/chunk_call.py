"""What launchers of chunks of linear attention have in common: kinds of kernels, decays, and states.

Enters: tensors of a call. Leaves: what kernels are compiled for, sums of steps since a chunk began, the state before
every chunk, and its gradient. Copied by name.
"""

import torch
import triton
import triton.language as tl

from attnc.support.chunk_states import _chunk_state_gradients, _chunk_states
from attnc.support.chunk_tiles import _chunk_tiles


def _chunk_kinds(narrow, gated, of_keys, with_sums):
    """What kernels are compiled for beside sizes."""
    dtypes = {torch.float16: tl.float16, torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}
    return {
        "GATED": gated,
        "DOCUMENTS": of_keys is not None,
        "SUMS": with_sums,
        "DTYPE": dtypes[narrow],
    }


def _states_before_chunks(f, g, v, decay, of_keys, offset, kinds):
    """And behind the last, [B, H, chunks + 1, DV, F], with one more row for sums; in float32."""
    (B, H, N, F), (HG, M, DV) = f.shape, v.shape[1:]
    kernel = "states_and_sums" if kinds["SUMS"] else "states"
    tiles = _chunk_tiles(kernel, f.dtype)
    chunks = triton.cdiv(M, tiles["CHUNK"])
    states = f.new_empty((B, H, chunks + 1, DV + kinds["SUMS"], F), dtype=torch.float32)
    blocks = triton.cdiv(F, tiles["BLOCK_F"]) * triton.cdiv(DV, tiles["BLOCK_V"])
    _chunk_states[(blocks * H * B,)](
        g, v, decay, of_keys, states, *g.stride()[:3], *v.stride()[:3], H, H // HG, chunks, N, M,
        offset, F=F, DV=DV, CHANNELS=_has_channels(decay), **tiles, **kinds,
    )
    return states


def _gradients_of_states(
    f, g, v, dout, dsums, decay, of_queries, of_keys, offset, states, kinds,
):
    """The gradients of states, and of the sums of steps at the ends of chunks for each feature."""
    (B, H, N, F), (M, DV) = f.shape, v.shape[2:]
    kernel = "states_and_sums" if kinds["SUMS"] else "states"
    tiles = _chunk_tiles(kernel, f.dtype)
    dstates, chunks = torch.empty_like(states), states.shape[2] - 1
    blocks = triton.cdiv(DV, tiles["BLOCK_V"])
    dends = f.new_empty((blocks, B, H, chunks, F), dtype=torch.float32)
    _chunk_state_gradients[(triton.cdiv(F, tiles["BLOCK_F"]) * blocks * H * B,)](
        f, dout, dsums, decay, of_queries, of_keys, states, dstates, dends, *f.stride()[:3], B, H,
        chunks, N, M, offset, F=F, DV=DV, CHANNELS=_has_channels(decay), **tiles, **kinds,
    )
    return dstates, dends.sum(0) if decay is not None else None


def _has_channels(decay):
    """Has a step a number for each feature?"""
    return decay is not None and decay.ndim == 4


def _for_products(dout, narrow):
    """The gradient of outputs as kernels multiply it: in float16 its rows are divided there."""
    return dout.to(narrow if narrow == torch.bfloat16 else torch.float32).contiguous()


def _contiguous(tensor):
    return None if tensor is None else tensor.contiguous()


def _within_reach(offset, N, M):
    """Beyond these ends, all queries see all keys or none."""
    return max(-N, min(offset, M))


def _tiles_of_queries(N, offset, chunk):
    """The chunk in which the first query stands, and how many there are up to that of the last."""
    first = offset // chunk
    return first, (N - 1 + offset) // chunk - first + 1


def _decays_of_chunks(steps, narrow):
    """The sum of steps of each key since its chunk began, [B, H, chunks * CHUNK] or with channels.

    The first step of all has no key before it, and is none.
    """
    if steps is None:
        return None
    chunk, (B, H, M) = _chunk_tiles("states", narrow)["CHUNK"], steps.shape[:3]
    chunks = triton.cdiv(M, chunk)
    wide = steps.new_zeros((B, H, chunks * chunk, *steps.shape[3:]), dtype=torch.float32)
    wide[:, :, 1:M] = steps[:, :, 1:]
    return wide.unflatten(2, (chunks, chunk)).cumsum(3).flatten(2, 3)


def _gradient_of_steps(ddecay, dends, M):
    """A step is a part of every sum behind it in its chunk."""
    chunks = dends.shape[2]
    ddecay = ddecay.unflatten(2, (chunks, ddecay.shape[2] // chunks))
    ddecay[:, :, :, -1] += dends
    dsteps = ddecay.flip(3).cumsum(3).flip(3).flatten(2, 3)[:, :, :M]
    dsteps[:, :, 0] = 0.0
    return dsteps.contiguous()


def _of_heads_of_keys(x, group):
    """Of the heads of queries that read one head of keys."""
    return x if group == 1 else x.unflatten(1, (-1, group)).sum(2)


def _ones_like_values(g):
    """Values that are 1: what they add up to is the sum of the weights."""
    return g.new_ones(1, 1, 1, 1).expand(*g.shape[:3], 1)
