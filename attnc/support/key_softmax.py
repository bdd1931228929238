"""A softmax of scores that know the key alone, as weights of keys and steps of a state.

With L the log-sum-exp of the scores up to each key, exp(s - L) is the weight of the last of them, and the step from one
L to the next makes room for it: what the state holds is the result, and no exponential is above 1. In float64. Copied
by name; it knows nothing of any spec.
"""

import torch


def _sums_of_keys(scores, is_causal):
    """The log-sum-exp of scores [B, heads, M, 1] up to each key, or of all as that of one.

    Scores of hidden keys are -inf.
    """
    scores = scores.masked_fill(scores == -torch.inf, -torch.inf)  # no gradient comes to these
    return torch.logcumsumexp(scores, 2) if is_causal else torch.logsumexp(scores, 2, True)


def _sums_from_first(sums):
    """The same, and before the first key that is seen its own: no step between is infinite."""
    first = sums.detach().masked_fill(sums == -torch.inf, torch.inf)
    first = first.amin(2, keepdim=True) if sums.shape[2] else first.sum(2, True)
    return torch.where(sums == -torch.inf, first.masked_fill_(first == torch.inf, 0), sums)


def _weights_of_keys(scores, sums):
    """What each key has of the sum that it is the last of; 0 where it is hidden."""
    hidden = scores == -torch.inf
    return (scores.masked_fill(hidden, 0) - sums).exp().masked_fill(hidden, 0)


def _sums_at_rows(sums, offset, N):
    """The log-sum-exp of what each query sees, [B, heads, N, 1]."""
    M = sums.shape[2]
    ends = torch.arange(N, device=sums.device) + offset
    if M == 0:
        return sums.new_full((*sums.shape[:2], N, 1), -torch.inf)
    return sums[:, :, ends.clamp(0, M - 1)].masked_fill((ends < 0)[:, None], -torch.inf)
