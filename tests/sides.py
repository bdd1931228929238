"""Terms of a query and a key apart, evaluated at the places of their own side alone.

Enters: a call, and `Term`s. Leaves: what they are at every pair, [B, H, N, M]. A query's part is evaluated where no key
is, so that it cannot know one, and the other way around.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnc.algebra.separated import DotFactor, Term
from attnc.ir.nodes import Bool, Int, Real, Vec
from attnc.run.points import Points, all_pairs
from attnc.run.terms import Terms


@dataclass
class Sides:
    """`values` and `vectors` are those of the interpreter; sizes are among the values."""

    values: dict[str, Any]
    vectors: Mapping[str, Callable[[Points], Tensor]]

    def kernel(self, terms: tuple[Term, ...]) -> Tensor:
        """Their sum."""
        whole = torch.zeros(self._shape("i", "j"), dtype=torch.float64)
        for term in terms:
            whole = whole + self.part(term)
        return whole

    def part(self, term: Term) -> Tensor:
        whole = self._call(term.share) * self._query(term.query) * self._key(term.key)
        if term.exponent:
            whole = whole * torch.exp(self._query(term.exponent[0]) - self._key(term.exponent[1]))
        for dot in term.dots:
            whole = whole * self._dot(dot)
        return whole.expand(self._shape("i", "j"))

    def at_pairs(self, term: Real) -> Tensor:
        """A term of a pair as the interpreter evaluates it."""
        return self.real(term, "i", "j")

    def real(self, term: Real, *axes: str) -> Tensor:
        at = self._at(*axes)
        return Terms(self.values, self.vectors).real(term, at).expand(len(at)).reshape(self._shape(*axes))

    def condition(self, term: Bool, *axes: str) -> Tensor:
        return Terms(self.values, self.vectors).condition(term, self._at(*axes)).reshape(self._shape(*axes))

    def integer(self, term: Int, *axes: str) -> Tensor:
        return Terms(self.values, self.vectors).integer(term, self._at(*axes)).reshape(self._shape(*axes))

    def _vector(self, term: Vec, *axes: str) -> Tensor:
        at = self._at(*axes)
        found = Terms(self.values, self.vectors).vector(term, at)
        return found.expand(len(at), found.shape[-1]).reshape(*self._shape(*axes), -1)

    def _shape(self, *axes: str) -> tuple[int, ...]:
        sizes = {"i": self.values["N"], "j": self.values["M"]}
        return self.values["B"], self.values["H"], *(sizes[axis] for axis in axes)

    def _at(self, *axes: str) -> Points:
        return all_pairs(dict(zip(("b", "h", *axes), self._shape(*axes), strict=True)), torch.device("cpu"))  # type: ignore[arg-type]

    def _call(self, term: Real) -> Tensor:
        return self.real(term)[..., None, None]

    def _query(self, term: Real) -> Tensor:
        return self.real(term, "i")[..., :, None]

    def _key(self, term: Real) -> Tensor:
        return self.real(term, "j")[..., None, :]

    def _dot(self, dot: DotFactor) -> Tensor:
        product = self._vector(dot.query, "i")[..., :, None, :] * self._vector(dot.key, "j")[..., None, :, :]
        if dot.gate:
            one, two = self._vector(dot.gate[0], "i"), self._vector(dot.gate[1], "j")
            product = product * torch.exp(one[..., :, None, :] - two[..., None, :, :])
        return product.sum(-1) ** dot.power
