"""The weights of an attention, put together again from the terms that were found.

Enters: a compilation with `Linear` facts, and a call. Leaves: the weight of every pair, [B, H, N, M].
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from sides import Sides
from torch import Tensor

from attnc.algebra.fold import Fold, Softmax
from attnc.algebra.separated import Term
from attnc.analyze.facts import Linear, TokenMask
from attnc.compiler import Compilation
from attnc.ir.nodes import (
    Attention,
    Index,
    Int,
    LogSumExp,
    Node,
    Real,
    RealLoad,
    RowLog,
    RowMax,
    RowSum,
    VecInput,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import replace_terms
from attnc.run.interpreter import interpret
from attnc.run.sizes import sizes_of
from attnc.run.terms import Terms
from attnc.run.values import int_value

AT_ROW = (Index("b"), Index("h"), Index("i"))


def weights_of(attention: Attention, q: Tensor, k: Tensor, arguments: dict[str, Any]) -> Tensor:
    """The weight of every pair, by the interpreter: values are rows of the identity."""
    keys = k.shape[2]
    v = torch.eye(keys, dtype=q.dtype).expand(*k.shape[:2], keys, keys)
    plain = replace(attention, value=VecInput("v"), output=VecInput("o"))
    found = interpret(plain, q, k, v, arguments)
    assert isinstance(found, Tensor)
    return found


def sides_of(attention: Attention, q: Tensor, k: Tensor, arguments: dict[str, Any]) -> Sides:
    """A call, in which `q` and `k` are those of a score."""
    sizes = sizes_of(q, k, k)
    values: dict[str, Any] = arguments | sizes | {"scale": sizes["D"] ** -0.5}
    wide = k.repeat_interleave(sizes["H"] // sizes["HKV"], dim=1)
    raw = {
        "q": lambda at: q[at.index["b"], at.index["h"], at.index["i"]],
        "k": lambda at: wide[at.index["b"], at.index["h"], at.index["j"]],
    }
    clauses = {"q": attention.query, "k": attention.key}
    vectors = {name: lambda at, of=of: Terms(values, raw).vector(of, at) for name, of in clauses.items()}
    return Sides(values, vectors)


def visible(mask: TokenMask, sides: Sides) -> Tensor:
    """Which pairs a mask of tokens shows."""
    i, j = torch.arange(sides.values["N"])[:, None], torch.arange(sides.values["M"])[None, :]
    seen = (
        sides.condition(mask.sees_query, "i")[..., :, None]
        & sides.condition(mask.sees_key, "j")[..., None, :]
    )
    if mask.causal is not None:
        seen = seen & (j <= i + sides.integer(mask.causal)[..., None, None])
    if mask.document is not None:
        there = replace_terms(mask.document, lambda part: Index("j") if part == Index("i") else None)
        assert isinstance(there, Int)
        of_query, of_key = sides.integer(mask.document, "i"), sides.integer(there, "j")
        seen = seen & (of_query[..., :, None] == of_key[..., None, :])
    return seen


class Rebuilt:
    """Of one call."""

    def __init__(self, compilation: Compilation, q: Tensor, k: Tensor, arguments: dict[str, Any]) -> None:
        facts = compilation.facts
        assert isinstance(facts.linear, Linear)
        self.linear, self.passes = facts.linear, facts.weights
        self.sides = sides_of(compilation.attention, q, k, arguments)
        self.seen = visible(facts.linear.mask, self.sides)

    @property
    def weights(self) -> Tensor:
        """What the interpreter should find."""
        for each, sums in zip(self.passes.before, self.linear.before, strict=True):
            totals = [self.sum_of(terms) for terms in sums]
            self.sides.values |= {name: self._row(term, each.fold, totals) for name, term in each.numbers}
        fold = self.passes.fold
        assert fold is not None
        whole = self.sides.kernel(self.linear.weight)
        sums = [self.sum_of(terms) for terms in self.linear.sums]
        if isinstance(fold, Softmax):
            whole = whole / sums[0].clamp(min=1e-300)[..., None]
        if self.passes.gate is not None:
            whole = whole * self._row(self.passes.gate, fold, sums)[..., None]
        return torch.where(self.seen, whole, 0.0)

    def sum_of(self, terms: tuple[Term, ...]) -> Tensor:
        return torch.where(self.seen, self.sides.kernel(terms), 0.0).sum(-1)

    def _row(self, term: Real, fold: Fold, sums: list[Tensor]) -> Tensor:
        """A number of each row, of its sums."""
        numbers = {f"sum_{n}_": total for n, total in enumerate(sums, 1)}
        if isinstance(fold, Softmax):
            numbers["lse_"] = numbers["row_log_"] = sums[0].log()
            numbers["row_max_"] = torch.zeros_like(sums[0])
        self.sides.values |= numbers

        def read(part: Node) -> Node | None:
            match part:
                case RowSum(number):
                    return RealLoad(f"sum_{number}_", AT_ROW)
                case LogSumExp() | RowMax() | RowLog():
                    return RealLoad(f"{print_ir(part)}_", AT_ROW)
            return None

        found = replace_terms(term, read)
        assert isinstance(found, Real)
        return self.sides.real(found, "i")


def draw(
    compilation: Compilation, tokens: int = 20, width: int = 4, seed: int = 0
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Queries, keys, and an argument for each parameter by what its name stands for."""
    make = torch.Generator().manual_seed(seed)
    sizes = {"B": 2, "H": 2, "HKV": 1, "N": tokens, "M": tokens, "D": width}
    q, k = (torch.randn(2, heads, tokens, width, generator=make, dtype=torch.float64) for heads in (2, 1))
    arguments: dict[str, Any] = {}
    for param in compilation.attention.params:
        shape = [int_value(each, sizes) for each in param.sizes]
        drawn = torch.rand(shape, generator=make, dtype=torch.float64)
        match param.sort, param.name:
            case "float", ("G" | "A" | "P"):
                arguments[param.name] = -(0.2 * drawn).cumsum(2)
            case "float", "gamma":
                arguments[param.name] = 0.8 + 0.2 * drawn
            case "float", _:
                arguments[param.name] = drawn + 0.1 if shape else 0.7
            case "int", "doc":
                arguments[param.name] = (torch.arange(tokens) // 7).expand(shape).contiguous()
            case "int", _:
                arguments[param.name] = torch.full(shape, tokens - 3) if shape else 7
            case _:
                arguments[param.name] = drawn > 0.5 if shape else True
    return q, k, arguments
