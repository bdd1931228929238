"""Is it plain attention, which torch has a kernel for?

Enters: an attention and its dot products. Leaves: its kind and its scale, where it is provably softmax over `dot(q, k)`
times a number, of all keys or of those up to the query, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from attnc.ir.nodes import Attention, Bool, Compare, Dot, Index, Real, RealConst, RealOp, Truth, VecInput
from attnc.lower.token_maps import DotPair
from attnc.lower.torch_terms import is_number

PRODUCT = Dot(VecInput("q"), VecInput("k"))
KINDS: dict[Bool, Literal["causal", "full"]] = {
    Compare("<=", Index("j"), Index("i")): "causal",
    Truth(True): "full",
}


@dataclass(frozen=True, slots=True)
class Plain:
    """Plain attention, as SDPA computes it."""

    kind: Literal["causal", "full"]
    scale: Real


def find_plain(attention: Attention, dots: Sequence[DotPair]) -> Plain | None:
    """Plain attention with the tensors q, k and v; None where anything else is in it."""
    kind = KINDS.get(attention.mask)
    if kind is None or [(pair.dot, pair.query, pair.key) for pair in dots] != [(PRODUCT, "q", "k")]:
        return None
    match attention.score:
        case RealOp("*", a, factor) if a == PRODUCT and is_number(factor):
            return Plain(kind, factor)
        case score if score == PRODUCT:
            return Plain(kind, RealConst(1.0))
    return None
