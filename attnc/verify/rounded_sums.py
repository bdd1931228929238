"""The sums over the keys of a row, each product and each sum followed by its error.

Enters: the value, and a table of scores or weights for each time that kernels compute them. Leaves: the weighted
values of every row, as the forward kernels find them, and what the backward kernels make of their gradients.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
from torch import Tensor

from attnc.verify.precision import Precision, finite_part

# Backward, the weights of a row are found from the logarithm of a sum, next to a largest score of this size at most.
LARGEST_LSE = 1024.0


class RoundedSoftmax(torch.autograd.Function):
    """Values and scores to output, log-sum-exp, and this without the largest score: kernels, with their errors.

    The first scores are those of the forward pass. Each of the others is what one sum over pairs goes back to: the
    kernels find the gradient of the score for each of their sums anew, and with it the `products` of the score, whose
    terms each of them adds up in an order of its own.
    """

    @staticmethod
    def forward(
        ctx: Any, v: Tensor, r: Precision, products: Tensor, s: Tensor, *again: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        lse = torch.logsumexp(s, -1)
        finite = finite_part(lse)
        below = finite_part(s - finite[..., None])
        p = torch.softmax(s, -1)
        p = torch.where(lse.isfinite()[..., None], p, torch.zeros_like(p))
        n = sqrt(max(s.shape[-1], 1)) * r.working
        out = (p + r.error(p * (r.product + n + r.working * below.abs()), 1.0)) @ v
        saved = out + r.error(out.abs(), r.stored)
        lse = torch.where(lse.isfinite(), lse + r.error(finite.abs() + 1, 2 * r.working), lse)
        largest = s.amax(-1, keepdim=True) if s.shape[-1] else lse[..., None]
        log = torch.logsumexp(s - finite_part(largest), -1)
        log = torch.where(log.isfinite(), log + r.error(finite_part(log).abs() + 1, 2 * r.working), log)
        ctx.save_for_backward(s, v, finite, below, products, p, saved)
        ctx.precision, ctx.sums = r, len(again)
        return saved, lse, log

    @staticmethod
    def backward(ctx: Any, dout: Tensor, dlse: Tensor, dlog: Tensor) -> tuple[Tensor | None, ...]:
        s, v, lse, below, products, p, out = ctx.saved_tensors
        r: Precision = ctx.precision
        n = sqrt(max(s.shape[-2], 1)) * r.working
        norms = dout.norm(dim=-1)[..., None] * v.norm(dim=-1)[..., None, :]
        delta = (dout * out).sum(-1) + r.error((dout * out).abs().sum(-1), r.working) - (dlse + dlog)

        def weight() -> Tensor:
            """Once more, from what is known of the row."""
            near = finite_part(s).abs().clamp(max=LARGEST_LSE) + lse.abs().clamp(max=LARGEST_LSE)[..., None]
            again: Tensor = p + r.error(p * (3 + near + below.abs() + products), r.working)
            return again

        def score() -> Tensor:
            dp = dout @ v.mT + r.error(norms, r.working)
            ds: Tensor = weight() * (dp - delta[..., None])
            return ds + r.error(ds.abs(), 2 * r.working)

        dv = (weight() * (1 + r.error(torch.ones_like(p), r.product + n))).mT @ dout
        return dv, None, None, None, *(score() for _ in range(ctx.sums))


class RoundedWeights(torch.autograd.Function):
    """Values and weights, as each pass finds them, to weighted values: what the kernels do, with their errors."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, r: Precision, p: Tensor, *again: Tensor) -> Tensor:
        n = sqrt(max(p.shape[-1], 1)) * r.working
        out: Tensor = (p + r.error(p, r.product + n)) @ v
        ctx.save_for_backward(again[0], v)
        ctx.precision, ctx.sums = r, len(again)
        return out + r.error(out, r.product)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        (p, v), r = ctx.saved_tensors, ctx.precision
        dout = dout + r.error(dout, r.stored)
        norms = dout.norm(dim=-1)[..., None] * v.norm(dim=-1)[..., None, :]
        n = sqrt(max(p.shape[-2], 1)) * r.working
        dv = (p + r.error(p, r.product + n)).mT @ dout
        return dv, None, None, *(dout @ v.mT + r.error(norms, r.working) for _ in range(ctx.sums))
