"""Terms as Triton writes them.

Enters: terms. Leaves: expressions over `tl`, in which `i` and `j` are 2-D: a column and a row of a tile, or the other
way about. Triton's `//` and `%` truncate at run time, so they stand bare only where the dividend is provably not
negative; elsewhere a helper with Python's meaning does it. No expression here reads outside of an array.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType

from attnc.analyze.facts import Requirement
from attnc.ir import build
from attnc.ir.nodes import (
    Attention,
    Bool,
    FromInt,
    Index,
    Int,
    IntConst,
    IntLoad,
    Node,
    Real,
    RealConst,
    Size,
)
from attnc.ir.walk import axes_of, holds, walk
from attnc.kernel.arguments import pointer_to, stride_of
from attnc.kernel.build import Namespace, chain, function
from attnc.kernel.expressions import Expr, Lit, Unary, Var
from attnc.lower.conversions import Position, convert_by_token
from attnc.lower.int_ranges import IntRanges
from attnc.lower.per_pair import is_searched
from attnc.lower.terms import Terms

tl = Namespace("tl")
INT64 = tl.value("int64")
INT32 = tl.value("int32")


class TritonTerms(Terms):
    """Terms in a Triton kernel, where an array is a pointer and leaves its name to the element that is read."""

    dtype = tl.value("float32")
    float64 = tl.value("float64")
    moving: Position = "j"  # what the loop over tiles moves along

    def __init__(
        self,
        attention: Attention,
        ints: IntRanges,
        named: Mapping[Node, Expr],
        requires: tuple[Requirement, ...] = (),
        places: Mapping[Node, Node] = MappingProxyType({}),
    ) -> None:
        self.ints = ints
        super().__init__(attention, named, requires, places)

    def instead(self, term: Node) -> Node:
        if isinstance(term, FromInt):
            return convert_by_token(term, self.moving)
        return self.places.get(term, term) if self.places else term

    def not_negative(self) -> Iterator[Int]:
        """A remainder by a positive number, and how far it is below that."""
        for part in walk(self.attention.mask):
            match part:
                case IntLoad(array) if (by := self.ints.remainders.get(array)) and self.proofs.is_below(
                    IntConst(0), by
                ):
                    yield part
                    yield build.integer("-", build.integer("-", by, part), IntConst(1))

    def key_head(self) -> Expr:
        """A program knows it, where kernels see the heads of keys that the call has."""
        return super().key_head() if Size("HKV") in self.places else Var("h_kv")

    @property
    def variables(self) -> set[str]:
        return {self.attention.variable(p.name) for p in self.attention.params if not p.sizes}

    def over_tile(self, kind: str, axis: str, a: Int) -> Expr:
        inside = Var(axis) < Var("N" if axis == "i" else "M")
        return function("_least" if kind == "min" else "_greatest")(self(a), inside)

    def floor_divide(self, a: Int, b: Int) -> Expr:
        if self._divides_plainly(a, b):
            return self(a) // self(b)
        return function("_floor_divide")(self(a), self(b))

    def floor_modulo(self, a: Int, b: Int) -> Expr:
        if self._divides_plainly(a, b):
            return self(a) % self(b)
        return function("_floor_modulo")(self(a), self(b))

    def _divides_plainly(self, a: Int, b: Int) -> bool:
        """Truncation and floor agree where the dividend is not negative and the divisor is positive."""
        return self.proofs.is_nonnegative(a) and self.proofs.is_below(IntConst(0), b)

    def number(self, value: int) -> Expr:
        """Triton takes a number for one of the other side's type, and refuses those that it has not."""
        return Lit(value) if abs(value) < 2**31 else tl.cast(value, INT64)

    def product(self, a: Int, b: Int) -> Expr:
        if self.ints.is_wide(build.integer("*", a, b), self.moving):
            return tl.cast(self(a), INT64) * self(b)
        return self(a) * self(b)

    def has_wide(self, term: Node) -> bool:
        """Has it parts of 64 bits? Heads and batch entries have them, and what is read from arrays may."""
        if holds(term, IntLoad) or not {Index("b"), Index("h")}.isdisjoint(walk(term)):
            return True
        return self.ints.is_wide(term, self.moving)

    def extremum(self, op: str, a: Node, b: Node) -> Expr:
        return (tl.minimum if op == "min" else tl.maximum)(self(a), self(b))

    def absolute(self, a: Node) -> Expr:
        return tl.abs(self(a))

    def where(self, cond: Bool, a: Node, b: Node) -> Expr:
        return tl.where(self(cond), self(a), self(b))

    def both(self, op: str, items: tuple[Bool, ...]) -> Expr:
        return chain("&" if op == "and" else "|", [self(item) for item in items])

    def negation(self, a: Bool) -> Expr:
        return tl.where(self(a), False, True) if not axes_of(a) else Unary("~", self(a))

    def floor(self, a: Real) -> Expr:
        return tl.cast(tl.floor(self.exact()(a)), INT32)

    def to_real(self, a: Int) -> Expr:
        return self(a).to(self.dtype) if axes_of(a) else tl.cast(self(a), self.dtype)

    def power(self, a: Real, b: Real) -> Expr:
        if b == RealConst(2.0):
            return self(a) * self(a)
        return function("_power")(self(a), self(b))

    def function(self, fn: str, a: Real) -> Expr:
        value = self(a)
        match fn:
            case "relu":
                return tl.maximum(value, 0.0)
            case "silu":
                return value * tl.sigmoid(value)
            case "tanh" | "softplus":
                return function(f"_{fn}")(value)
        return tl.function(fn)(value)

    def load(self, array: str, index: tuple[Int, ...]) -> Expr:
        param = self.attention.param(array)
        offset: Expr = Var(pointer_to(self.attention.variable(array)))
        guards = _Guards()
        axes = frozenset().union(*map(axes_of, index))
        if "i" in axes:
            guards.of_tokens.append(Var("i") < Var("N"))
        if "j" in axes:
            guards.of_tokens.append(Var("j") < Var("M"))
        for dim, (item, size) in enumerate(zip(index, param.sizes, strict=True)):
            if not self.is_inside(item, size):
                guards.of(item).extend((self(item) >= 0, self(item) < self(size)))
            offset = offset + self._place(item) * self._stride(array, dim)
        inside = guards.all
        if array in self.ints.bounds:
            return function("_load_bound")(offset, Lit(True) if inside is None else inside)
        value = tl.load(offset) if inside is None else tl.load(offset, mask=inside, other=0)
        if array in self.ints.remainders:
            return function("_floor_modulo")(value, self(self.ints.remainders[array])).to(INT32)
        return value.to(self.dtype) if param.sort == "float" else value

    def _stride(self, array: str, dim: int) -> Expr:
        return Var(stride_of(self.attention.variable(array), dim))

    def _place(self, item: Int) -> Expr:
        """An index in 64 bits, since strides may be large; `b` and `h` have them already, and 0 is as good as it is."""
        if item in (Index("b"), Index("h"), IntConst(0)):
            return self(item)
        return self(item).to(INT64) if axes_of(item) else tl.cast(self(item), INT64)

    def member(self, item: Int, array: str, index: tuple[Int, ...]) -> Expr:
        param = self.attention.param(array)
        row: Expr = Var(pointer_to(self.attention.variable(array)))
        guards = _Guards()
        for dim, (part, size) in enumerate(zip(index, param.sizes, strict=False)):
            row = row + self._place(part) * self._stride(array, dim)
            if "i" in axes_of(part):
                guards.of_tokens.append(Var("i") < Var("N"))
            if not self.is_inside(part, size):
                guards.of(part).extend((self(part) >= 0, self(part) < self(size)))
        inside = Lit(True) if guards.all is None else guards.all
        last = len(index)
        slots = param.sizes[last]
        search = function("_is_member" if is_searched(slots) else "_is_one_of")
        return search(self(item), row, self(slots), self._stride(array, last), inside)


@dataclass(frozen=True, slots=True)
class _Guards:
    """What has to hold for an array to be read: of each token of a tile, and of a whole program."""

    of_tokens: list[Expr] = field(default_factory=list)
    of_program: list[Expr] = field(default_factory=list)

    def of(self, item: Int) -> list[Expr]:
        return self.of_tokens if axes_of(item) & {"i", "j"} else self.of_program

    @property
    def all(self) -> Expr | None:
        """All of it; None where nothing has to. A tile `&` one truth is no mask in Triton's interpreter."""
        tokens, program = (
            reduce(Expr.__and__, each) if each else None for each in (self.of_tokens, self.of_program)
        )
        if tokens is None or program is None:
            return tokens or program
        return tl.where(program, tokens, False)
