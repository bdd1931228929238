"""The second look of linear attention on a GPU, whose programs end at once unless a result is no number.

Enters: results of chunks, and their call. Leaves: the results, right in each row. Nobody waits for the GPU. Copied by
name.
"""

import torch
import triton

from attnc.support.pair_kernels import _pair_gradients, _pair_outputs, _pair_steps


def _look_again(out, sums, f, g, v, steps, of_queries, of_keys, offset):
    """Where some number of the outputs is none, compute all of them pair by pair."""
    (B, H, N), (HG, M) = f.shape[:3], g.shape[1:3]
    rows, kinds = B * H * N, _pair_kinds(f, v, steps, of_keys, sums)
    share = _share_of(rows)
    _pair_outputs[(triton.cdiv(rows, share),)](
        _is_spoiled_anywhere(out, sums), f, g, v, steps, of_queries, of_keys, out, sums,
        *f.stride()[:3], *g.stride()[:3], *v.stride()[:3], H, H // HG, rows, N, M, offset, share,
        **kinds,
    )


def _look_again_back(
    df, dg, dv, dsteps, dout, dsums, f, g, v, steps, of_queries, of_keys, offset,
):
    """The same for gradients; those of g and v are of each head of queries."""
    (B, H, N, F), (HG, M) = f.shape, g.shape[1:3]
    start = min(0, offset)
    places = max(M, N + offset) - start
    rows, kinds = B * H * places, _pair_kinds(f, v, steps, of_keys, dsums)
    share, again = _share_of(rows), _is_spoiled_anywhere(df, dg, dv, dsteps)
    width = F if kinds["CHANNELS"] else 1
    size = (B, H, places, width) if kinds["GATED"] else (0,)
    change, spoiled = f.new_empty(size, dtype=torch.float32), f.new_empty(size, dtype=torch.int32)
    _pair_gradients[(triton.cdiv(rows, share),)](
        again, f, g, v, steps, of_queries, of_keys, dout, dsums, df, dg, dv, change, spoiled,
        *f.stride()[:3], *g.stride()[:3], *v.stride()[:3], H, H // HG, rows, N, M, offset, share,
        start, places, **kinds,
    )
    if kinds["GATED"]:
        _pair_steps[(B * H,)](
            again, change, spoiled, dsteps, M, start, places, WIDTH=width,
            COLS=triton.next_power_of_2(width), num_warps=4, enable_fp_fusion=True,
        )


def _pair_kinds(f, v, steps, of_keys, sums):
    """What the kernels are compiled for."""
    F, DV = f.shape[3], v.shape[3]
    block_f, block_v = triton.next_power_of_2(F), triton.next_power_of_2(DV)
    has_channels = steps is not None and steps.ndim == 4
    widest = 256 if has_channels else 128  # of few warps, which have more registers for each number
    return {
        "F": F, "DV": DV, "GATED": steps is not None,
        "CHANNELS": has_channels, "DOCUMENTS": of_keys is not None,
        "SUMS": sums is not None, "BLOCK_F": block_f, "BLOCK_V": block_v,
        "num_warps": 4 if block_f + block_v <= widest else 8, "enable_fp_fusion": True,
    }  # fmt: skip


def _share_of(rows):
    """Rows of a program: few programs end sooner, where there is nothing to do."""
    return max(16, triton.cdiv(rows, 8192))


def _is_spoiled_anywhere(*results):
    """1 where some number of them is none, else 0: on the GPU, where kernels read it."""
    sums = [x.sum(dtype=torch.float32) for x in results if x is not None]
    return torch.stack(sums).isnan().any().to(torch.int32)
