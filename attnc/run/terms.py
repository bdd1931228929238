"""The value of a term at some points.

Enters: a term and points. Leaves: a tensor with one entry for each point: int64, bool, float64, or one float64 vector.
`and`, `or` and `if` go on with the points that still need an answer, so an array is read only where the language says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from attnc.errors import CompilerBug
from attnc.ir.nodes import (
    And,
    Bool,
    BoolIf,
    BoolLoad,
    BoolParam,
    Compare,
    Count,
    Dot,
    Floor,
    FromInt,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntIf,
    IntLoad,
    IntOp,
    IntParam,
    IsPow2,
    Member,
    Node,
    Not,
    Or,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    RealParam,
    Rope,
    Row,
    Scale,
    Score,
    Size,
    Splat,
    SumD,
    Total,
    Truth,
    Vec,
    VecCall,
    VecIf,
    VecInput,
    VecLoad,
    VecOp,
    VecTotal,
)
from attnc.ir.walk import axes_of
from attnc.run import reads
from attnc.run.points import Points, pair_dots
from attnc.run.rows import Rows
from attnc.run.scaled import (
    Number,
    call,
    call_scaled,
    merge,
    merge_scaled,
    operate,
    operate_scaled,
    plain,
    raise_scaled,
    take,
)

WORKING = torch.float64

T = TypeVar("T", bound=Node)

_INTEGER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "//": torch.floor_divide,
    "%": torch.remainder,
    "min": torch.minimum,
    "max": torch.maximum,
}
_COMPARE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "<": torch.lt,
    "<=": torch.le,
    "==": torch.eq,
    "!=": torch.ne,
}


@dataclass(frozen=True)
class Terms:
    """The terms of one clause of one call.

    `values` holds sizes, scalars and arrays by name, and `scale`; `vectors` the vectors that the clause speaks of;
    `rows` what a normalization knows of each row.
    """

    values: Mapping[str, int | float | bool | Tensor]
    vectors: Mapping[str, Callable[[Points], Tensor]] = field(default_factory=dict)
    rows: Rows | None = None

    # ---- integers ----------------------------------------------------------------------------------

    def integer(self, term: Int, at: Points) -> Tensor:
        match term:
            case IntConst(value):
                return self._full(value, torch.int64, at)
            case Index(axis):
                return at.index[axis]
            case Size(name) | IntParam(name):
                return self._full(self.values[name], torch.int64, at)
            case IntOp(op, a, b):
                x, y = self.integer(a, at), self.integer(b, at)
                if op in ("//", "%"):
                    reads.check_divisor(y, op, term, at)
                return _INTEGER[op](x, y)
            case IntAbs(a):
                return self.integer(a, at).abs()
            case IntIf():
                return self._choose(term.cond, self.integer, term.a, term.b, at)
            case IntLoad(array, index):
                return self._load(array, index, term, at)
            case Floor(a):
                x = self.real(a, at)
                reads.check_finite(x, term, at)
                return x.floor().to(torch.int64)
            case _:
                raise CompilerBug(f"no integer: {term!r}")

    # ---- booleans ----------------------------------------------------------------------------------

    def condition(self, term: Bool, at: Points) -> Tensor:
        match term:
            case Truth(value):
                return self._full(value, torch.bool, at)
            case BoolParam(name):
                return self._full(self.values[name], torch.bool, at)
            case Compare(op, Int() as a, Int() as b):
                return _COMPARE[op](self.integer(a, at), self.integer(b, at))
            case Compare(op, Real() as a, Real() as b):
                return _COMPARE[op](self.real(a, at), self.real(b, at))
            case And(items):
                holds = self._full(True, torch.bool, at)
                for item in items:
                    holds[holds.clone()] = self.condition(item, at.select(holds))
                return holds
            case Or(items):
                holds = self._full(False, torch.bool, at)
                for item in items:
                    holds[~holds] = self.condition(item, at.select(~holds))
                return holds
            case Not(a):
                return ~self.condition(a, at)
            case BoolIf():
                return self._choose(term.cond, self.condition, term.a, term.b, at)
            case BoolLoad(array, index):
                return self._load(array, index, term, at)
            case Member(item, array, index):
                x = self.integer(item, at)
                table = self._load(array, index, term, at)
                return (x >= 0) & (table == x[:, None]).any(-1)
            case IsPow2(a):
                x = self.integer(a, at)
                return (x > 0) & (x & (x - 1) == 0)
            case _:
                raise CompilerBug(f"no condition: {term!r}")

    # ---- reals -------------------------------------------------------------------------------------

    def real(self, term: Real, at: Points) -> Tensor:
        return plain(self.number(term, at))

    def number(self, term: Real, at: Points) -> Number:
        match term:
            case RealConst(value):
                return self._full(value, WORKING, at)
            case FromInt(a):
                return self.integer(a, at).to(WORKING)
            case RealParam(name):
                return self._full(self.values[name], WORKING, at)
            case Scale():
                return self._full(self.values["scale"], WORKING, at)
            case RealOp("**", a, RealConst(exponent)):
                return raise_scaled(self.number(a, at), exponent)
            case RealOp(op, a, b):
                return operate_scaled(op, self.number(a, at), self.number(b, at))
            case RealCall(fn, a):
                return call_scaled(fn, self.number(a, at))
            case RealIf():
                holds = self.condition(term.cond, at)
                then = self.number(term.a, at.select(holds))
                return merge_scaled(holds, then, self.number(term.b, at.select(~holds)))
            case RealLoad(array, index):
                return self._load(array, index, term, at)
            case Total(array, index):
                return self._total(array, index, term, at)
            case Dot(a, b):
                return self._dot(a, b, at)
            case SumD(a):
                return self.vector(a, at).sum(-1)
            case Score() if self.rows:
                return self.rows.score[at.origin]
            case Row(kind, a) if self.rows:
                # Over every visible key of the row, whichever points are asked for.
                whole = self.rows.reduce(kind, self.number(a, self.rows.pairs))
                return take(whole, self.rows.of[at.origin])
            case Count() if self.rows:
                return self.rows.count[self.rows.of[at.origin]]
            case _:
                raise CompilerBug(f"no real: {term!r}")

    def _dot(self, a: Vec, b: Vec, at: Points) -> Tensor:
        on_a, on_b = axes_of(a), axes_of(b)
        if "i" in at.index and "j" in at.index:
            if "j" not in on_a and "i" not in on_b:
                return pair_dots(at, self.vector(a, at.rows.points), self.vector(b, at.keys.points))
            if "j" not in on_b and "i" not in on_a:
                return pair_dots(at, self.vector(b, at.rows.points), self.vector(a, at.keys.points))
        return (self.vector(a, at) * self.vector(b, at)).sum(-1)

    # ---- vectors -----------------------------------------------------------------------------------

    def vector(self, term: Vec, at: Points) -> Tensor:
        match term:
            case VecInput(name):
                return self.vectors[name](at)
            case VecLoad(array, index):
                return self._load(array, index, term, at)
            case VecTotal(array, index):
                return self._total(array, index, term, at)
            case Splat(a):
                return self.real(a, at)[:, None]
            case VecOp(op, a, b):
                return operate(op, self.vector(a, at), self.vector(b, at))
            case VecCall("l2", a):
                return functional.normalize(self.vector(a, at), dim=-1, eps=1e-12)
            case VecCall(fn, a) if fn != "l2":
                return call(fn, self.vector(a, at))
            case Rope(a, position, theta):
                return _rotate(self.vector(a, at), self.real(position, at), self.real(theta, at))
            case VecIf():
                return self._choose(term.cond, self.vector, term.a, term.b, at)
            case _:
                raise CompilerBug(f"no vector: {term!r}")

    # ---- of any sort -------------------------------------------------------------------------------

    def _full(self, value: int | float | bool | Tensor, dtype: torch.dtype, at: Points) -> Tensor:
        if isinstance(value, Tensor):
            raise CompilerBug("an array stands for a scalar")
        return torch.full((len(at),), value, dtype=dtype, device=at.origin.device)

    def _choose(self, cond: Bool, evaluate: Callable[[T, Points], Tensor], a: T, b: T, at: Points) -> Tensor:
        """Each branch where it is taken, and only there."""
        holds = self.condition(cond, at)
        return merge(holds, evaluate(a, at.select(holds)), evaluate(b, at.select(~holds)))

    def _load(self, name: str, index: tuple[Int, ...], term: Node, at: Points) -> Tensor:
        return reads.load(name, self._array(name), [self.integer(item, at) for item in index], term, at)

    def _total(self, name: str, index: tuple[Int, ...], term: Node, at: Points) -> Tensor:
        return reads.total(name, self._array(name), [self.integer(item, at) for item in index], term, at)

    def _array(self, name: str) -> Tensor:
        array = self.values[name]
        if not isinstance(array, Tensor):
            raise CompilerBug(f"`{name}` is no array")
        return array


def as_working(x: Tensor) -> Tensor:
    """Floats as doubles, ints as 64 bits, bools as they are."""
    if x.dtype == torch.bool:
        return x
    return x.to(WORKING if x.is_floating_point() else torch.int64)


def _rotate(x: Tensor, position: Tensor, theta: Tensor) -> Tensor:
    width = x.shape[-1]
    pair = torch.arange(width // 2, dtype=WORKING, device=x.device)
    angle = position[:, None] * theta[:, None] ** (-2 * pair / width)
    first, second = x[:, : width // 2], x[:, width // 2 :]
    return torch.cat(
        [first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()], -1
    )
