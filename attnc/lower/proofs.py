"""What a lowering may assume of integers.

Enters: what the call checks before a kernel runs. Leaves: the two questions that a lowering asks about terms, answered
by the prover of `sets/`.
"""

from __future__ import annotations

from functools import cached_property

from attnc.analyze.facts import Periods, Requirement
from attnc.ir.nodes import Int, Param, Period
from attnc.sets.convert import sizes_in_order, to_polynomial
from attnc.sets.predicate import nonnegative
from attnc.sets.prover import Prover


class Proofs:
    """Answers True only where it is proved, at every position of every call that meets the requirements."""

    def __init__(
        self,
        requires: tuple[Requirement, ...],
        params: tuple[Param, ...] = (),
        periods: Periods | None = None,
    ) -> None:
        self.requires = requires
        self.params = params
        self.periods = periods

    def in_period(self, periods: Periods) -> Proofs:
        """Where terms speak of one of them."""
        return Proofs(self.requires, self.params, periods)

    @cached_property
    def _prover(self) -> Prover:
        prover = Prover(in_order=sizes_in_order(self.params))
        for requirement in self.requires:
            prover = prover.given(nonnegative(to_polynomial(requirement.term) - 1))
        if self.periods is not None:
            number, lo, hi = map(to_polynomial, (Period(), self.periods.lo, self.periods.hi))
            prover = prover.given(nonnegative(number - lo)).given(nonnegative(hi - 1 - number))
        return prover

    def is_nonnegative(self, term: Int) -> bool:
        return self._prover.prove_nonnegative(to_polynomial(term))

    def is_below(self, term: Int, bound: Int) -> bool:
        return self._prover.prove_less(to_polynomial(term), to_polynomial(bound))
