"""Chunked linear attention on the CPU: a state of the keys before each chunk, and the pairs inside of it.

    state_t = exp(step_t) state_(t-1) + g_t^T v_t,    out_t = f_t state_t

is computed for 64 tokens at a time, or for all of a shorter call (Hua et al. 2022, "Transformer Quality in Linear
Time"; Yang et al. 2024, "Gated Linear Attention"). `f` are the features of queries, `g` those of keys, and a step is
the logarithm of what the state is multiplied with at a key: none, one number, or one for each channel. Every
exponential is the decay between a query and a key that it sees, so none overflows where no weight does. Copied by
name; it knows nothing of any spec.
"""

import torch

from attnc.support.cpu import _are_spoiled
from attnc.support.linear_pairs import _pairs_backward, _pairs_forward
from attnc.support.of_module import CHUNK


def _chunked_forward_cpu(f, g, v, steps, of_queries, of_keys, offset, with_sums):
    """`_chunked_forward`; where something is nan or infinite, it spoils those who see it."""
    given = f, g, v, steps, of_queries, of_keys, offset, with_sums
    if f.shape[0] == 0:
        return _pairs_forward(*given)
    out, sums = _chunked_forward(*given)
    if _are_spoiled([out, sums] if with_sums else [out]):
        return _pairs_forward(*given)
    return out, sums


def _chunked_backward_cpu(dout, dsums, f, g, v, steps, of_queries, of_keys, offset):
    """`_chunked_backward`, in the same way."""
    given = dout, dsums, f, g, v, steps, of_queries, of_keys, offset
    if f.shape[0] == 0:
        return _pairs_backward(*given)
    gradients = _chunked_backward(*given)
    if _are_spoiled([each for each in gradients if each is not None]):
        return _pairs_backward(*given)
    return gradients


def _chunked_forward(f, g, v, steps, of_queries, of_keys, offset, with_sums):
    """Query i of f [B, H, N, F] over the keys j <= i + offset of g [B, HG, M, F] in its document.

    steps is None, [B, H, M] or [B, H, M, F]. Leaves out [B, H, N, DV], and the sums of weights
    [B, H, N] or None, in a wide dtype.
    """
    (B, H, N, F), DV = f.shape, v.shape[3]
    x, y, z, steps, seen = _in_chunks(
        f, g, _with_ones(v) if with_sums else v, steps, of_queries, of_keys, offset
    )
    out, state = z.new_empty(*x.shape[:3], z.shape[3]), z.new_zeros(B * H, F, z.shape[3])
    for rows, heads, group, n in _slabs(x, y):
        f, g, v = x[rows, n], _of_group(y[heads, n], group), _of_group(z[heads, n], group)
        gates = None if steps is None else _running(steps[rows, n])
        inside, enters, leaves, stays = _sight(seen, rows, n, H, gates, z.dtype)
        weighted = _hide_pairs(_weights(f, g, gates), inside) @ v
        if x.shape[1] > 1:  # before the only chunk there is no key
            states = _carry(state[rows], _times(g, leaves).mT @ v, stays)
            state[rows] = states[:, -1]
            weighted += _times(f, enters) @ states[:, :-1]
        out[rows, n] = weighted
    out = _tokens_of(out, offset, B, N)
    return (out[..., :DV], out[..., DV]) if with_sums else (out, None)


def _chunked_backward(dout, dsums, f, g, v, steps, of_queries, of_keys, offset):
    """Gradients of f, g, v and steps, in a wide dtype. `dsums` is None where there are no sums."""
    (B, H, N, F), (M, DV) = f.shape, v.shape[2:]
    if dsums is not None:
        dout, v = torch.cat([dout, dsums.unsqueeze(3)], 3), _with_ones(v)
    x, y, z, by_chunks, seen = _in_chunks(f, g, v, steps, of_queries, of_keys, offset)
    d = _chunks_of(dout, offset, *x.shape[1:3])
    dx, dy, dz = torch.empty_like(x), torch.empty_like(y), torch.empty_like(z)
    dsteps = None if steps is None else torch.empty_like(by_chunks, dtype=z.dtype)
    slabs, befores = list(_slabs(x, y)), []
    state = z.new_zeros(B * H, F, z.shape[3])
    for rows, heads, group, n in slabs:  # the states before each slab
        befores.append(state[rows].clone())
        gates = None if steps is None else _running(by_chunks[rows, n])
        _, _, leaves, stays = _sight(seen, rows, n, H, gates, z.dtype)
        added = _times(_of_group(y[heads, n], group), leaves).mT @ _of_group(z[heads, n], group)
        state[rows] = _carry(state[rows], added, stays)[:, -1]
    dstate = torch.zeros_like(state)
    for (rows, heads, group, n), before in reversed(list(zip(slabs, befores))):
        f, g, v, dout = (
            x[rows, n],
            _of_group(y[heads, n], group),
            _of_group(z[heads, n], group),
            d[rows, n],
        )
        gates = None if steps is None else _running(by_chunks[rows, n])
        inside, enters, leaves, stays = _sight(seen, rows, n, H, gates, z.dtype)
        states = _carry(before, _times(g, leaves).mT @ v, stays)
        back = None if stays is None else stays.flip(1)
        later = _carry(dstate[rows], (_times(f, enters).mT @ dout).flip(1), back).flip(1)
        dstate[rows], later = later[:, 0], later[:, 1:]
        df = _times(dout @ states[:, :-1].mT, enters)
        dg = _times(v @ later.mT, leaves)
        drunning = None if gates is None else _of_running(gates, f, df, g, dg)
        if drunning is not None:
            behind = (states[:, 1:] * later).sum(3)
            drunning[:, :, -1] += behind if drunning.shape[3] > 1 else behind.sum(2, keepdim=True)
        dpairs = _hide_pairs(dout @ v.mT, inside)
        pairs = _hide_pairs(_weights_backward(dpairs, f, g, gates, df, dg, drunning), inside)
        dx[rows, n] = df
        dy[heads, n] = _sum_of_group(dg, group)
        dz[heads, n] = _sum_of_group((pairs.mT @ dout).add_(_times(g, leaves) @ later), group)
        if (
            dsteps is not None and drunning is not None
        ):  # a step moves what comes behind it in its chunk
            dsteps[rows, n] = drunning.flip(2).cumsum(2).flip(2)
    if dsteps is not None:
        dsteps = _tokens_of(dsteps, 0, B, M).reshape(steps.shape)
    dv = _tokens_of(dz, 0, B, M)[..., :DV]
    return _tokens_of(dx, offset, B, N), _tokens_of(dy, 0, B, M), dv, dsteps


def _carry(state, added, stays):
    """The state before each chunk, and behind the last: [rows, chunks + 1, F, DV]."""
    states = added.new_empty(added.shape[0], added.shape[1] + 1, *added.shape[2:])
    states[:, 0] = state
    for chunk in range(added.shape[1]):
        kept = states[:, chunk] if stays is None else states[:, chunk] * stays[:, chunk]
        torch.add(kept, added[:, chunk], out=states[:, chunk + 1])
    return states


def _in_chunks(f, g, v, steps, of_queries, of_keys, offset):
    """Everything by rows, chunks and tokens: a query stands at the last key that it sees."""
    places = max(1, g.shape[2], f.shape[2] + offset)
    size = min(CHUNK, 2 ** (places - 1).bit_length())
    chunks = -(-places // size)
    tokens = (_chunks_of(x, first, chunks, size) for x, first in ((f, offset), (g, 0), (v, 0)))
    if steps is not None:
        steps = _chunks_of(steps if steps.ndim == 4 else steps.unsqueeze(3), 0, chunks, size)
    return *tokens, steps, _documents(of_queries, of_keys, offset, chunks, size)


def _running(steps):
    """Sums from the start of their chunk on, in float64: their differences are exponents."""
    return steps.to(torch.float64).cumsum(2)


def _with_ones(v):
    """A column of ones: what it weighs is the sum of the weights."""
    return torch.cat([v, v.new_ones(*v.shape[:3], 1)], -1)


def _chunks_of(x, first, chunks, size):
    """x [B, H, N, W] as [B * H, chunks, size, W], token t at place t + first, and zeros."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    places = max(0, first), max(0, min(chunks * size, x.shape[2] + first))
    if places == (0, chunks * size) and first == 0:
        return x.reshape(-1, chunks, size, x.shape[3])
    wide = x.new_zeros(*x.shape[:2], chunks * size, x.shape[3])
    if places[0] < places[1]:
        wide[:, :, places[0] : places[1]] = x[:, :, places[0] - first : places[1] - first]
    return wide.view(-1, chunks, size, x.shape[3])


def _tokens_of(x, first, B, count):
    """The way back: `count` tokens, token t from place t + first; zeros for those before it."""
    x = x.reshape(B, x.shape[0] // B, -1, x.shape[3])
    if first >= 0:
        return x[:, :, first : first + count]
    before = min(count, -first)
    return torch.cat([x.new_zeros(*x.shape[:2], before, x.shape[3]), x[:, :, : count - before]], 2)


def _documents(of_queries, of_keys, offset, chunks, size):
    """Documents of queries, at the last key that they see, and of keys: [B, chunks, size]."""
    if of_keys is None or of_keys.shape[1] == 0 or of_queries.shape[1] == 0:
        return None
    places = torch.arange(chunks * size, device=of_keys.device)
    queries = of_queries[:, (places - offset).clamp(0, of_queries.shape[1] - 1)]
    keys = of_keys[:, places.clamp(max=of_keys.shape[1] - 1)]
    return queries.unflatten(1, (chunks, size)), keys.unflatten(1, (chunks, size))


def _slabs(x, y):
    """Rows and chunks at a time, in order, so many that what is made of them stays in the cache."""
    (rows, chunks, tokens, F), groups = x.shape, y.shape[0]
    group = rows // max(1, groups)
    size = torch.get_num_threads() * 2**18 // (tokens * max(F, tokens))
    heads = min(groups, max(1, size // max(1, group * chunks)))
    length = min(chunks, max(8, size // max(1, group * heads)))
    for first in range(0, groups, heads):
        some = slice(first, min(first + heads, groups))
        for n in range(0, chunks, length):
            yield (
                slice(some.start * group, some.stop * group),
                some,
                group,
                slice(n, min(n + length, chunks)),
            )


def _of_group(x, group):
    """Keys for every query head that reads them."""
    return x if group == 1 else x.repeat_interleave(group, 0)


def _sum_of_group(x, group):
    return x if group == 1 else x.unflatten(0, (-1, group)).sum(1)


def _sight(seen, rows, n, H, gates, dtype):
    """Which pairs of a chunk meet, and factors: of queries at the state, of keys into it, of it.

    Where nothing is hidden or fades, None.
    """
    factors = [None, None, None]
    if gates is not None:
        last = gates[:, :, -1:]
        factors = [_exp(each, dtype) for each in (gates, last - gates, last.mT)]
    if seen is None:
        return None, *factors
    batch = torch.arange(rows.start, rows.stop, device=seen[0].device) // H
    queries, keys = seen[0][batch, n].unsqueeze(3), seen[1][batch, n].unsqueeze(3)
    last = keys[:, :, -1:]
    first = keys[:, :1, :1] if n.start == 0 else seen[1][batch, n.start - 1, -1:, None, None]
    before = torch.cat([first, last[:, :-1]], 1)  # no key comes before the first chunk: any will do
    goes_on = [queries == before, keys == last, before == last]
    if gates is None:
        factors = [each.to(dtype) for each in goes_on]
    else:
        factors = [each.masked_fill(~goes, 0) for each, goes in zip(factors, goes_on)]
    return queries == keys.mT, *factors


def _times(x, factor):
    return x if factor is None else x * factor


def _hide_pairs(pairs, inside):
    """Later keys, and those of other documents."""
    pairs = pairs.tril_()
    return pairs if inside is None else pairs.masked_fill_(~inside, 0)


def _exp(exponents, dtype):
    """The exponential of what has been subtracted in float64."""
    return exponents.to(dtype).exp_() if exponents.dtype != dtype else exponents.exp()


def _decay(gates, dtype):
    """The decay of each pair of a chunk, [..., queries, keys], 0 where the key is later."""
    apart = (gates - gates.mT).to(dtype)
    return apart.masked_fill_(
        torch.ones_like(apart[0, 0], dtype=torch.bool).triu_(1), -torch.inf
    ).exp_()


def _weights(f, g, gates):
    """Weights of the pairs of a chunk. Where the key is later, any number."""
    if gates is None:
        return f @ g.mT
    if gates.shape[3] == 1:
        return (f @ g.mT).mul_(_decay(gates, f.dtype))
    pairs = torch.diag_embed((f * g).sum(3))
    for queries, keys, between in _halves(f.shape[2]):
        grown = f[:, :, queries] * _exp(gates[:, :, queries] - gates[:, :, between], f.dtype)
        faded = g[:, :, keys] * _exp(gates[:, :, between] - gates[:, :, keys], f.dtype)
        pairs[:, :, queries, keys] = grown @ faded.mT
    return pairs


def _halves(tokens):
    """Queries, earlier keys, and the last of those: every pair of two tokens of a chunk once."""
    size = tokens // 2
    while size:
        for first in range(0, tokens, 2 * size):
            middle = first + size
            yield slice(middle, middle + size), slice(first, middle), slice(middle - 1, middle)
        size //= 2


def _weights_backward(dpairs, f, g, gates, df, dg, drunning):
    """Add to the gradients of f, g and gates what comes by pairs of a chunk; their weights.

    A pair of a token with itself has no decay. Left out, its terms need not cancel in `drunning`.
    """
    if gates is None:
        df += dpairs @ g
        dg += dpairs.mT @ f
        return f @ g.mT
    if gates.shape[3] == 1:
        plain, decay = f @ g.mT, _decay(gates, f.dtype)
        pairs = plain * decay
        change = (pairs * dpairs).tril_(-1)
        drunning += (change.sum(3) - change.sum(2)).unsqueeze(3)
        dpairs = dpairs * decay
        df += dpairs @ g
        dg += dpairs.mT @ f
        return pairs
    own = dpairs.diagonal(dim1=2, dim2=3).unsqueeze(3)
    pairs, df_own, dg_own = torch.diag_embed((f * g).sum(3)), own * g, own * f
    for queries, keys, between in _halves(f.shape[2]):
        grows = _exp(gates[:, :, queries] - gates[:, :, between], f.dtype)
        fades = _exp(gates[:, :, between] - gates[:, :, keys], f.dtype)
        grown, faded = f[:, :, queries] * grows, g[:, :, keys] * fades
        pairs[:, :, queries, keys] = grown @ faded.mT
        through = dpairs[:, :, queries, keys]
        to_queries, to_keys = (through @ faded) * grows, (through.mT @ grown) * fades
        df[:, :, queries] += to_queries
        dg[:, :, keys] += to_keys
        drunning[:, :, queries] += f[:, :, queries] * to_queries
        drunning[:, :, keys] -= g[:, :, keys] * to_keys
    df += df_own
    dg += dg_own
    return pairs


def _of_running(gates, f, df, g, dg):
    """The gradient of the running sums, as far as it comes through the states."""
    change = f * df - g * dg
    return change if gates.shape[3] > 1 else change.sum(3, keepdim=True)
