"""Vectors and numbers of all tokens at once, as torch computes them.

Enters: terms of single tokens, and of rows. Leaves: expressions over tensors [B, heads, tokens, width]; what is one
number of a token is a column, and has the width 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Self

from attnc.errors import CompilerBug
from attnc.ir.nodes import (
    KEY_HEAD,
    TOTALS,
    Dot,
    Index,
    Int,
    IntParam,
    LogSumExp,
    Node,
    Rank,
    Real,
    Rope,
    RowLog,
    RowMax,
    RowSum,
    Splat,
    SumD,
    Total,
    Vec,
    VecCall,
    VecIf,
    VecInput,
    VecLoad,
    VecOp,
    VecTotal,
)
from attnc.ir.walk import axes_of, holds, walk
from attnc.kernel.build import Block, Namespace, function
from attnc.kernel.expressions import Attr, Expr, Lit, Op, Tuple, Var
from attnc.lower.choices import shield
from attnc.lower.distances import DISTANCE
from attnc.lower.ranks import find_places
from attnc.lower.sweep import Sweep
from attnc.lower.token_maps import SIZES, TokenMap
from attnc.lower.torch_terms import AXES, TorchTerms, is_number, torch

FUNCTIONAL = Namespace("torch.nn.functional")


class Vectors:
    """Vectors of all tokens of one side, as tensors [B, heads, tokens, width]; numbers have the width 1.

    `places` are those of the sweep, where keys may be laid out for every query head. Vectors have the
    `dtype` of the inputs, sums over features are `wide`.
    """

    dtype: Expr = Var("dtype")
    wide: Expr = Var("wide")

    def __init__(
        self,
        sweep: Sweep,
        named: Mapping[Node, Expr] = MappingProxyType({}),
        places: Mapping[Node, Node] = MappingProxyType({}),
    ) -> None:
        self.sweep = sweep
        self.places = places
        self.spec = replace(sweep.spec, params=(*sweep.spec.params, *sweep.row_arrays))
        self.terms = _TokenTerms(self.spec, named, places=places)
        self.terms.vectors = self

    @property
    def params(self) -> list[str]:
        """The names of what the spec takes, of what earlier passes found, and of what is computed elsewhere."""
        elsewhere = [term.name for term in self.places.values() if isinstance(term, IntParam)]
        return [*(param.name for param in self.spec.params), *elsewhere]

    def enter(self, block: Block) -> None:
        block.lets(("B", "H", "N", "D"), Var("q").attr("shape"))
        if self.sweep.weighs_values:
            block.lets(("HKV", "M", "DV"), Var("v").attr("shape")[1:])
        else:
            block.lets(("HKV", "M"), Var("k").attr("shape")[1:3])
        block.let("dtype", Var("q").attr("dtype"))
        block.let("wide", torch.promote_types(Var("dtype"), torch.value("float32")))
        device = Var("q").attr("device")
        block.let("b", torch.arange(Var("B"), device=device)[:, None, None, None])
        block.let("h", torch.arange(Var("H"), device=device)[:, None, None])
        block.let("h_kv", torch.arange(Var("HKV"), device=device)[:, None, None])
        block.let("i", torch.arange(Var("N"), device=device)[:, None])
        block.let("j", torch.arange(Var("M"), device=device)[None, :])
        # One distance more than there is, so that a call without tokens has an empty range and not a negative one.
        block.let("distance", torch.arange(1 - Var("N"), Var("M") + 1, device=device))

    def name_sums(self, block: Block, terms: Iterable[Node]) -> None:
        """The running sums that these terms read, once for all of them."""
        parts = (part for term in terms for part in walk(term) if isinstance(part, TOTALS))
        sums: dict[tuple[str, int], Expr] = {}
        for array, axis in dict.fromkeys((part.array, len(part.index) - 1) for part in parts):
            sums[array, axis] = block.let(f"{array}_sums", self.terms.sums_of(array, axis))
        self.terms.sums = sums

    def whole(self, token_map: TokenMap) -> Expr:
        """A map as the tensor that the kernel takes."""
        if token_map.side == "distance":
            terms = TorchTerms(self.spec, {DISTANCE: Var("distance")})
            return terms(token_map.term).to(torch.value("int32"))
        if isinstance(token_map.term, Rank):
            return find_places(self.spec, token_map.term)
        if token_map.table is not None:
            return self._products(shield(token_map.term), token_map.side, token_map.table)
        if not token_map.width:
            return self._number(token_map)
        value = self.mapped(token_map.term)
        if token_map.side == "i":
            return value.call("expand", Var("B"), Var("H"), Var("N"), -1)
        return value.call("expand", Var("B"), Var("k").attr("shape")[1], Var("M"), -1)

    def _number(self, token_map: TokenMap) -> Expr:
        """A number of every query or key, for every query head."""
        size = Var("N") if token_map.side == "i" else Var("M")
        value = self.number(shield(token_map.term))
        if token_map.side == "j" and holds(token_map.term, VecInput):
            return function("_for_query_heads")(value, Var("H")).call("expand", Var("B"), Var("H"), size)
        if token_map.side == "j" and not isinstance(token_map.term, Total):
            value = value.call("expand", Var("B"), Var("k").attr("shape")[1], size)
            return function("_for_query_heads")(value, Var("H"))
        return value.call("expand", Var("B"), Var("H"), size)

    def _products(self, term: Node, side: str, dim: int) -> Expr:
        """The products of each token's vector with all rows of an array, in float32 where inputs are narrower."""
        match term:
            case Dot(vector, VecLoad(array, index)):
                dims = {axis: n for n, item in enumerate(index) for axis in axes_of(item) if n != dim}
                order = [*(dims[axis] for axis in ("b", "h") if axis in dims), dim]
                rows: Expr = Var(self.spec.variable(array))
                if order != sorted(order):
                    rows = rows.call("permute", *order, len(index))
                rows = rows[tuple(slice(None) if axis in dims else None for axis in ("b", "h"))]
                if KEY_HEAD in index and KEY_HEAD not in self.terms.named:
                    rows = function("_for_query_heads")(rows, Var("H"))
                value = self(vector).to(self.wide).call("matmul", rows.to(self.wide).attr("mT"))
                if side == "i":
                    return value.call("expand", Var("B"), Var("H"), Var("N"), -1)
                if not holds(vector, VecInput):
                    value = value.call("expand", Var("B"), Var("k").attr("shape")[1], Var("M"), -1)
                    return function("_for_query_heads")(value, Var("H"))
                return function("_for_query_heads")(value, Var("H")).call(
                    "expand", Var("B"), Var("H"), Var("M"), -1
                )
        raise CompilerBug("a table of products that is none")

    def number(self, term: Node) -> Expr:
        """[B, heads, tokens], in float32 where the inputs are in half precision: the kernel scores in it too."""
        match term:
            case SumD(a):
                return self._wide(a).call("sum", -1)
            case Dot(a, b):
                return (self._wide(a) * self._wide(b)).call("sum", -1)
            case Total():
                value = self.terms.total(term.array, term.index)
                if axes_of(term):
                    value = value.call("squeeze", -2 if "j" in axes_of(term) else -1)
                return value.to(self.wide)
        raise CompilerBug(f"{type(term).__name__} is no number of a token")

    def _wide(self, term: Vec) -> Expr:
        return self(term) if self.wide == self.dtype else self(term).to(self.wide)

    def of_row(self, term: Node) -> Expr:
        """A number of each row, as [B, H, N, 1], in float32 where the inputs are in half precision."""
        terms = _RowTerms(self.spec, self.terms.named, places=self.places)
        terms.vectors = self
        return terms(shield(term))

    def mapped(self, term: Node) -> Expr:
        """A map in the dtype of the inputs: what is summed over features is wider, and so is all that it meets."""
        value = self(shield(term))
        return value.to(self.dtype) if holds(term, SumD, Dot) else value

    def __call__(self, term: Node) -> Expr:
        match term:
            case VecInput("v_i"):
                return function("_for_query_heads")(Var("v"), Var("H"))
            case VecInput(name):
                return Var(name)
            case VecLoad(array, index):
                return self._load(array, index)
            case VecTotal(array, index):
                value = self.terms.total(array, index)
                if axes_of(term):
                    value = value.call("squeeze", -3 if "j" in axes_of(term) else -2)
                return value.to(self.dtype)
            case Splat(a):
                value = self.terms(a)
                return _turned(value) if "j" in axes_of(a) and not is_number(a) else value
            case VecOp("min" | "max" as op, a, b):
                return (torch.minimum if op == "min" else torch.maximum)(self._tensor(a), self._tensor(b))
            case VecOp(op, a, b):
                return Op(op, self(a), self(b))
            case VecCall("l2", a):
                return FUNCTIONAL.normalize(self(a), dim=-1)
            case VecCall("silu" | "softplus" as fn, a):
                value = self(a)
                if fn == "silu":
                    return value * torch.sigmoid(value)
                return torch.logaddexp(value, torch.zeros_like(value))
            case VecCall(fn, a):
                return torch.function(fn)(self(a))
            case Rope(a, position, theta):
                place = self._exact(position)
                if is_number(position):
                    place = torch.as_tensor(place)
                return function("_rope")(self(a), place, self._exact(theta))
            case VecIf(cond, a, b):
                test = self.terms(cond)
                if is_number(cond):
                    test = torch.tensor(test)
                elif "j" in axes_of(cond):
                    test = _turned(test)
                return torch.where(test, self(a), self(b))
        raise CompilerBug(f"{type(term).__name__} is no vector")

    def _tensor(self, term: Vec) -> Expr:
        """A vector, also where one number stands for all of its features: torch would not compare it as it is."""
        value = self(term)
        if isinstance(term, Splat) and is_number(term.a):
            return torch.full(Tuple(()), value, dtype=self.dtype, device=Var("q").attr("device"))
        return value

    def _exact(self, term: Real) -> Expr:
        """A column of numbers in float64: half precision has no room for a position, nor float32 for its angle."""
        value = self.terms.exact()(term)
        return _turned(value) if "j" in axes_of(term) and not is_number(term) else value

    def _load(self, array: str, index: tuple[Int, ...]) -> Expr:
        param = self.spec.param(array)
        sizes = param.sizes[:-1]
        value: Expr = Var(self.spec.variable(array))
        axes = [item.axis for item in index if isinstance(item, Index)]
        side = "j" if any("j" in axes_of(item) for item in index) else "i"
        if all(map(self.terms.is_whole_axis, index, sizes)) and len(set(axes)) == len(sizes):
            if sorted(axes, key=AXES.index) != axes:
                order = sorted(range(len(axes)), key=lambda n: AXES.index(axes[n]))
                value = value.call("permute", *order, len(axes))
            items = [slice(None) if axis in axes else None for axis in ("b", "h", side)]
            value = value[(*items, slice(None))]
        else:
            value = value[
                tuple(self.terms.clamped(item, size) for item, size in zip(index, sizes, strict=True))
            ]
            if any(axes_of(item) for item in index):
                value = value.call("squeeze", -3 if side == "j" else -2)
        return value.to(self.dtype)


def _turned(value: Expr) -> Expr:
    """A row of keys as a column, and back."""
    return value.a if isinstance(value, Attr) and value.name == "mT" else value.attr("mT")


class ExactVectors(Vectors):
    """In float64: where rounding would decide, kernels owe what the interpreter finds."""

    dtype = wide = torch.value("float64")

    def __call__(self, term: Node) -> Expr:
        value = super().__call__(term)
        return value.to(self.dtype) if isinstance(term, VecInput) else value

    def condition(self, term: Node) -> Expr:
        """A condition, as a tensor that broadcasts to [B, H, N, M]."""
        self.terms.dtype = self.dtype
        return self.terms(term)


def lay_out(condition: Expr, term: Node) -> Expr:
    """A condition with an axis for each index that it speaks of, in order; with one of length 1 where there is none."""
    axes = axes_of(term)
    whole = condition.call("expand", *(Var(SIZES[axis].name) if axis in axes else Lit(1) for axis in SIZES))
    items = [slice(None) if axis in axes else Lit(0) for axis in SIZES]
    items = items if axes else items[:-1]
    while items and isinstance(items[-1], slice):
        items.pop()
    return whole[tuple(items)] if items else whole


class _TokenTerms(TorchTerms):
    """Numbers of single tokens, where all queries and all keys are there at once."""

    vectors: Vectors
    here = dict.fromkeys(AXES, slice(None))

    def exact(self) -> Self:
        terms = super().exact()
        terms.vectors = self.vectors
        return terms

    def _slices(self, axes: Sequence[str]) -> tuple[Expr | slice, ...]:
        """As elsewhere, but with both positions there: a vector stands behind them."""
        items = super()._slices(axes)
        return items if len(items) > 1 else (Lit(None), *items)

    def _real(self, term: Real) -> Expr:
        if isinstance(term, Dot) and {"i", "j"} <= axes_of(term):
            query, key = (term.a, term.b) if "i" in axes_of(term.a) else (term.b, term.a)
            return self.vectors(query).call("matmul", self.vectors(key).attr("mT"))
        if isinstance(term, SumD | Dot):
            column = self.vectors.number(term).call("unsqueeze", -1)
            return _turned(column) if "j" in axes_of(term) else column
        return super()._real(term)


class _RowTerms(_TokenTerms):
    """Numbers of rows, which know the log-sum-exp and the sums, in the precision that they have."""

    dtype = Var("wide")

    def _real(self, term: Real) -> Expr:
        match term:
            case LogSumExp():
                return Var("lse").call("unsqueeze", -1)
            case RowMax():
                return Var("row_max").call("unsqueeze", -1)
            case RowLog():
                return Var("row_log").call("unsqueeze", -1)
            case RowSum(number):
                return Var(f"sum_{number}").call("unsqueeze", -1)
        return super()._real(term)
