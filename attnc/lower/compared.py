"""What of an attention only comparisons of integers see.

Enters: an attention as its kernels see it. Leaves: those comparisons, outermost ones, and what else is in its clauses.
"""

from __future__ import annotations

from typing import TypeGuard

from attnc.ir.build import TRUE
from attnc.ir.nodes import Attention, Compare, Int, Node
from attnc.ir.walk import replace_terms, walk


def clauses_of(attention: Attention) -> tuple[Node, ...]:
    return (
        attention.query,
        attention.key,
        attention.value,
        attention.mask,
        attention.score,
        attention.normalize,
        attention.output,
    )


def comparisons_of(attention: Attention) -> tuple[Compare, ...]:
    """Comparisons of integers that are in no other."""
    found: dict[Compare, None] = {}

    def note(term: Node) -> Node | None:
        if not is_comparison(term):
            return None
        found[term] = None
        return TRUE

    for clause in clauses_of(attention):
        replace_terms(clause, note)
    return tuple(found)


def elsewhere(attention: Attention) -> frozenset[Node]:
    """Every term that is not a part of one."""
    return frozenset(
        part
        for clause in clauses_of(attention)
        for part in walk(replace_terms(clause, lambda term: TRUE if is_comparison(term) else None))
    )


def is_comparison(term: Node) -> TypeGuard[Compare]:
    return isinstance(term, Compare) and isinstance(term.a, Int)
