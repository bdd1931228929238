"""Tensors and parameter values for a case.

Enters: an attention and a case. Leaves: `Inputs`, rounded to the dtype of the case. What a spec allows is not written
down anywhere but in its meaning, so candidates are tried in a fixed order and the interpreter is the judge: the first
that it computes without an error, and to finite numbers, is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnc.errors import AttncError
from attnc.ir.nodes import (
    Attention,
    BoolLoad,
    Index,
    IntLoad,
    IntParam,
    Member,
    Param,
    RealLoad,
    RealParam,
    Size,
    Total,
    VecInput,
    VecLoad,
    VecTotal,
)
from attnc.ir.walk import walk
from attnc.run.limits import FAR
from attnc.run.sizes import shapes_of
from attnc.run.values import int_value
from attnc.verify.cases import Case

if TYPE_CHECKING:
    from attnc.compiler import Compilation

ATTEMPTS = 24
FLOATS: tuple[float | None, ...] = (None, 0.7, 1.5, -0.6, 3.0, 0.25)  # None: the default, if there is one
SIZES = (None, 8, 1, 16, 33, 64)  # for an int that an array is as large as
ENTRIES = ((0, 4), (-1, 40), (0, 1), (0, 2), (-3, 300))
MANY_ENTRIES = 2**20


class Unfit(Exception):
    """These values are no call of this attention."""


@dataclass(frozen=True)
class Inputs:
    """A call, and the gradients of its results. `case` is the one asked for with the sizes and numbers it got."""

    case: Case
    tensors: dict[str, Tensor]
    arguments: dict[str, Any]
    dout: Tensor
    dlse: Tensor

    @property
    def floats(self) -> dict[str, Tensor]:
        """Everything that gets a gradient: q, k, v and the float arrays."""
        arrays = {n: x for n, x in self.arguments.items() if isinstance(x, Tensor) and x.is_floating_point()}
        return {**self.tensors, **arrays}

    def leaves(self, dtype: torch.dtype | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Fresh tensors that require gradients, and all arguments, in the dtypes they have or in `dtype`."""
        fresh = {
            n: (x if dtype is None else x.to(dtype)).detach().requires_grad_() for n, x in self.floats.items()
        }
        return {n: fresh[n] for n in self.tensors}, {n: fresh.get(n, x) for n, x in self.arguments.items()}


def is_square(attention: Attention) -> bool:
    """Does the spec make sense only with as many keys as queries?"""
    for clause in attention.clauses.values():
        for part in walk(clause):
            match part:
                case VecInput("v_i"):
                    return True
                case IntLoad(name, index) | RealLoad(name, index) | BoolLoad(name, index):
                    pass
                case (
                    VecLoad(name, index) | Member(_, name, index) | Total(name, index) | VecTotal(name, index)
                ):
                    pass
                case _:
                    continue
            for item, size in zip(index, attention.param(name).sizes, strict=False):
                if (item, size) in ((Index("j"), Size("N")), (Index("i"), Size("M"))):
                    return True
    return bool(attention.grid)


def candidates(compilation: Compilation, case: Case) -> Iterator[Inputs]:
    """Inputs to try, the most telling first."""
    for attempt in range(ATTEMPTS):
        try:
            yield _Maker(compilation.attention, case, attempt).make(compilation)
        except Unfit:
            continue


class _Maker:
    def __init__(self, attention: Attention, case: Case, attempt: int) -> None:
        self.attention, self.case, self.attempt = attention, case, attempt
        self.generator = torch.Generator().manual_seed(1000 * case.variant + attempt)
        self.dtype = getattr(torch, case.dtype)

    def make(self, compilation: Compilation) -> Inputs:
        numbers = self._numbers()
        case = self.case = self._with_grid(numbers)
        sizes = {name: getattr(case, name) for name in ("B", "H", "HKV", "N", "M", "D", "DV")}
        known = sizes | {name: value for name, value in numbers.items() if type(value) is int}
        facts = compilation.facts
        for required in (*facts.keys.requires, *facts.queries.requires):
            if _size(required.term, known) < 1:
                raise Unfit
        if case.backend != "cpu" and any(_size(count, known) >= FAR for count in compilation.counts):
            raise Unfit
        arrays = {p.name: self._array(p, known) for p in self.attention.params if p.sizes}
        self._refuse_below_0(compilation, arrays | numbers)
        shapes = shapes_of(sizes)
        tensors = {n: self._laid_out(self._normal(*x)) for n, x in zip("qkv", shapes, strict=True)}
        rows = shapes[0][:3]
        lse_dtype = torch.promote_types(self.dtype, torch.float32)
        return Inputs(
            case=replace(case, numbers=tuple(numbers.items())),
            tensors=tensors,
            arguments={p.name: arrays[p.name] if p.sizes else numbers[p.name] for p in self.attention.params},
            dout=self._laid_out(self._normal(*rows, sizes["DV"])),
            dlse=torch.randn(rows, generator=self.generator, dtype=torch.float64).to(lse_dtype),
        )

    def _refuse_below_0(self, compilation: Compilation, values: Mapping[str, Any]) -> None:
        """What fades by a power has its base above 0."""
        try:
            positive = compilation.plan.last.positive
        except AttncError:  # there is no kernel
            return
        for part in (part for base in positive for part in walk(base)):
            match part:
                case RealLoad(name) | RealParam(name) if torch.as_tensor(values[name]).min() <= 0:
                    raise Unfit

    # ---- numbers -----------------------------------------------------------------------------------

    def _numbers(self) -> dict[str, int | float | bool]:
        fixed = dict(self.case.numbers)
        scalars = [p for p in self.attention.params if not p.sizes]
        return {
            p.name: fixed[p.name] if p.name in fixed else self._number(p, n) for n, p in enumerate(scalars)
        }

    def _number(self, param: Param, place: int) -> int | float | bool:
        turn = self.case.variant + self.attempt + 2 * place
        if param.sort == "bool":
            return turn % 2 == 0
        choices: tuple[int | float | None, ...] = FLOATS
        if param.sort == "int":
            n = self.case.N
            choices = (None, 0, 3, n // 2, 10**6, -2, 1, 33)
            if any(
                part == IntParam(param.name)
                for p in self.attention.params
                for s in p.sizes
                for part in walk(s)
            ):
                choices = SIZES
        chosen = choices[turn % len(choices)]
        if chosen is None:
            chosen = choices[1] if param.default is None else param.default
        assert chosen is not None
        return chosen

    def _with_grid(self, numbers: dict[str, int | float | bool]) -> Case:
        """The case with the token counts that the grid's extents make; extents that are parameters get values."""
        case, grid = self.case, self.attention.grid
        for side in ("query", "key"):
            extents = [axis.extent for axis in grid if axis.side == side]
            tokens = case.N if side == "query" else case.M
            for n, extent in enumerate(extents):
                if isinstance(extent, IntParam) and extent.name not in dict(self.case.numbers):
                    first = max(1, isqrt(tokens) - self.case.variant % 2)
                    numbers[extent.name] = (first, max(1, tokens // first), 2)[min(n, 2)]
        known = {name: value for name, value in numbers.items() if type(value) is int}
        for side, name in (("query", "N"), ("key", "M")):
            product = 1
            for axis in grid:
                if axis.side == side:
                    product *= _size(axis.extent, known)
            if any(axis.side == side for axis in grid):
                case = replace(case, N=product) if name == "N" else replace(case, M=product)
        return case

    # ---- arrays ------------------------------------------------------------------------------------

    def _array(self, param: Param, known: dict[str, int]) -> Tensor:
        shape = [_size(size, known) for size in param.sizes]
        if min(shape) < 0 or torch.Size(shape).numel() > MANY_ENTRIES:
            raise Unfit
        if param.sort == "bool":
            return torch.rand(shape, generator=self.generator) < 0.6
        if param.sort == "float":
            array = torch.randn(shape, generator=self.generator, dtype=torch.float64)
            if self.attempt % 4 == 3:  # something in the spec may need positive numbers
                array = array.abs() * 0.5 + 0.05
            if self.attempt % 8 == 7:
                array = array.clamp(max=0.95)
            is_half = self.dtype.itemsize == 2
            dtype = torch.float32 if is_half and self.case.variant % 2 else self.dtype
            return self._laid_out((array * 0.5).to(dtype))
        ranges = {name: (lo, hi) for name, lo, hi in self.case.entries}
        lo, hi = ranges.get(param.name, ENTRIES[(self.case.variant + self.attempt) % len(ENTRIES)])
        array = torch.randint(lo, hi, shape, generator=self.generator)
        if param.sorted:
            array = array.sort(-1)[0]
        return self._laid_out(array.to(torch.int32) if self.case.variant % 2 else array)

    # ---- tensors -----------------------------------------------------------------------------------

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def _laid_out(self, x: Tensor) -> Tensor:
        """The same numbers in the case's layout (`expanded` repeats the first batch entry)."""
        match self.case.layout:
            case "transposed" if x.ndim > 2:
                return x.transpose(1, 2).contiguous().transpose(1, 2)
            case "sliced":
                wide = x.new_zeros([size + 3 for size in x.shape])
                part = wide[tuple(slice(1, size + 1) for size in x.shape)]
                part.copy_(x)
                return part
            case "expanded" if x.ndim > 1:
                return x[:1].expand(x.shape)
            case "strided" if x.ndim > 1:
                return x.mT.contiguous().mT
        return x


def _size(term: Any, known: dict[str, int]) -> int:
    try:
        return int_value(term, known)
    except AttncError:
        raise Unfit from None
