"""Tensors that are one item for each batch entry.

Enters: a sweep. Leaves: the names of tensors whose first axis is that of batch entries, where nothing else of the
attention depends on the entry. Several calls with such tensors are one call with more entries, which is how an operator
takes the samples of `vmap`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnc.ir.nodes import READINGS, Index, Member, Node, Rank, Size

if TYPE_CHECKING:
    from attnc.lower.tiled.sweep import TiledSweep

ALL_READINGS = (*READINGS, Member, Rank)


def entries_of(sweep: TiledSweep, vectors: tuple[str, ...]) -> tuple[str, ...]:
    """The names, those of `vectors` first; none where the number of an entry, or of all, has another use."""
    params = [p for p in sweep.attention.params if p.sizes]
    arrays = [p.name for p in params if p.sizes[0] == Size("B")]
    terms = [*_terms(sweep), *(size for p in params for size in p.sizes[p.name in arrays :])]
    if _depends_on_entry(terms, set(arrays)):
        return ()
    return (*vectors, *map(sweep.attention.variable, arrays))


def _terms(sweep: TiledSweep) -> list[Node]:
    """All that kernels may evaluate."""
    attention = sweep.attention
    clauses = [attention.mask, attention.score, attention.normalize, sweep.spec.mask, sweep.spec.score]
    ends = [*sweep.cover.keys.ends, *sweep.cover.queries.ends]
    return [*clauses, *ends, *(axis.extent for axis in attention.grid)]


def _depends_on_entry(terms: list[Node], arrays: set[str]) -> bool:
    """Is the entry more in these terms than the first index of such arrays?"""
    entry, todo, seen = Index("b"), list(terms), set[int]()
    while todo:
        term = todo.pop()
        if term in (entry, Size("B")):
            return True
        if id(term) not in seen:
            seen.add(id(term))
            below = list(term.children)
            if isinstance(term, ALL_READINGS) and term.array in arrays and term.index[0] == entry:
                below.remove(entry)
            todo += below
    return False
