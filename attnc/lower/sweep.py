"""A sweep: one pass over the keys of every row, as every schedule has it.

A value. What is kept of a row, and what becomes of it, is the same whatever the schedule; how it is computed is what a
schedule adds, in a class of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self

from attnc.algebra.derivative import ONE
from attnc.algebra.fold import Fold, Largest
from attnc.analyze.facts import Reason, Requirement, Rows
from attnc.ir.nodes import Attention, Int, Node, Param, Real, RealLoad, RowLog, RowSum, Score
from attnc.ir.walk import holds, walk

NOTHING: Mapping[Node, Node] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class RowArray(Param):
    """A number of each row, [B, H, N], that an earlier sweep has left. No user declared it."""


@dataclass(frozen=True)
class Sweep:
    """One pass over the keys of every row of `spec`, the attention as written.

    The last one weighs values. Those before it have a `number`, counted from 1, and leave `numbers` of their rows,
    which are the `row_arrays` of those after them. `fold` is what is kept of a row, and `gate` what the result of a row
    is multiplied with in the end.
    """

    spec: Attention
    fold: Fold
    gate: Real | None
    rows: Rows
    number: int
    numbers: tuple[tuple[str, Real], ...]
    because: tuple[Reason, ...]

    @property
    def params(self) -> tuple[Param, ...]:
        """What its functions take: the parameters of the spec, and arrays that nobody wrote."""
        return self.spec.params

    @property
    def row_arrays(self) -> tuple[RowArray, ...]:
        """What earlier sweeps have left."""
        return ()

    @property
    def places(self) -> Mapping[Node, Node]:
        """What is computed in the place of a term."""
        return NOTHING

    @property
    def requires(self) -> tuple[Requirement, ...]:
        """What a call must meet, and checks."""
        return ()

    @property
    def positive(self) -> tuple[Real, ...]:
        """What has to be above 0 in a call."""
        return ()

    @property
    def counted(self) -> Int | None:
        """What a call keeps below 2**29, since kernels count in 32 bits; None where there is no such number."""
        return None

    @property
    def lost(self) -> Mapping[RealLoad, Real]:
        """Readings of arrays that the weights of a row do not depend on, with their slopes: the log-sum-exp does."""
        return {}

    @property
    def why_no_state(self) -> Reason | None:
        """Why no tokens can stand in front of those of a call; None where they can."""
        return Reason("its keys are looked at pair by pair, and no state holds them")

    @property
    def key_heads(self) -> str | None:
        """The argument that says how many heads the keys of a call have, where kernels see other ones."""
        return None

    def setting_apart(self, names: tuple[str, ...]) -> Self:
        """The same, where these names of the spec are others in emitted code."""
        return replace(self, spec=self.spec.setting_apart(names))

    def named(self, name: str) -> str:
        """The name of a function of this sweep."""
        return f"{name}_{self.number}" if self.number else name

    @property
    def weighs_values(self) -> bool:
        return not self.number

    @property
    def has_gradient(self) -> bool:
        """Do its results change with any float tensor? Counts do not, and nor does the place of a key."""
        if isinstance(self.fold, Largest):
            return False
        return self.weighs_values or len(self.constant_numbers) < len(self.numbers)

    @property
    def constant_numbers(self) -> frozenset[str]:
        """Those that change with no float tensor; the number of the largest key does, by that key."""
        if isinstance(self.fold, Largest):
            return frozenset()
        return frozenset(name for name, term in self.numbers if self._is_constant(term))

    def _is_constant(self, number: Real) -> bool:
        """As a count is."""
        for part in walk(number):
            match part:
                case RowLog() | RealLoad():
                    return False
                case RowSum(n):
                    each = self.fold.sums[n - 1]
                    if holds(each, Score, RealLoad):
                        return False
        return True

    @property
    def is_in_base_2(self) -> bool:
        """Are scores multiplied with log2(e), so that weights are powers of 2?"""
        return False

    @property
    def outputs(self) -> tuple[str, ...]:
        """All that a forward pass leaves: results, and what it remembers."""
        return (*self.results, *self.remembered)

    @property
    def results(self) -> tuple[str, ...]:
        """What a forward pass leaves for others; each of these has a gradient."""
        return ("out", *self.row_results) if self.weighs_values else self.row_results

    @property
    def row_results(self) -> tuple[str, ...]:
        """What the kernels leave for each row beside the result."""
        return tuple(name for name, _ in self.fold.left)

    @property
    def remembered(self) -> tuple[str, ...]:
        """What a forward pass leaves of each row for the backward pass; it has no gradient."""
        return tuple(name for name, _ in self.fold.remembered)

    @property
    def saved(self) -> tuple[str, ...]:
        """What the forward pass has left that the backward pass reads."""
        if not self.remembered:
            return ()
        return ("out", *self.remembered) if self.weighs_values else self.remembered

    @property
    def count(self) -> str | None:
        """The row's number of visible keys, where it is a sum."""
        return f"sum_{self.fold.sums.index(ONE) + 1}" if ONE in self.fold.sums else None


def said_results(sweep: Sweep) -> str:
    """What a forward function returns, in words."""
    rows = sweep.row_results
    named = f"{', '.join(rows[:-1])}{' and ' if rows[1:] else ''}{rows[-1]} [B, H, N]" if rows else ""
    if not sweep.weighs_values:
        return named
    return f"out [B, H, N, DV]{' and ' if len(rows) == 1 else ', ' if rows else ''}{named}"
