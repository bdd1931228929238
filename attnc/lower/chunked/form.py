"""The recurrence of a linear weight: what a chunk is given for each token.

Enters: separated terms, and the mask. Leaves: a `Form`: how many numbers of a step fade, and which exponents are
decays. Each of its tensors is made once for a token (`features.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnc.algebra.separated import Term
from attnc.analyze.facts import TokenMask
from attnc.ir.nodes import IntConst

Gates = Literal["none", "steps", "channels"]


@dataclass(frozen=True, slots=True)
class Form:
    """One weight, or one sum, as features of queries and keys; `number` tells the tensors of several apart.

    `sums` are the numbers of the sums that it is, counted from 1; `weighs` says whether it weighs values too.
    """

    terms: tuple[Term, ...]
    mask: TokenMask
    number: int
    sums: tuple[int, ...]
    weighs: bool

    @property
    def query(self) -> str:
        """The name of the features of queries."""
        return "q" if self.number == 1 else f"query_{self.number}"

    @property
    def key(self) -> str:
        return "k" if self.number == 1 else f"key_{self.number}"

    @property
    def steps(self) -> str | None:
        """The name of what the state fades by at each key, where it does."""
        if self.gates == "none":
            return None
        return "steps" if self.number == 1 else f"steps_{self.number}"

    @property
    def gates(self) -> Gates:
        """One number for each step, where all features fade alike; one for each channel, where they do not."""
        if self.mask.causal is None:
            return "none"
        if any(dot.gate for term in self.terms for dot in term.dots):
            return "channels"
        exponents = {term.exponent for term in self.terms}
        if exponents == {None}:
            return "none"
        return "steps" if len(exponents) == 1 else "channels"

    @property
    def is_decay(self) -> bool:
        """Do queries stand at their own keys, so that a relative exponent is 0 there?"""
        return self.mask.causal == IntConst(0)
