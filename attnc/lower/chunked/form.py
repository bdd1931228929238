"""The recurrence of a linear weight: what a chunk is given for each token.

A value: separated terms, and the mask. It says how a state fades, and what the tensors of the tokens are called, which
`features.py` makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnc.algebra.separated import Term
from attnc.analyze.decays import left_at_last_key
from attnc.analyze.facts import TokenMask

Gates = Literal["none", "steps", "channels"]


@dataclass(frozen=True, slots=True)
class Form:
    """A weight or a sum of weights, as features of queries and keys. `number` tells the tensors of several apart.

    `sums` are the numbers of the sums that it is, counted from 1; one may weigh values too. One that `divides`
    is a softmax of scores that know no query but for what cancels: its weights come to 1.
    """

    terms: tuple[Term, ...]
    mask: TokenMask
    number: int
    sums: tuple[int, ...]
    weighs_values: bool = False
    divides: bool = False

    @property
    def query(self) -> str:
        """The features of queries, [B, H, N, F]."""
        return self._named("query")

    @property
    def key(self) -> str:
        """The features of keys, [B, heads of keys, M, F]."""
        return self._named("key")

    @property
    def steps(self) -> str | None:
        """What the state fades by at each key, [B, H, M] or [B, H, M, F]; None where it does not."""
        return None if self.gates == "none" else self._named("steps")

    @property
    def tensors(self) -> tuple[str, ...]:
        """Features, and steps where there are some."""
        return (self.query, self.key, *([self.steps] if self.steps else []))

    @property
    def gates(self) -> Gates:
        """One number for each step, where all features fade alike; one for each channel, where they do not."""
        if self.mask.causal is None:
            return "none"
        if self.divides:
            return "steps"
        if any(dot.gate for term in self.terms for dot in term.dots):
            return "channels"
        exponents = {term.exponent for term in self.terms}
        if exponents == {None}:
            return "none"
        return "steps" if len(exponents) == 1 else "channels"

    @property
    def is_decay(self) -> bool:
        """Do all exponents fade from the last key that a query sees?"""
        offset = self.mask.causal
        return (
            not self.divides
            and offset is not None
            and all(
                left_at_last_key(pair, offset) is not None for term in self.terms for pair in term.exponents
            )
        )

    def _named(self, name: str) -> str:
        return name if self.number == 1 else f"{name}_{self.number}"
