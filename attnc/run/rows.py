"""What is known of the visible keys of a row.

Enters: the visible pairs and their scores. Leaves: reductions over each row. A row that sees no key has no pair, so it
does not occur here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from attnc.run.points import Points
from attnc.run.scaled import Number, Scaled, call_scaled, finite, plain


@dataclass(frozen=True)
class Rows:
    """The visible pairs and the score of each."""

    pairs: Points
    score: Tensor

    @property
    def of(self) -> Tensor:
        """For each pair the number of its row."""
        return self.pairs.rows.of

    @cached_property
    def count(self) -> Tensor:
        """How many keys each row sees."""
        return self._sum(torch.ones_like(self.score))

    def reduce(self, kind: Literal["sum", "max", "min", "mean"], x: Number) -> Number:
        """One number for each row, from one for each pair."""
        if isinstance(x, Scaled):
            power = finite(self._largest(x.power.detach()))
            mantissa = x.mantissa * (x.power - power[self.of]).exp()
            return Scaled(self._reduce(kind, mantissa), power)
        return self._reduce(kind, plain(x))

    def log_sum_exp(self) -> Tensor:
        """The natural logarithm of the sum of exp(s), for each row."""
        return plain(call_scaled("log", self.reduce("sum", call_scaled("exp", self.score))))

    def _reduce(self, kind: Literal["sum", "max", "min", "mean"], x: Tensor) -> Tensor:
        match kind:
            case "sum":
                return self._sum(x)
            case "mean":
                return self._sum(x) / self.count
            case "max":
                return self._largest(x)
            case "min":
                return -self._largest(-x)

    def _sum(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(self.pairs.rows.points)).index_add(0, self.of, x)

    def _largest(self, x: Tensor) -> Tensor:
        """The largest of each row. Of several that are equal it is the first, which gets the gradient."""
        rows = x.new_zeros(len(self.pairs.rows.points))
        largest = rows.scatter_reduce(0, self.of, x.detach(), "amax", include_self=False)
        numbers = torch.arange(len(x), device=x.device)
        is_largest = (x.detach() == largest[self.of]) | x.detach().isnan()
        numbers = torch.where(is_largest, numbers, len(x))
        first = torch.full_like(rows, len(x), dtype=torch.long).scatter_reduce(0, self.of, numbers, "amin")
        return x[first]
