"""What linear attention makes of single tokens: features, and how the state fades from key to key.

Exponents are [B, heads, tokens, 1 or F], in float64. Copied by name; it knows nothing of any spec.
"""

import torch

from attnc.support.of_call import _mistake
from attnc.support.torch_functions import _refuse_read


def _steps_of(running, wide):
    """The logarithm of what the state is multiplied with at each key, from its running sums.

    They are subtracted as they are, and rounded at once: they are as long as the sequence.
    """
    steps = (running[:, :, 1:] - running[:, :, :-1]).to(wide)
    return torch.nn.functional.pad(steps, (0, 0, min(1, running.shape[2]), 0))


def _check_decay(base, steps):
    """Raise where a decay has no logarithm. A GPU is waited for, or asserts it in a CUDA graph."""
    holds = steps.isfinite().all()
    words = f"`{base}` is what a state fades by, and needs finite numbers above 0"
    if steps.is_cuda and torch.cuda.is_current_stream_capturing():
        torch._assert_async(holds, words)
    elif not holds:
        raise _mistake("not-positive", f'{words}; `schedule="tiled"` takes any')


def _check_length(array, axis, axes, index, f, g):
    """Raise where an array of queries is read at every key, by an `index` j, and is too short; i, the other way."""
    (B, _, N), M = f.shape[:3], g.shape[2]
    size, tokens, pair = (N, M, (0, 0, 0, N)) if index == "j" else (M, N, (0, 0, M, 0))
    if tokens > size and B * N * M > 0:
        _refuse_read(array, axis, size, size, axes, pair)


def _with_places(x):
    """An array that is read at tokens of a call, also where there are none."""
    return x if x.numel() else x.new_zeros([max(1, size) for size in x.shape])


def _largest_so_far(exponents):
    """The largest exponent of the keys up to each, -inf at hidden ones: the largest weight. It has no gradient.

    Before the first key that is seen it is that one's, so that no step between is infinite.
    """
    largest = exponents.detach().cummax(2).values
    first = largest.masked_fill(largest == -torch.inf, torch.inf)
    first = first.amin(2, keepdim=True) if exponents.shape[2] else first.sum(2, True)
    return torch.maximum(largest, first.masked_fill_(first == torch.inf, 0))


def _largest_of_all(exponents):
    """The largest exponent of all keys, as that of one."""
    if exponents.shape[2] == 0:
        return exponents.detach().sum(2, True)
    largest = exponents.detach().amax(2, keepdim=True)
    return largest.masked_fill_(largest == -torch.inf, 0)


def _at_last_key(running, offset, N):
    """What runs on with the keys, at the last that each query sees, or at the first."""
    M = running.shape[2]
    if M == 0:
        return running.new_zeros(*running.shape[:2], N, running.shape[3])
    return running[:, :, (torch.arange(N, device=running.device) + offset).clamp(0, M - 1)]


def _powers(x, power):
    """Every product of `power` features, so that their dot products are powers of dot products."""
    features = torch.arange(x.shape[3], device=x.device)
    chosen = torch.combinations(features, power, with_replacement=True).mT
    found, run = x[..., chosen[0]], torch.ones_like(chosen[0])
    orders = run.to(torch.float64)  # in how many the same features can be chosen
    for n in range(1, power):
        found = found * x[..., chosen[n]]
        run = torch.where(chosen[n] == chosen[n - 1], run + 1, 1)
        orders = orders * (n + 1) / run
    return found * orders.sqrt().to(x.dtype)


def _products(x, y):
    """Every product of a feature of each."""
    return (x.unsqueeze(4) * y.unsqueeze(3)).flatten(3)
