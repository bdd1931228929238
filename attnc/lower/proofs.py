"""What a lowering may assume of integers.

Enters: what the call checks before a kernel runs, and what is known of what it reads. Leaves: the questions that a
lowering asks about terms and ranges, answered by the prover of `sets/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from attnc.analyze.facts import Interval, Periods, Ranges, Requirement
from attnc.ir import build
from attnc.ir.nodes import Int, IntConst, Param, Period
from attnc.sets.convert import sizes_in_order, to_polynomial
from attnc.sets.predicate import nonnegative
from attnc.sets.prover import Prover

# Of periods that are asked about: `[lo, hi)`.
Numbers = tuple[Int, Int]


class Proofs:
    """A prover of integers: True is proved at every position of every call that meets the requirements."""

    def __init__(
        self,
        requires: tuple[Requirement, ...],
        params: tuple[Param, ...] = (),
        numbers: Numbers | None = None,
        not_negative: tuple[Int, ...] = (),
    ) -> None:
        self.requires = requires
        self.params = params
        self.numbers = numbers
        self.not_negative = not_negative

    def in_period(self, periods: Periods) -> Proofs:
        """Where terms speak of one of them."""
        return Proofs(self.requires, self.params, (periods.lo, periods.hi), self.not_negative)

    def in_turn(self, periods: Periods) -> Proofs:
        """Where they speak of one of them, or of the suffix, which has the number after the last."""
        first = build.integer("min", periods.lo, periods.hi)
        numbers = (first, build.integer("+", periods.hi, IntConst(1)))
        return Proofs(self.requires, self.params, numbers, self.not_negative)

    def where(self, not_negative: Iterable[Int]) -> Proofs:
        """Where none of these terms is below 0 either."""
        return Proofs(self.requires, self.params, self.numbers, (*self.not_negative, *not_negative))

    @cached_property
    def _prover(self) -> Prover:
        prover = Prover(in_order=sizes_in_order(self.params))
        for requirement in self.requires:
            prover = prover.given(nonnegative(to_polynomial(requirement.term) - 1))
        for term in self.not_negative:
            prover = prover.given(nonnegative(to_polynomial(term)))
        if self.numbers is not None:
            lo, hi = map(to_polynomial, self.numbers)
            first, last = to_polynomial(Period("first")), to_polynomial(Period("last"))
            for gap in (first - lo, last - first, hi - 1 - last):
                prover = prover.given(nonnegative(gap))
        return prover

    def is_nonnegative(self, term: Int) -> bool:
        return self._prover.prove_nonnegative(to_polynomial(term))

    def without_slivers(self, ranges: Ranges) -> Ranges:
        """The ranges without full intervals of one position at most: they fill no tile."""
        proofs = self.in_period(ranges.periods) if ranges.periods else self

        def unless_sliver(whole: Interval | None) -> Interval | None:
            if whole is None:
                return None
            less = build.integer("-", build.integer("+", whole.lo, IntConst(1)), whole.hi)
            return None if proofs.is_nonnegative(less) else whole

        suffix = ranges.suffix and (ranges.suffix[0], unless_sliver(ranges.suffix[1]))
        return replace(ranges, full=tuple(map(unless_sliver, ranges.full)), suffix=suffix)

    def is_below(self, term: Int, bound: Int) -> bool:
        return self._prover.prove_less(to_polynomial(term), to_polynomial(bound))
