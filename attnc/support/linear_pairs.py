"""Linear attention pair by pair, for calls in which some number is nan or infinite.

It spoils those rows that see it, and nobody else: in a product of a chunk 0 times nan would be nan. So where a result
of chunks is no number, the call is computed here, in time that grows with the pairs. Copied by name; it knows no spec.
"""

import torch

from attnc.support.cpu import _matmul


def _pairs_forward(f, g, v, steps, of_queries, of_keys, offset, with_sums):
    """As `_chunked_forward`, without states."""
    v = torch.cat([v, v.new_ones(*v.shape[:3], 1)], 3) if with_sums else v
    v, parts = v.to(torch.promote_types(v.dtype, torch.float32)), []
    for rows, shown, decay in _blocks(f, g, steps, of_queries, of_keys, offset):
        weights = _pair_weights(f[:, :, rows], g, decay).masked_fill_(~shown, 0)
        parts.append(
            _matmul(weights, v.to(weights.dtype), shown=shown.expand(weights.shape)).to(v.dtype)
        )
    out = torch.cat(parts, 2)
    return (out[..., :-1], out[..., -1]) if with_sums else (out, None)


def _pairs_backward(dout, dsums, f, g, v, steps, of_queries, of_keys, offset):
    """As `_chunked_backward`."""
    (B, H), (groups, M, DV) = f.shape[:2], v.shape[1:]
    wide = torch.promote_types(f.dtype, torch.float32)
    if dsums is not None:
        dout, v = (
            torch.cat([dout, dsums.unsqueeze(3)], 3),
            torch.cat([v, v.new_ones(*v.shape[:3], 1)], 3),
        )
    f, g, v, dout = (x.to(torch.float64) for x in (f, g, v, dout))
    df, dg, dv = (
        torch.zeros_like(f),
        g.new_zeros(B, H, *g.shape[2:]),
        v.new_zeros(B, H, *v.shape[2:]),
    )
    crossed = 0
    for rows, shown, decay in _blocks(f, g, steps, of_queries, of_keys, offset):
        x, d, seen = f[:, :, rows], dout[:, :, rows], shown.expand(B, H, -1, M)
        keys, values = (each.repeat_interleave(H // groups, 1) for each in (g, v))
        weights = _pair_weights(x, g, decay).masked_fill_(~shown, 0)
        dweights = (d @ values.mT).masked_fill_(~shown, 0)
        dv += _matmul(weights.mT, d, shown=seen.mT)
        if decay is None or decay.shape[4] == 1:
            dplain = (
                dweights if decay is None else (dweights * decay.squeeze(4)).masked_fill_(~shown, 0)
            )
            df[:, :, rows] = _matmul(dplain, keys, shown=seen)
            dg += _matmul(dplain.mT, x, shown=seen.mT)
            change = (dweights * weights).unsqueeze(4)
        else:
            change = dweights.unsqueeze(4) * decay
            df[:, :, rows] = (
                (change * keys.unsqueeze(2)).masked_fill_(~shown.unsqueeze(4), 0).sum(3)
            )
            of_keys_ = (change * x.unsqueeze(3)).masked_fill_(~shown.unsqueeze(4), 0)
            dg += of_keys_.sum(2)
            change = (of_keys_ * keys.unsqueeze(2)).masked_fill_(~shown.unsqueeze(4), 0)
        if decay is not None:
            crossed += _at_ends(change, rows, offset)
    dg, dv = (x.unflatten(1, (groups, -1)).sum(2).to(wide) for x in (dg, dv))
    dsteps = None if steps is None else _of_steps(crossed).to(wide).reshape(steps.shape)
    return df.to(wide), dg, dv[..., :DV], dsteps


def _blocks(f, g, steps, of_queries, of_keys, offset):
    """Some queries at a time, the keys that they see, and the decay of their pairs.

    It is nan where a step between is no number.
    """
    (B, H, N, _), M = f.shape, g.shape[2]
    j, width = (
        torch.arange(M, device=f.device),
        1 if steps is None or steps.ndim == 3 else steps.shape[3],
    )
    if steps is not None:
        clean = steps.to(torch.float64).reshape(B, H, M, width)
        bad = clean.isfinite().logical_not()
        running, spoiled = clean.masked_fill(bad, 0).cumsum(2), bad.cumsum(2)
    size = max(1, 2**24 // max(1, B * H * M * width))
    for first in range(0, N, size):
        rows = slice(first, min(first + size, N))
        ends = torch.arange(rows.start, rows.stop, device=f.device) + offset
        shown = (j <= ends[:, None])[None, None]
        if of_keys is not None:
            shown = shown & (of_queries[:, None, rows, None] == of_keys[:, None, None, :])
        decay = None
        if steps is not None:
            ends = ends.clamp(0, M - 1)
            apart = running[:, :, ends].unsqueeze(3) - running.unsqueeze(2)
            decay = apart.masked_fill_(~shown.unsqueeze(4), 0).exp_()
            decay.masked_fill_(spoiled[:, :, ends].unsqueeze(3) != spoiled.unsqueeze(2), torch.nan)
        yield rows, shown, decay


def _pair_weights(f, g, decay):
    """Weights of some queries and all keys [B, H, queries, M], in float64."""
    f, g = f.to(torch.float64), g.to(torch.float64).repeat_interleave(f.shape[1] // g.shape[1], 1)
    if decay is None or decay.shape[4] == 1:
        plain = f @ g.mT
        return plain if decay is None else plain * decay.squeeze(4)
    return (f.unsqueeze(3) * g.unsqueeze(2) * decay).sum(4)


def _at_ends(change, rows, offset):
    """What pairs add to the gradients of the steps between, behind the key and up to the query.

    [2, B, H, M, 1 or F]: with the opposite sign at the key; and how many are no numbers.
    """
    M, bad = change.shape[3], change.isfinite().logical_not()
    ends = torch.arange(rows.start, rows.stop, device=change.device).add_(offset).clamp_(0, M - 1)
    parts = torch.stack([change.masked_fill(bad, 0), bad.to(change.dtype)])
    return -parts.sum(3).index_add_(3, ends, parts.sum(4), alpha=-1)


def _of_steps(crossed):
    """Gradients of steps: the sum over all pairs of a key before them and a query behind."""
    later, spoiled = crossed.flip(3).cumsum(3).flip(3)
    return later.masked_fill(spoiled > 0, torch.nan)
