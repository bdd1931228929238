"""Linear attention where every query sees every key: one state, and two products of matrices, on any device.

    state = g^T v,    out = f state

`f` are the features of queries, `g` those of keys. Copied by name; it knows nothing of any spec.
"""

import torch


def _products_forward(f, g, v, with_sums):
    """f [B, H, N, F], g [B, HG, M, F], v [B, HG, M, DV]: out [B, H, N, DV], sums [B, H, N] or None.

    In a wide dtype, as all that is summed over tokens.
    """
    rows, g, v = _of_key_heads(f, g), _wide(g), _wide(v)
    out = (rows @ (g.mT @ v)).view(*f.shape[:3], v.shape[3])
    if not with_sums:
        return out, None
    return out, (rows @ g.sum(2).unsqueeze(3)).view(f.shape[:3])


def _products_backward(dout, dsums, f, g, v):
    """Gradients of f, g and v, in a wide dtype."""
    rows, drows, g, v = _of_key_heads(f, g), _of_key_heads(dout, g), _wide(g), _wide(v)
    dstate = rows.mT @ drows
    df, dg, dv = drows @ (g.mT @ v).mT, v @ dstate.mT, g @ dstate
    if dsums is not None:
        dsums = _of_key_heads(dsums.unsqueeze(3), g)
        df, dg = df + dsums * g.sum(2, keepdim=True), dg + (rows * dsums).sum(2, keepdim=True)
    return df.view(f.shape), dg, dv


def _wide(x):
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _of_key_heads(x, g):
    """Rows of all query heads that read a key head, behind one another: [B, HG, rows, width]."""
    return _wide(x).reshape(
        x.shape[0], g.shape[1], x.shape[1] // g.shape[1] * x.shape[2], x.shape[3]
    )
