"""Terms of the IR as expressions of the kernel language.

Enters: integer, boolean and real terms. Leaves: kernel expressions, in which `i` and `j` are arrays of positions that
broadcast against each other. What Triton and torch write alike is here; what they write differently is a method of
`TritonTerms` and `TorchTerms`. A term that has a name already (a `let` of the spec, an element that was read, a value
shared with the derivative) is that name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from copy import copy
from types import MappingProxyType
from typing import Self

from attnc.analyze.facts import Requirement
from attnc.errors import CompilerBug
from attnc.ir.nodes import (
    KEY_HEAD,
    And,
    Attention,
    Bool,
    BoolIf,
    BoolLoad,
    BoolParam,
    Compare,
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
    OverTile,
    Period,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    RealParam,
    Scale,
    Size,
    TileEnd,
    Truth,
)
from attnc.ir.walk import axes_of
from attnc.kernel.expressions import Expr, Lit, Op, Unary, Var
from attnc.lower.proofs import Proofs

COMPARE = {"<": "<", "<=": "<=", "==": "==", "!=": "!="}


class Terms(ABC):
    """The lowering of terms: called with one, it answers with its expression. Reals are of `dtype`."""

    dtype: Expr
    float64: Expr

    def __init__(
        self,
        attention: Attention,
        named: Mapping[Node, Expr],
        requires: tuple[Requirement, ...] = (),
        places: Mapping[Node, Node] = MappingProxyType({}),
    ) -> None:
        self.attention = attention
        self.named: dict[Node, Expr] = dict(named)
        self.proofs = Proofs(requires, attention.params)
        self.proofs = self.proofs.where(self.not_negative())
        self.places = places

    def __call__(self, term: Node) -> Expr:
        if term in self.named:
            return self.named[term]
        other = self.instead(term)
        if other != term:
            return self(other)
        match term:
            case Int():
                return self._int(term)
            case Bool():
                return self._bool(term)
            case Real():
                return self._real(term)
        raise CompilerBug(f"{type(term).__name__} has no place in a kernel")

    @property
    @abstractmethod
    def variables(self) -> set[str]:
        """The variables that parameters of the call are here."""

    def not_negative(self) -> Iterable[Int]:
        """What is 0 or more, by the way in which it is read."""
        return ()

    def instead(self, term: Node) -> Node:
        """What is computed in the place of a term: the same number, found in another way."""
        return self.places.get(term, term) if self.places else term

    # ---- what both write alike ---------------------------------------------------------------------

    def times(self, value: Expr, factor: Real) -> Expr:
        """`value * factor`, which is `value` where the factor is one."""
        return value if factor == RealConst(1.0) else value * self(factor)

    def _int(self, term: Int) -> Expr:
        match term:
            case IntConst(value):
                return self.number(value)
            case Index(axis):
                return Var(axis)
            case Size(name):
                return Var(name)
            case TileEnd(axis, end):
                return Var(f"{axis}_{end}")
            case Period(end):
                return Var("period" if end == "first" else "period_last")
            case OverTile(kind, axis, a):
                return self.over_tile(kind, axis, a)
            case IntParam(name):
                return Var(self.attention.variable(name))
            case IntOp() if term == KEY_HEAD:
                return self.key_head()
            case IntOp("-", IntConst(0), a):
                return Unary("-", self(a))
            case IntOp("+" | "-" as op, a, b):
                return Op(op, self(a), self(b))
            case IntOp("*", a, b):
                return self.product(a, b)
            case IntOp("//", a, b):
                return self.floor_divide(a, b)
            case IntOp("%", a, b):
                return self.floor_modulo(a, b)
            case IntOp("min" | "max" as op, a, b):
                return self.extremum(op, a, b)
            case IntAbs(a):
                return self.absolute(a)
            case IntIf(cond, a, b):
                return self.where(cond, a, b)
            case IntLoad(array, index):
                return self.load(array, index)
            case Floor(a):
                return self.floor(a)
        raise CompilerBug(f"{type(term).__name__} has no place in a kernel")

    def _bool(self, term: Bool) -> Expr:
        match term:
            case Truth(value):
                return Lit(value)
            case BoolParam(name):
                return Var(self.attention.variable(name))
            case Compare(op, a, b):
                return Op(op, self(a), self(b))
            case And(items):
                return self.both("and", items)
            case Or(items):
                return self.both("or", items)
            case Not(a):
                return self.negation(a)
            case BoolIf(cond, a, b):
                return self.where(cond, a, b)
            case BoolLoad(array, index):
                return self.load(array, index)
            case Member(item, array, index):
                return self.member(item, array, index)
            case IsPow2(a):
                number = self(a)
                return (number > 0) & (number & (number - 1)).equals(0)
        raise CompilerBug(f"{type(term).__name__} has no place in a kernel")

    def _real(self, term: Real) -> Expr:
        match term:
            case RealConst(value):
                return Lit(value)
            case RealParam(name):
                return Var(self.attention.variable(name))
            case Scale():
                return Var("scale")
            case FromInt(IntConst(value)):
                return Lit(float(value))
            case FromInt(a):
                return self.to_real(a)
            case RealOp("-", RealConst(0.0), a):
                return Unary("-", self(a))
            case RealOp("+" | "-" | "*" | "/" as op, a, b):
                return Op(op, self(a), self(b))
            case RealOp("**", a, b):
                return self.power(a, b)
            case RealOp("min" | "max" as op, a, b):
                return self.extremum(op, a, b)
            case RealCall(fn, a):
                return self.function(fn, a)
            case RealIf(cond, a, b):
                return self.where(cond, a, b)
            case RealLoad(array, index):
                return self.load(array, index)
            case Dot():
                raise CompilerBug("a dot product that the schedule did not name")
        raise CompilerBug(f"{type(term).__name__} has no place in a kernel")

    def key_head(self) -> Expr:
        """The key head that query head `h` reads."""
        return self(Index("h")) // (self(Size("H")) // self(Size("HKV")))

    # ---- what they write differently ---------------------------------------------------------------

    @abstractmethod
    def over_tile(self, kind: str, axis: str, a: Int) -> Expr: ...

    def number(self, value: int) -> Expr:
        return Lit(value)

    def product(self, a: Int, b: Int) -> Expr:
        return self(a) * self(b)

    @abstractmethod
    def floor_divide(self, a: Int, b: Int) -> Expr: ...

    @abstractmethod
    def floor_modulo(self, a: Int, b: Int) -> Expr: ...

    @abstractmethod
    def extremum(self, op: str, a: Node, b: Node) -> Expr: ...

    @abstractmethod
    def absolute(self, a: Node) -> Expr: ...

    @abstractmethod
    def where(self, cond: Bool, a: Node, b: Node) -> Expr: ...

    @abstractmethod
    def both(self, op: str, items: tuple[Bool, ...]) -> Expr: ...

    @abstractmethod
    def negation(self, a: Bool) -> Expr: ...

    @abstractmethod
    def floor(self, a: Real) -> Expr: ...

    @abstractmethod
    def to_real(self, a: Int) -> Expr: ...

    @abstractmethod
    def power(self, a: Real, b: Real) -> Expr: ...

    @abstractmethod
    def function(self, fn: str, a: Real) -> Expr: ...

    @abstractmethod
    def load(self, array: str, index: tuple[Int, ...]) -> Expr: ...

    @abstractmethod
    def member(self, item: Int, array: str, index: tuple[Int, ...]) -> Expr: ...

    def exact(self) -> Self:
        """The same terms with reals in float64: an int that is found through reals must not depend on rounding."""
        terms = copy(self)
        terms.named = {term: name for term, name in self.named.items() if isinstance(term, Int | Bool)}
        terms.dtype = self.float64
        return terms

    # ---- what is known of an index -----------------------------------------------------------------

    def is_whole_axis(self, index: Int, size: Int) -> bool:
        """Is this the natural reading, where a position of an axis reads an array of that axis's size?"""
        match index, size:
            case (
                (Index("b"), Size("B"))
                | (Index("h"), Size("H"))
                | (Index("i"), Size("N"))
                | (Index("j"), Size("M"))
            ):
                return True
        return False

    def is_inside(self, index: Int, size: Int) -> bool:
        """Is the index provably one of `[0, size)`, at every position of the call?"""
        if self.is_whole_axis(index, size) or (index, size) == (KEY_HEAD, Size("HKV")):
            return True
        return self.proofs.is_nonnegative(index) and self.proofs.is_below(index, size)


def is_scalar(term: Node) -> bool:
    """Is the term one number for the whole call: free of positions, heads and batches?"""
    return not axes_of(term)
