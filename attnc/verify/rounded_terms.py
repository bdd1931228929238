"""The terms of the interpreter, each followed by the error of its operation.

Enters: terms, and what the interpreter needs to know of a call. Leaves: their values in float64, with the errors that
`rounding.py` lists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import torch
from torch import Tensor

from attnc.ir.nodes import (
    Bool,
    Dot,
    Int,
    LogSumExp,
    Real,
    RealCall,
    RealConst,
    RealLoad,
    RealOp,
    RealParam,
    Rope,
    RowLog,
    RowMax,
    RowSum,
    Scale,
    Splat,
    SumD,
    Total,
    Vec,
    VecCall,
    VecInput,
    VecLoad,
    VecTotal,
)
from attnc.ir.walk import axes_of
from attnc.run.points import Points
from attnc.run.scaled import Number, call_scaled, plain
from attnc.run.terms import Terms
from attnc.verify.precision import Precision, finite_part

# Beyond, it matters that numbers have only so many digits.
LARGE = 1e3


@dataclass(frozen=True)
class RoundedTerms(Terms):
    """The terms of the interpreter, each followed by its error.

    `wider` names the arrays that are more precise than q; `coarse` is set within the map of a single token; `lost`
    readings get no gradient here; `lse`, its two parts, and `sums` are what passes leave of every row.
    """

    precision: Precision | None = None
    wider: frozenset[str] = frozenset()
    coarse: bool = False
    lost: frozenset[Real | Vec] = frozenset()
    lse: Tensor | None = None
    row_max: Tensor | None = None
    row_log: Tensor | None = None
    sums: tuple[Tensor, ...] = ()

    # What jumps must jump in the same places: integers and conditions are exact here, as kernels owe them.
    def integer(self, term: Int, at: Points) -> Tensor:
        return Terms(self.values, self.vectors, self.rows).integer(term, at)

    def condition(self, term: Bool, at: Points) -> Tensor:
        return Terms(self.values, self.vectors, self.rows).condition(term, at)

    def number(self, term: Real, at: Points) -> Number:
        r = self.precision
        assert r is not None
        unit = r.stored if self.coarse or isinstance(term, SumD) else r.working
        if isinstance(term, RealCall):
            return self._called(term, unit, at)
        left = self._left(term)
        if left is not None:
            return left[at.index["b"], at.index["h"], at.index["i"]]
        x = super().number(term, at)
        if not isinstance(x, Tensor) or isinstance(term, RealConst | RealParam | Scale):
            return x
        match term:
            case RealLoad() | Total() if term in self.lost:
                return x.detach()
            case RealLoad(array, index):
                # Its gradient is a sum of as many numbers in working precision as there are readings of it.
                return r.rounded(x, 0.0, self._readings(array, index, at).sqrt() * r.working)
            case Total(array, _):  # found in float64, and rounded once
                terms = len(at) / max(1, self.values[array].numel())  # type: ignore[union-attr]
                return r.rounded(x, r.working, sqrt(max(terms, 1.0)) * r.working)
            case Dot(a, b):
                return self._rounded_dot(x, a, b, at)
            case SumD(a):
                with torch.no_grad():
                    size = Terms(self.values, self.vectors, self.rows).vector(a, at).abs().sum(-1)
                return r.rounded(x, unit, unit, size)
            case RealOp("**", a, b):
                exact = Terms(self.values, self.vectors, self.rows)
                with torch.no_grad():
                    logarithm = exact.real(a, at).abs().log() * (exact.real(b, at).abs() + 1)
                size = 1 + finite_part(logarithm).abs()
                return r.rounded(x, 2 * unit, 2 * unit * size, size=x.detach().abs() * size)
            case RealOp("+" | "-" | "*" | "/"):
                if bool((x.detach().abs() > LARGE).any()):
                    return r.rounded(r.on_grid(x, unit), 0.0, unit)
                return r.rounded(x, unit, unit)
        return x

    def _left(self, term: Real) -> Tensor | None:
        """What a pass has left of each row."""
        match term:
            case LogSumExp():
                return self.lse
            case RowMax():
                return self.row_max
            case RowLog():
                return self.row_log
            case RowSum(number):
                return self.sums[number - 1]
        return None

    def _readings(self, array: str, index: tuple[Int, ...], at: Points) -> Tensor:
        """How often the element is read that is read at each point."""
        shape, place = self._array(array).shape, torch.zeros(len(at), dtype=torch.int64)
        for item, size in zip(index, shape, strict=True):
            place = place * size + self.integer(item, at)
        return torch.bincount(place)[place].to(torch.float64) if len(at) else place.to(torch.float64)

    def _called(self, term: RealCall, unit: float, at: Points) -> Tensor:
        """A function of a number. Its derivative is computed from its rounded result: `1 - tanh(x) ** 2`."""
        r = self.precision
        assert r is not None
        argument = self.number(term.a, at)
        y = plain(call_scaled(term.fn, argument))
        x = plain(argument)
        match term.fn:
            case "tanh":
                slope = 1 + 2 * y.detach() ** 2
            case "sigmoid" | "silu":
                slope = 1 + y.detach().abs()
            case _:
                return r.rounded(y, 2 * unit, 2 * unit)
        return r.rounded(y + r.error(slope, unit) * (x - x.detach()), 2 * unit, 2 * unit)

    def _rounded_dot(self, x: Tensor, a: Vec, b: Vec, at: Points) -> Tensor:
        r = self.precision
        assert r is not None
        axes = axes_of(a) | axes_of(b)
        with torch.no_grad():
            exact = Terms(self.values, self.vectors, self.rows)
            if {"i", "j"} <= axes:
                norms = _norm(exact, a, at) * _norm(exact, b, at)
            else:
                norms = (exact.vector(a, at) * exact.vector(b, at)).abs().sum(-1)
        if {"i", "j"} <= axes:
            terms = max(at.sizes["i"], at.sizes["j"])
            backward = r.product + sqrt(terms) * r.working
            return r.rounded(x, r.working, backward, norms)
        return r.rounded(x, 2 * r.stored, r.stored, norms)

    def vector(self, term: Vec, at: Points) -> Tensor:
        r = self.precision
        assert r is not None
        here = self if self.coarse else replace(self, coarse=True)
        x = Terms.vector(here, term, at)
        match term:
            case VecInput():
                return r.rounded(x, 0.0, r.stored)
            case VecLoad() | VecTotal() if term in self.lost:
                return x.detach()
            case VecLoad(array, _):
                return r.rounded(x, r.stored if array in self.wider else 0.0, r.stored)
            case Splat():  # a number of the dtype, which a vector may be equal to
                return r.rounded(r.on_grid(x, r.stored), 0.0, r.stored)
            case Rope():
                first, second = x.detach().chunk(2, -1)
                length = (first**2 + second**2).sqrt()
                return r.rounded(x, 2 * r.stored, 2 * r.stored, torch.cat([length, length], -1))
            case VecCall():
                return r.rounded(x, 2 * r.stored, 2 * r.stored)
        return r.rounded(x, r.stored, r.stored)


def _norm(terms: Terms, vector: Vec, at: Points) -> Tensor:
    """The norm of a vector at every point, from one for each query or key where it has one of the two."""
    axes = axes_of(vector)
    if {"i", "j"} <= axes:
        return terms.vector(vector, at).square().sum(-1).sqrt()
    tokens = at.rows if "i" in axes else at.keys
    return terms.vector(vector, tokens.points).square().sum(-1).sqrt()[tokens.of]
