"""What a lowering may assume of integers.

Enters: nothing. Leaves: the two questions that a lowering asks about terms, answered by the prover of `sets/`.
"""

from __future__ import annotations

from functools import cached_property

from attnc.ir.nodes import Int
from attnc.sets.convert import to_polynomial
from attnc.sets.prover import Prover


class Proofs:
    """Answers True only where it is proved, at every position of every call."""

    @cached_property
    def _prover(self) -> Prover:
        return Prover()

    def is_nonnegative(self, term: Int) -> bool:
        return self._prover.prove_nonnegative(to_polynomial(term))

    def is_below(self, term: Int, bound: Int) -> bool:
        return self._prover.prove_less(to_polynomial(term), to_polynomial(bound))
