"""The text of the IR, read back.

Enters: what `ir/text.py` printed. Leaves: the same attention or term. The sort of a node follows from its parts, and
that of a name from its `param` line. Nodes are built as they stand, canonical or not; `verify` says whether they fit.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from ir_tokens import Tokens

from attnc.errors import CompilerBug
from attnc.ir import nodes as ir

_LEVELS = (("+", "-"), ("*", "/", "//", "%"))

# What a form becomes depends on the sort of its parts.
Classes = Mapping[type[ir.Node], Callable[..., ir.Node]]
_OPERATION: Classes = {ir.Int: ir.IntOp, ir.Real: ir.RealOp, ir.Vec: ir.VecOp}
_NEGATIVE: Classes = {
    ir.Int: lambda a: ir.IntOp("-", ir.IntConst(0), a),
    ir.Real: lambda a: ir.RealOp("-", ir.RealConst(0.0), a),
    ir.Vec: lambda a: ir.VecOp("-", ir.Splat(ir.RealConst(0.0)), a),
}
_CHOICE: Classes = {ir.Int: ir.IntIf, ir.Bool: ir.BoolIf, ir.Real: ir.RealIf, ir.Vec: ir.VecIf}
_FUNCTION: Classes = {ir.Real: ir.RealCall, ir.Vec: ir.VecCall}
_ABS: Classes = {ir.Int: lambda _, a: ir.IntAbs(a), **_FUNCTION}

_ELEMENTWISE = ("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "silu", "softplus", "sin", "cos")
_CALLS: dict[tuple[str, int], Callable[..., ir.Node]] = {
    ("inf", 0): lambda: ir.RealConst(float("inf")),
    ("nan", 0): lambda: ir.RealConst(float("nan")),
    ("count", 0): ir.Count,
    ("first", 1): lambda a: ir.TileEnd(a.axis, "first"),
    ("last", 1): lambda a: ir.TileEnd(a.axis, "last"),
    ("first_period", 0): lambda: ir.Period("first"),
    ("last_period", 0): lambda: ir.Period("last"),
    ("residue", 0): ir.Residue,
    ("least", 2): lambda axis, a: ir.OverTile("min", axis.axis, a),
    ("greatest", 2): lambda axis, a: ir.OverTile("max", axis.axis, a),
    ("rank", 2): lambda row, value: ir.Rank(row.array, row.index, value),
    ("floor", 1): ir.Floor,
    ("ispow2", 1): ir.IsPow2,
    ("real", 1): ir.FromInt,
    ("splat", 1): ir.Splat,
    ("sum_d", 1): ir.SumD,
    ("l2", 1): lambda a: ir.VecCall("l2", a),
    ("dot", 2): ir.Dot,
    ("rope", 3): ir.Rope,
    ("sum", 1): lambda a: ir.Row("sum", a),
    ("max", 1): lambda a: ir.Row("max", a),
    ("min", 1): lambda a: ir.Row("min", a),
    ("mean", 1): lambda a: ir.Row("mean", a),
}


def parse_ir(text: str) -> ir.Attention:
    """The attention that `print_ir` printed."""
    return _Reader(text, {}).attention()


def parse_term(text: str, sorts: Mapping[str, str] | None = None) -> ir.Node:
    """The term that `print_ir` printed; `sorts` says of each parameter in it: `int`, `float` or `bool`."""
    reader = _Reader(text, sorts or {})
    term: ir.Node = reader.term()
    reader.tokens.end()
    return term


class _Reader:
    def __init__(self, text: str, sorts: Mapping[str, str]) -> None:
        self.tokens = Tokens(text)
        self.sorts = sorts

    # ---- the whole ---------------------------------------------------------------------------------

    def attention(self) -> ir.Attention:
        take, need, name = self.tokens.take, self.tokens.need, self.tokens.name
        need("attention")
        title = name()
        doc = (
            json.loads(self.tokens.take_kind("text") or self.tokens.expected("a text")) if take("doc") else ""
        )
        params: list[ir.Param] = []
        # The size of an array may name a parameter that comes later; it is an int, or it would be no size.
        self.sorts = defaultdict(lambda: "int")
        while take("param"):
            params.append(self.param())
        self.sorts = {param.name: param.sort for param in params}
        grid: list[ir.GridAxis] = []
        while take("grid"):
            grid.append(self.grid_axis())
        lets: list[tuple[str, ir.Node]] = []
        while take("let"):
            lets.append((name(), self.after("=")))
        found = ir.Attention(
            name=title,
            params=tuple(params),
            query=self.after("query"),
            key=self.after("key"),
            value=self.after("value"),
            mask=self.after("mask"),
            score=self.after("score"),
            normalize=self.after("normalize"),
            output=self.after("output"),
            grid=tuple(grid),
            lets=tuple(lets),
            doc=doc,
        )
        self.tokens.end()
        return found

    def after(self, word: str) -> Any:
        self.tokens.need(word)
        return self.term()

    def grid_axis(self) -> ir.GridAxis:
        side: Any = self.tokens.take("query", "key") or self.tokens.expected("`query` or `key`")
        return ir.GridAxis(side, self.tokens.name(), self.after(":"))

    def param(self) -> ir.Param:
        take = self.tokens.take
        name = self.tokens.name()
        self.tokens.need(":")
        const, in_order = take("const") is not None, take("sorted") is not None
        sort: Any = take("int", "float", "bool") or self.tokens.expected("`int`, `float` or `bool`")
        sizes: Any = self.terms("]") if take("[") else ()
        default = self.constant() if take("=") else None
        return ir.Param(name, sort, const, in_order, sizes, default)

    def constant(self) -> int | float | bool:
        match self.term():
            case ir.IntConst(value) | ir.RealConst(value) | ir.Truth(value):
                return value
            case _:
                self.tokens.expected("a constant before this")

    # ---- expressions, from the loosest to the tightest ----------------------------------------------

    def term(self) -> Any:
        a = self.disjunction()
        if self.tokens.take("if") is None:
            return a
        cond = self.disjunction()
        self.tokens.need("else")
        return self.of_sort(_CHOICE, a)(cond, a, self.disjunction())

    def terms(self, close: str) -> tuple[Any, ...]:
        return tuple(self.term() for _ in self.tokens.items(close))

    def disjunction(self) -> Any:
        items = [self.conjunction()]
        while self.tokens.take("or"):
            items.append(self.conjunction())
        return items[0] if len(items) == 1 else ir.Or(tuple(items))

    def conjunction(self) -> Any:
        items = [self.negation()]
        while self.tokens.take("and"):
            items.append(self.negation())
        return items[0] if len(items) == 1 else ir.And(tuple(items))

    def negation(self) -> Any:
        if self.tokens.take("not"):
            return ir.Not(self.negation())
        a = self.arithmetic()
        op: Any = self.tokens.take("<", "<=", "==", "!=")
        if op:
            return ir.Compare(op, a, self.arithmetic())
        if self.tokens.take("in"):
            array = self.tokens.name()
            self.tokens.need("[")
            return ir.Member(a, array, self.index()[0])
        return a

    def arithmetic(self, level: int = 0) -> Any:
        if level == len(_LEVELS):
            return self.signed()
        a = self.arithmetic(level + 1)
        while op := self.tokens.take(*_LEVELS[level]):
            b = self.arithmetic(level + 1)
            a = self.of_sort(_OPERATION, a)(op, a, b)
        return a

    def signed(self) -> Any:
        if self.tokens.take("-") is None:
            return self.power()
        match self.power():
            case ir.IntConst(value):
                return ir.IntConst(-value)
            case ir.RealConst(value):
                return ir.RealConst(-value)
            case a:
                return self.of_sort(_NEGATIVE, a)(a)

    def power(self) -> Any:
        a = self.atom()
        return self.of_sort(_OPERATION, a)("**", a, self.signed()) if self.tokens.take("**") else a

    def atom(self) -> Any:
        if text := self.tokens.take_kind("int"):
            return ir.IntConst(int(text))
        if text := self.tokens.take_kind("real"):
            return ir.RealConst(float(text))
        if self.tokens.take("("):
            inside = self.term()
            self.tokens.need(")")
            return inside
        name = self.tokens.name()
        if name == "total":
            return self.total()
        if self.tokens.take("("):
            return self.call(name, self.terms(")"))
        match name:
            case "i" | "j" if self.tokens.take("."):
                return ir.Coordinate(name, self.tokens.name())
        if self.tokens.take("["):
            index, is_row = self.index()
            return ir.VecLoad(name, index) if is_row else self.load(name)(name, index)
        return self.word(name)

    def index(self) -> tuple[tuple[ir.Int, ...], bool]:
        """What stands between `[` and `]`, and whether a `:` is last."""
        items: list[ir.Int] = []
        for _ in self.tokens.items("]"):
            if self.tokens.take(":"):
                self.tokens.need("]")
                return tuple(items), True
            items.append(self.term())
        return tuple(items), False

    def total(self) -> ir.Total | ir.VecTotal:
        """`([b, h, :end])` behind its name, or `([b, h, :end, :])`."""
        self.tokens.need("(")
        array, index, is_row = self.tokens.name(), list[ir.Int](), False
        self.tokens.need("[")
        for _ in self.tokens.items("]"):
            is_last = self.tokens.take(":")
            index.append(self.term())
            if is_last:
                if self.tokens.take(","):
                    self.tokens.need(":")
                    is_row = True
                self.tokens.need("]")
                break
        self.tokens.need(")")
        return (ir.VecTotal if is_row else ir.Total)(array, tuple(index))

    def word(self, name: str) -> ir.Node:
        match name:
            case "true" | "false":
                return ir.Truth(name == "true")
            case "b" | "h" | "i" | "j":
                return ir.Index(name)
            case "h_kv":
                return ir.KEY_HEAD
            case "B" | "H" | "HKV" | "N" | "M" | "D" | "DV":
                return ir.Size(name)
            case "q" | "k" | "v" | "v_i" | "o":
                return ir.VecInput(name)
            case "s":
                return ir.Score()
            case "scale":
                return ir.Scale()
        match self.sort(name):
            case "int":
                return ir.IntParam(name)
            case "float":
                return ir.RealParam(name)
            case "bool":
                return ir.BoolParam(name)
            case sort:
                raise CompilerBug(f"a parameter of sort {sort}")

    def load(self, array: str) -> Callable[[str, tuple[ir.Int, ...]], ir.Node]:
        match self.sort(array):
            case "int":
                return ir.IntLoad
            case "float":
                return ir.RealLoad
            case "bool":
                return ir.BoolLoad
            case sort:
                raise CompilerBug(f"an array of sort {sort}")

    def sort(self, name: str) -> str:
        try:
            return self.sorts[name]
        except KeyError:
            self.tokens.expected(f"a parameter in place of `{name}`, before this")

    def call(self, fn: str, args: tuple[Any, ...]) -> ir.Node:
        if make := _CALLS.get((fn, len(args))):
            return make(*args)
        match fn, args:
            case (("min" | "max"), (a, b)):
                return self.of_sort(_OPERATION, a)(fn, a, b)
            case "abs", (a,):
                return self.of_sort(_ABS, a)(fn, a)
            case _, (a,) if fn in _ELEMENTWISE:
                return self.of_sort(_FUNCTION, a)(fn, a)
            case "all", _:
                return ir.And(args)
            case "any", _:
                return ir.Or(args)
            case _:
                self.tokens.expected(f"a function in place of `{fn}` of {len(args)} arguments, before this")

    def of_sort(self, classes: Classes, a: ir.Node) -> Callable[..., ir.Node]:
        for sort, make in classes.items():
            if isinstance(a, sort):
                return make
        self.tokens.expected("a term of another sort before this")
