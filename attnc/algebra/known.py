"""The context of a pair: what its `q` and `k` are, and what holds of its terms.

Enters: the clauses of the query and the key, simpler terms, and widths. Leaves: signs of terms that speak of `q` and
`k`, each of them sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from attnc.ir.compose import with_clauses
from attnc.ir.nodes import Int, Node, Real, Vec, VecInput
from attnc.ir.signs import is_at_least_0, is_positive


@dataclass(frozen=True)
class Known:
    """What `query` and `key` say that `q` and `k` are, and what holds at every visible pair.

    `simpler` has terms that are others there; `width` says how many features a vector has, where something says it.
    """

    query: Vec = field(default_factory=lambda: VecInput("q"))
    key: Vec = field(default_factory=lambda: VecInput("k"))
    simpler: Mapping[Node, Node] = field(default_factory=dict)
    width: Callable[[Vec], Int | None] = lambda vec: None

    def is_at_least_0(self, term: Real | Vec) -> bool:
        return is_at_least_0(with_clauses(term, self.query, self.key))

    def is_positive(self, term: Real | Vec) -> bool:
        return is_positive(with_clauses(term, self.query, self.key))
