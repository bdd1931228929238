"""Terms as torch writes them, for the CPU path.

Enters: terms. Leaves: expressions over torch tensors, in which `b`, `h`, `i` and `j` are position tensors that
broadcast to [B, H, queries, keys], and over plain Python numbers where a term is one number for the whole call. An
index that may leave its array is clamped: at a visible pair that is the caller's error, at a masked one it is masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

from attnc.analyze.divisors import find_divisions
from attnc.ir import build
from attnc.ir.nodes import (
    LOADS,
    Bool,
    Dot,
    Index,
    Int,
    IntConst,
    IntOp,
    Member,
    Node,
    Real,
    RealConst,
    RealOp,
    Total,
)
from attnc.ir.signs import is_positive
from attnc.ir.walk import holds, walk
from attnc.kernel.build import Namespace, chain, function
from attnc.kernel.expressions import Expr, Lit, Op, Ternary, Unary, Var
from attnc.lower.terms import Terms, is_scalar

torch = Namespace("torch")
math = Namespace("math")
DTYPE = Var("dtype")
AXES = "bhij"


class TorchTerms(Terms):
    """Terms in the CPU path."""

    here: dict[str, Expr | slice] = {  # noqa: RUF012
        "b": slice(None), "h": Var("heads"), "i": slice(Var("q0"), Var("q1")), "j": Var("seen"),
    }  # fmt: skip

    dtype: Expr = DTYPE
    float64 = torch.value("float64")
    # The running sums of arrays along an axis that have a name.
    sums: Mapping[tuple[str, int], Expr] = MappingProxyType({})

    @property
    def variables(self) -> set[str]:
        return {self.attention.variable(p.name) for p in self.attention.params}

    @cached_property
    def _divisors_of_sizes(self) -> set[Int]:
        """What a call has divided by before anything else: it was refused if it was 0."""
        sizes = [size for param in self.attention.params for size in param.sizes]
        sizes += [axis.extent for axis in self.attention.grid]
        return {
            part.b for size in sizes for part in walk(size) if isinstance(part, IntOp) and part.op in "//%"
        }

    @cached_property
    def _divisors_of_the_call(self) -> set[Node]:
        """Numbers that a call was refused for, if they were 0."""
        return {check.a for check in find_divisions(self.attention)}

    def _real(self, term: Real) -> Expr:
        """Python refuses to divide a number by 0, and torch does not, also where a condition is before it."""
        match term:
            case RealOp("/", a, b) if is_number(term) and self._may_be_0(b):
                return function("_quotient")(self(a), self(b))
            case Total(array, index):
                return self.total(array, index).to(self.dtype)
        return super()._real(term)

    def _may_be_0(self, b: Real) -> bool:
        return b not in self._divisors_of_the_call and not is_positive(b) and not isinstance(b, RealConst)

    def over_tile(self, kind: str, axis: str, a: Int) -> Expr:
        return self(a).call("amin" if kind == "min" else "amax", -2 if axis == "i" else -1, keepdim=True)

    def floor_divide(self, a: Int, b: Int) -> Expr:
        return self(a) // self._divisor(b)

    def floor_modulo(self, a: Int, b: Int) -> Expr:
        return self(a) % self._divisor(b)

    def _divisor(self, b: Int) -> Expr:
        """Torch refuses to divide an integer by 0, also where the spec would not divide. No size is divided by 0."""
        if b in self._divisors_of_sizes:
            return self(b)
        if self.proofs.is_below(IntConst(0), b) or self.proofs.is_below(b, IntConst(0)):
            return self(b)
        return function("_nonzero")(self(b))

    def extremum(self, op: str, a: Node, b: Node) -> Expr:
        if is_number(a) and is_number(b):
            return function(op)(self(a), self(b))
        if is_number(a):
            a, b = b, a
        if is_number(b):
            return self(a).call("clamp", **{"max" if op == "min" else "min": self(b)})
        return (torch.minimum if op == "min" else torch.maximum)(self(a), self(b))

    def absolute(self, a: Node) -> Expr:
        return function("abs")(self(a)) if is_number(a) else self(a).call("abs")

    def where(self, cond: Bool, a: Node, b: Node) -> Expr:
        if is_number(a) and is_number(b) and is_number(cond):
            return Ternary(self(a), self(cond), self(b))
        if is_number(cond):
            return Ternary(self._branch(a), self(cond), self._branch(b))
        return torch.where(self(cond), self._branch(a), self._branch(b))

    def _branch(self, term: Node) -> Expr:
        """A number would not do for a tensor, and fix the result's dtype at float32; as a tensor it does neither."""
        if not is_number(term):
            return self(term)
        return (
            torch.tensor(self(term), dtype=self.dtype) if isinstance(term, Real) else torch.tensor(self(term))
        )

    def both(self, op: str, items: tuple[Bool, ...]) -> Expr:
        if not all(map(is_number, items)):
            op = "&" if op == "and" else "|"
        return chain(op, [self(item) for item in items])

    def negation(self, a: Bool) -> Expr:
        return Unary("not", self(a)) if is_number(a) else Unary("~", self(a))

    def floor(self, a: Real) -> Expr:
        value = self.exact()(a)
        return math.floor(value) if is_number(a) else value.call("floor").call("long")

    def to_real(self, a: Int) -> Expr:
        return self(a) if is_number(a) else self(a).to(self.dtype)

    def power(self, a: Real, b: Real) -> Expr:
        if b == RealConst(2.0):
            return self(a) * self(a)
        if is_number(a) and is_number(b) and not (is_positive(a) or is_whole(b)):
            return function("_raised")(self(a), self(b))
        return Op("**", self(a), self(b))

    def function(self, fn: str, a: Real) -> Expr:
        value = self(a)
        if is_number(a):
            value = torch.tensor(value, dtype=torch.value("float64"))
        match fn:
            case "silu":
                result = value * torch.sigmoid(value)
            case "softplus":
                result = torch.logaddexp(value, torch.zeros_like(value))
            case _:
                result = torch.function(fn)(value)
        return result.call("item") if is_number(a) else result

    def load(self, array: str, index: tuple[Int, ...]) -> Expr:
        param = self.attention.param(array)
        value: Expr = Var(self.attention.variable(array))
        axes = [item.axis for item in index if isinstance(item, Index)]
        natural = all(map(self.is_whole_axis, index, param.sizes)) and len(set(axes)) == len(index)
        if natural:
            if sorted(axes, key=AXES.index) != axes:
                order = sorted(range(len(axes)), key=lambda n: AXES.index(axes[n]))
                value = value.call("permute", *order)
            value = value[self._slices(axes)]
        else:
            value = value[
                tuple(self.clamped(item, size) for item, size in zip(index, param.sizes, strict=True))
            ]
        return value.to(self.dtype) if param.sort == "float" else value

    def total(self, array: str, index: tuple[Int, ...]) -> Expr:
        """What stands in front of the last index, summed in float64: entries, or rows of them."""
        *before, end = index
        *sizes, size = self.attention.param(array).sizes[: len(index)]
        places = [self.clamped(item, of) for item, of in zip(before, sizes, strict=True)]
        last = self(end)
        if not self.is_inside(end, build.integer("+", size, IntConst(1))):
            whole = self(size)
            last = (
                function("min")(function("max")(last, 0), whole)
                if is_number(end)
                else last.call("clamp", 0, whole)
            )
        return self.sums_of(array, len(before))[(*places, last)]

    def sums_of(self, array: str, axis: int) -> Expr:
        """The running sums of an array, in float64."""
        if (array, axis) in self.sums:
            return self.sums[array, axis]
        return function("_running_sums")(Var(self.attention.variable(array)), axis)

    def _slices(self, axes: Sequence[str]) -> tuple[Expr | slice, ...]:
        """The part of an array that a tile of queries and keys sees, as a view that broadcasts."""
        items: list[Expr | slice] = [self.here[axis] if axis in axes else Lit(None) for axis in AXES]
        while isinstance(items[0], Lit):
            items.pop(0)
        return tuple(items)

    def clamped(self, item: Int, size: Int) -> Expr:
        value = self(item)
        if self.is_inside(item, size):
            return value
        if is_number(item):
            return function("min")(function("max")(value, 0), self(size) - 1)
        return value.call("clamp", 0, self(size) - 1)

    def member(self, item: Int, array: str, index: tuple[Int, ...]) -> Expr:
        param = self.attention.param(array)
        row: Expr = Var(self.attention.variable(array))
        if index:
            row = row[tuple(self.clamped(part, size) for part, size in zip(index, param.sizes, strict=False))]
        wanted = self(item) if is_number(item) else self(item).call("unsqueeze", -1)
        return ((row.equals(wanted)) & (row >= 0)).call("any", -1)


def is_whole(exponent: Real) -> bool:
    """Has every number such a power?"""
    return isinstance(exponent, RealConst) and exponent.value >= 0 and exponent.value.is_integer()


def is_number(term: Node) -> bool:
    """Is the term a plain Python number in the CPU path?"""
    return is_scalar(term) and not holds(term, *LOADS, Member, Dot, Total)
