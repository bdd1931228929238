"""The attention IR. Read this file first: every stage after `check` maps one of these values to another.

Four sorts are four base classes: `Int` (positions and sizes, exact), `Bool` (may this key be seen?), `Real` (scores and
weights) and `Vec` (one vector of a token). Nodes are frozen; a span says where a term came from and takes no part in
equality. Macros, constants, imports, `let`s and grids are gone by the time a term stands here (`i.y` is a digit of `i`,
until `analyze/digits.py` finds it again); `ir/build.py` builds terms in canonical order and `ir/text.py` prints them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, TypeVar, dataclass_transform

from attnc.source import Span

T = TypeVar("T")


class Known:
    """What is found of a node when it is first asked for, and kept; it is no part of the node.

    `children` are the nodes right below, in the order of its fields. `form` is the canonical form that
    `sets/convert.py` makes of an integer, and the others are found by `ir/walk.py`.
    """

    __slots__ = ("axes", "below", "children", "form", "kinds")
    axes: frozenset[Literal["b", "h", "i", "j"]]
    below: tuple[Node, ...]
    children: tuple[Node, ...]
    form: object
    kinds: frozenset[type]


@dataclass(frozen=True, slots=True)
class Node(Known):
    span: Span | None = field(default=None, kw_only=True, compare=False, repr=False)

    if not TYPE_CHECKING:  # which would take every name for one that a node has

        def __getattr__(self, name: str) -> object:
            """The children, which are not there before they are asked for."""
            if name != "children":
                raise AttributeError(name)
            found = tuple([node for each in fields(self) for node in nodes_in(getattr(self, each.name))])
            object.__setattr__(self, name, found)
            return found


def nodes_in(value: object) -> Iterator[Node]:
    """The nodes that a field has."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from nodes_in(item)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def node(cls: type[T]) -> type[T]:
    """What every node is: a frozen dataclass. (The decorator above tells the type checker.)"""
    return dataclass(frozen=True, slots=True)(cls)


class Int(Node):
    __slots__ = ()


class Bool(Node):
    __slots__ = ()


class Real(Node):
    __slots__ = ()


class Vec(Node):
    __slots__ = ()


# ---- integers: floor semantics, as in Python -------------------------------------------------------


@node
class IntConst(Int):
    value: int


@node
class Index(Int):
    """Batch `b`, query head `h`, query position `i`, key position `j`."""

    axis: Literal["b", "h", "i", "j"]


@node
class Size(Int):
    name: Literal["B", "H", "HKV", "N", "M", "D", "DV"]


@node
class TileEnd(Int):
    """First or last (inclusive) query or key position of a tile. Only in facts, never in a spec."""

    axis: Literal["i", "j"]
    end: Literal["first", "last"]


@node
class Period(Int):
    """The number of the first or last (inclusive) of several periods of positions. Only in facts, never in a spec."""

    end: Literal["first", "last"]


@node
class Coordinate(Int):
    """`i.y`: where a query or a key lies along an axis of a grid, as a digit of its position. Only in facts."""

    axis: Literal["i", "j"]
    name: str


@node
class Residue(Int):
    """What all coordinates of a residue class leave, divided by their dilation. Only in facts, never in a spec."""


@node
class OverTile(Int):
    """The least or the greatest value of a term over the positions of a tile. Only in facts, never in a spec."""

    kind: Literal["min", "max"]
    axis: Literal["i", "j"]
    a: Int


@node
class Rank(Int):
    """How many entries of a row of a sorted array are below a value: where the value stands. Only in facts."""

    array: str
    index: tuple[Int, ...]
    value: Int


@node
class IntParam(Int):
    name: str


@node
class IntOp(Int):
    op: Literal["+", "-", "*", "//", "%", "min", "max"]
    a: Int
    b: Int


# How many query heads read a key head, and the key head that query head `h` reads: a call has H a multiple of HKV.
GROUP = IntOp("//", Size("H"), Size("HKV"))
KEY_HEAD = IntOp("//", Index("h"), GROUP)


@node
class IntAbs(Int):
    a: Int


@node
class IntIf(Int):
    cond: Bool
    a: Int
    b: Int


@node
class IntLoad(Int):
    """`array[index]`; one index per dimension."""

    array: str
    index: tuple[Int, ...]


@node
class Floor(Int):
    a: Real


# ---- booleans --------------------------------------------------------------------------------------


@node
class Truth(Bool):
    value: bool


@node
class BoolParam(Bool):
    name: str


@node
class Compare(Bool):
    """Both sides of one sort; `>` and `>=` are turned around when built."""

    op: Literal["<", "<=", "==", "!="]
    a: Int | Real
    b: Int | Real


@node
class And(Bool):
    """In written order: an array is read only where every item before it holds."""

    items: tuple[Bool, ...]


@node
class Or(Bool):
    """In written order: an array is read only where no item before it holds."""

    items: tuple[Bool, ...]


@node
class Not(Bool):
    a: Bool


@node
class BoolIf(Bool):
    cond: Bool
    a: Bool
    b: Bool


@node
class BoolLoad(Bool):
    array: str
    index: tuple[Int, ...]


@node
class Member(Bool):
    """`item in array[index, :]`: membership in a row of an int array whose negative entries are empty slots."""

    item: Int
    array: str
    index: tuple[Int, ...]


@node
class IsPow2(Bool):
    a: Int


# ---- reals -----------------------------------------------------------------------------------------


@node
class RealConst(Real):
    value: float


@node
class FromInt(Real):
    a: Int


@node
class RealParam(Real):
    name: str


@node
class Scale(Real):
    """`D ** -0.5` unless the caller passes it."""


@node
class RealOp(Real):
    op: Literal["+", "-", "*", "/", "**", "min", "max"]
    a: Real
    b: Real


@node
class RealCall(Real):
    fn: Literal["exp", "log", "sqrt", "tanh", "sigmoid", "relu", "silu", "softplus", "abs", "sin", "cos"]
    a: Real


@node
class RealIf(Real):
    cond: Bool
    a: Real
    b: Real


@node
class RealLoad(Real):
    array: str
    index: tuple[Int, ...]


@node
class Total(Real):
    """`total(array[index, :end])`: the sum of what stands in front of the last index, which may be the size."""

    array: str
    index: tuple[Int, ...]


@node
class Dot(Real):
    a: Vec
    b: Vec


@node
class SumD(Real):
    """Sum over the feature axis."""

    a: Vec


@node
class Score(Real):
    """`s`: only in a normalization."""


@node
class Row(Real):
    """A reduction over the visible keys of the row: only in a normalization."""

    kind: Literal["sum", "max", "min", "mean"]
    a: Real


@node
class Count(Real):
    """How many keys the row sees: only in a normalization."""


@node
class LogSumExp(Real):
    """`lse`: the log-sum-exp of the scores of the row. Only in facts, never in a spec."""


@node
class RowMax(Real):
    """`row_max`: the largest score of the row. Only in facts, never in a spec."""


@node
class RowLog(Real):
    """`row_log`: the logarithm of the sum of exponentials below `row_max`, so `lse` without it. Only in facts."""


@node
class RowSum(Real):
    """`sum_1`, `sum_2`: a sum over the visible keys of the row, by its number. Only in facts, never in a spec."""

    number: int


# ---- vectors ---------------------------------------------------------------------------------------


@node
class VecInput(Vec):
    """In `query`, `key`, `value`: the raw q, k, v. In `score`: q and k after their clauses. In `output`: o and v_i."""

    name: Literal["q", "k", "v", "v_i", "o"]


@node
class VecLoad(Vec):
    """`array[index, :]`: one index per dimension but the last."""

    array: str
    index: tuple[Int, ...]


@node
class VecTotal(Vec):
    """`total(array[index, :end, :])`: the sum of the rows in front of the last index, which may be the size."""

    array: str
    index: tuple[Int, ...]


@node
class Splat(Vec):
    """A real as a vector of that real."""

    a: Real


@node
class VecOp(Vec):
    op: Literal["+", "-", "*", "/", "**", "min", "max"]
    a: Vec
    b: Vec


@node
class VecCall(Vec):
    """Elementwise, and `l2`: x / max(sqrt(sum(x * x)), 1e-12), as torch's `F.normalize`."""

    fn: Literal[
        "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "silu", "softplus", "abs", "sin", "cos", "l2"
    ]
    a: Vec


@node
class Rope(Vec):
    """Rotary embedding (Su et al. 2021) of the pairs (x[t], x[t + D/2]) by angle position * theta ** (-2 t / D)."""

    a: Vec
    position: Real
    theta: Real


@node
class VecIf(Vec):
    cond: Bool
    a: Vec
    b: Vec


# ---- readings of arrays ------------------------------------------------------------------------------

LOADS = (IntLoad, RealLoad, BoolLoad)  # the number at a place
TOTALS = (Total, VecTotal)  # the sum of all that stands in front of a place
READINGS = (*LOADS, VecLoad, *TOTALS)  # `Member` and `Rank` read whole rows
OF_FLOATS = (RealLoad, VecLoad, *TOTALS)  # those of an array that has a gradient


# ---- the whole -------------------------------------------------------------------------------------


@node
class Param(Node):
    """A parameter of the call; `sizes` is empty for a scalar. `const` ones are known when a kernel is compiled."""

    name: str
    sort: Literal["int", "float", "bool"]
    const: bool = False
    sorted: bool = False
    sizes: tuple[Int, ...] = ()
    default: int | float | bool | None = None


@node
class GridAxis(Node):
    """An axis of a row-major token grid, outermost first; the product of a side's extents is its token count."""

    side: Literal["query", "key"]
    name: str
    extent: Int


@node
class Attention(Node):
    """One attention. `lets` keeps the author's names for terms; their meaning is already in the clauses.

    Those of its names that emitted code has for itself are `apart`: there they have an underscore behind, for each time
    that they are listed.
    """

    name: str
    params: tuple[Param, ...]
    query: Vec
    key: Vec
    value: Vec
    mask: Bool
    score: Real
    normalize: Real
    output: Vec
    grid: tuple[GridAxis, ...] = ()
    lets: tuple[tuple[str, Node], ...] = ()
    doc: str = ""
    apart: tuple[str, ...] = field(default=(), kw_only=True, compare=False, repr=False)

    def variable(self, name: str) -> str:
        """What emitted code calls a parameter."""
        return name + "_" * self.apart.count(name)

    def setting_apart(self, names: tuple[str, ...]) -> Attention:
        """The same, where these names have one underscore more."""
        return replace(self, apart=(*self.apart, *names))

    def param(self, name: str) -> Param:
        return next(p for p in self.params if p.name == name)

    @property
    def clauses(self) -> dict[str, Vec | Bool | Real]:
        """Its terms by the words of their clauses, in written order."""
        words = ("query", "key", "value", "mask", "score", "normalize", "output")
        return {word: getattr(self, word) for word in words}
