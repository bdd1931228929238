"""The state of linear attention between calls: a mapping of tensors, in a wide dtype.

    values [B, heads, F, DV]    features of keys times values, as they have faded at the last key
    sums [B, heads, F]          features of keys, of weights that are summed
    gate [B, H, 1 or F]         where the exponents of keys stood at the last one, in float64
    document [B]                the document of the last key
    tokens                      how many tokens it has been made of

Heads are those of keys, or of queries where each fades in its own way. Copied by name; it knows nothing of any spec.
"""

import torch

from attnc.support.checks import _names
from attnc.support.of_call import _mistake
from attnc.support.products import _wide
from attnc.support.torch_functions import _for_query_heads


def _check_state(state, names, q, k):
    """Raise where a state is none of this attention, or the call none that continues."""
    N, M = q.shape[2], k.shape[2]
    if N != M or N == 0:
        words = "with `initial_state` or `return_state` queries and keys are of the same tokens"
        raise _mistake("wrong-size", f"{words}, one or more; these are of {N} queries and {M} keys")
    if state is None:
        return
    if not hasattr(state, "keys") or set(state.keys()) != set(names):
        given = type(state).__name__
        if hasattr(state, "keys"):
            given = ", ".join(map(str, state.keys()))
        raise _mistake(
            "wrong-type",
            f"`initial_state` is what a call with `return_state=True` leaves: {', '.join(names)}; "
            f"this is {given}",
        )
    for name in names:
        if not isinstance(state[name], torch.Tensor):
            kind = type(state[name]).__name__
            words = f"`{name}` of `initial_state` is a tensor"
            raise _mistake("wrong-type", f"{words}; this is {kind}")
    for name in names:
        _check_kind(state, name, q)
    sizes = {"tokens": (), "document": q.shape[:1]}
    for name in names:
        if name in sizes and state[name].shape != sizes[name]:
            words = f"`{name}` of `initial_state` has the sizes {list(sizes[name])} in this call"
            raise _mistake("wrong-size", f"{words}; these are {list(state[name].shape)}")


def _check_kind(state, name, q):
    """Raise where a tensor of a state is not in a dtype that a call leaves, or not where q is."""
    ints = torch.int32, torch.int64
    kinds = {"gate": (torch.float64,), "document": ints, "tokens": ints}
    dtypes, found = kinds.get(name, (torch.float32, torch.float64)), state[name]
    if found.dtype not in dtypes:
        words = f"`{name}` of `initial_state` needs dtype {_names(*dtypes)}"
        raise _mistake("wrong-dtype", f"{words}; this is {_names(found.dtype)}")
    is_number = name == "tokens" and found.device.type == "cpu"  # which torch takes to any device
    if found.device != q.device and not is_number:
        words = f"`{name}` of `initial_state` needs the device of `q`, {q.device}"
        raise _mistake("wrong-device", f"{words}; this is on {found.device}")


def _check_sizes(state, name, x, width):
    """Raise where a tensor of a state has not the features of x [B, H, tokens, F], and a width."""
    (B, H, _, F), found = x.shape, list(state[name].shape)
    if len(found) < 2 or found[0] != B or found[1] == 0 or H % found[1] or found[2:] != [F, *width]:
        words = f"`{name}` of `initial_state` has the sizes {[B, H, F, *width]} in this call"
        raise _mistake("wrong-size", f"{words}; these are {found}")


def _seen_of_state(query, fades, goes_on):
    """Features of queries as they meet a state: 0 where its document ended."""
    seen = _wide(query)
    if fades is not None:
        seen = seen * fades.exp().to(seen.dtype)
    return seen if goes_on is None else torch.where(goes_on, seen, 0.0)


def _times_state(seen, state, goes_on):
    """seen [B, H, N, F] times a state [B, heads, F, width], spoiling nobody who does not see it."""
    found = seen @ _of_query_heads(state.to(seen.dtype), seen.shape[1])
    return found if goes_on is None else torch.where(goes_on, found, 0.0)


def _left_by_keys(key, fades, remains):
    """Features of keys as they have faded at the last one: 0 where their document ended before."""
    left = _wide(key)
    if fades is not None:
        heads = max(left.shape[1], fades.shape[1])  # the keys of all heads may fade alike
        left = _of_query_heads(left, heads) * fades.exp().to(left.dtype)
    return left if remains is None else torch.where(remains, left, 0.0)


def _sum_of_products(left, v, remains):
    """Features times values, summed over keys: [B, heads, F, DV]."""
    v = _of_query_heads(v.to(left.dtype), left.shape[1])
    return left.mT @ (v if remains is None else torch.where(remains, v, 0.0))


def _kept_of_state(state, fades, goes_on):
    """What is left of a state behind the last key."""
    if fades is not None:
        factor = fades.exp().to(state.dtype)
        state = state * (factor.unsqueeze(3) if state.ndim == 4 else factor)
    if goes_on is None:
        return state
    return torch.where(goes_on.view(-1, *[1] * (state.ndim - 1)), state, 0.0)


def _of_query_heads(x, heads):
    return x if x.shape[1] == heads else _for_query_heads(x, heads)
