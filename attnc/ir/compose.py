"""Clauses of an attention put into each other.

Enters: a term that speaks of the score, or of the vectors of a score. Leaves: the same in what those are made of.
"""

from __future__ import annotations

from typing import TypeVar

from attnc.ir.nodes import Node, Real, Score, Vec, VecInput
from attnc.ir.walk import replace_terms

T = TypeVar("T", bound=Node)


def with_score(term: T, score: Real) -> T:
    """Each `s` of a normalization as the score that it is."""
    found = replace_terms(term, lambda part: score if part == Score() else None)
    assert isinstance(found, Real | Vec)
    return found  # type: ignore[return-value]


def with_clauses(term: T, query: Vec, key: Vec) -> T:
    """Each `q` and `k` of a score as its clause makes it, of the vectors of the call."""
    clauses: dict[Node, Node] = {VecInput("q"): query, VecInput("k"): key}
    return replace_terms(term, clauses.get)  # type: ignore[return-value]
