"""What `scaled_dot_product_attention` takes in place of a mask and a score.

Enters: an attention and a call. Leaves: a `Dense`: a mask, or a number for every pair, and a scale; or the reason why
there is none. The interpreter evaluates both, some queries at a time: they are what the spec means, pair by pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attnc.algebra.derivative import differentiate
from attnc.algebra.products import factors_of
from attnc.analyze.facts import Weights
from attnc.bench.call import Call
from attnc.ir.nodes import Attention, Dot, Node, Real, RealConst, VecInput
from attnc.ir.walk import Axis, axes_of, holds, replace_terms
from attnc.lower.plain import KINDS, PRODUCT
from attnc.run.mask import exact_values
from attnc.run.points import all_pairs
from attnc.run.terms import Terms

ZERO = RealConst(0.0)
# Pairs of a dense mask, and of what is evaluated at a time.
MOST_PAIRS, AT_A_TIME = 2**28, 2**22


@dataclass(frozen=True)
class Dense:
    """The arguments of SDPA. `mask` is None where `is_causal` or nothing at all is masked."""

    scale: float
    is_causal: bool = False
    mask: Tensor | None = None


def find_dense(attention: Attention, weights: Weights, call: Call) -> Dense | str:
    """What SDPA needs, or why it cannot compute the call."""
    split = split_score(attention, weights)
    if isinstance(split, str):
        return split
    scale, bias = split
    exact = exact_values(call.values)
    terms = Terms({n: x.to(call.device) if isinstance(x, Tensor) else x for n, x in exact.items()})
    one = all_pairs({"b": 1, "h": 1, "i": 1, "j": 1}, call.device)
    factor = float(terms.real(scale, one))
    kind = KINDS.get(attention.mask)
    if bias == ZERO and kind is not None:
        return Dense(factor, is_causal=kind == "causal")
    used = axes_of(attention.mask) | axes_of(bias)
    axes: dict[Axis, int] = {
        "b": call.sizes["B"] if "b" in used else 1,
        "h": call.sizes["H"] if "h" in used else 1,
    }
    n, m = call.sizes["N"], call.sizes["M"]
    if (pairs := axes["b"] * axes["h"] * n * m) > MOST_PAIRS:
        return f"its dense mask would have {pairs} entries"
    rows = max(1, AT_A_TIME // (axes["b"] * axes["h"] * m))
    parts = [
        _evaluate(attention, bias, terms, axes, range(first, min(first + rows, n)), call)
        for first in range(0, n, rows)
    ]
    return Dense(factor, mask=torch.cat(parts, 2))


def split_score(attention: Attention, weights: Weights) -> tuple[Real, Real] | str:
    """The score as `dot(q, k) * scale + bias`, or why this is not all there is."""
    if why := why_not_softmax(attention, weights):
        return why
    if weights.gate is not None:
        return "its normalization is more than softmax"
    scale = differentiate(attention.score, PRODUCT)
    if axes_of(scale) or holds(scale, Dot):
        return "its score is not `dot(q, k)` times a number, plus a bias"

    def without_product(term: Node) -> Node | None:
        return ZERO if isinstance(term, Real) and PRODUCT in factors_of(term)[0] else None

    bias = replace_terms(attention.score, without_product)
    if not isinstance(bias, Real) or holds(bias, Dot):
        return "its score has another product than `dot(q, k)`"
    if holds(bias, VecInput):
        return "its score takes more of `q` and `k` than their product"
    return scale, bias


def why_not_softmax(attention: Attention, weights: Weights) -> str:
    """Why the attention is not softmax of a score over the given `q`, `k` and `v`, followed by nothing; "" if it is."""
    for clause, raw in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")):
        if getattr(attention, clause) != VecInput(raw):  # type: ignore[arg-type]
            return f"its `{clause}` clause is more than `{raw}`"
    if not weights.has_lse or weights.before:
        return "its normalization is no softmax of the score"
    return ""


def _evaluate(
    attention: Attention, bias: Real, terms: Terms, axes: Mapping[Axis, int], rows: range, call: Call
) -> Tensor:
    """The mask, or the bias with -inf where the mask hides a pair, of these queries: [b, h, rows, M]."""
    shape = (axes["b"], axes["h"], len(rows), call.sizes["M"])
    sizes: dict[Axis, int] = {**axes, "i": call.sizes["N"], "j": call.sizes["M"]}
    queries = torch.arange(rows.start, rows.stop, device=call.device)
    pairs = all_pairs(sizes, call.device, {"i": queries})
    with torch.no_grad():
        visible = terms.condition(attention.mask, pairs)
        if bias == ZERO:
            return visible.reshape(shape)
        added = torch.full_like(pairs.origin, -torch.inf, dtype=call.q.dtype)
        added[visible] = terms.real(bias, pairs.select(visible)).to(call.q.dtype)
    return added.reshape(shape)
