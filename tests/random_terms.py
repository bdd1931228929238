"""Random terms and attentions of every node the language has, for properties.

The names they speak of are those of `PARAMS`. Terms are built node by node, not by `ir/build.py`, so they need not be
canonical.
"""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from verify_ir import CLAUSE_NAMES

from attnc.ir import nodes as ir

B, H, N, M, D, DV = (ir.Size(name) for name in ("B", "H", "N", "M", "D", "DV"))
PARAMS = (
    ir.Param("w", "int", default=2),
    ir.Param("c", "float"),
    ir.Param("on", "bool"),
    ir.Param("table", "int", sizes=(N, ir.IntOp("+", ir.IntConst(1), ir.IntConst(2)))),
    ir.Param("step", "int", sizes=(M,)),
    ir.Param("flags", "bool", sizes=(H, M)),
    ir.Param("bias", "float", sizes=(H, N, M)),
    ir.Param("gate", "float", sizes=(N, D)),
    ir.Param("vgate", "float", sizes=(M, DV)),
)
SORTS = {param.name: param.sort for param in PARAMS}
FUNCTIONS = ("exp", "log", "sqrt", "tanh", "sigmoid", "relu", "silu", "softplus", "abs", "sin", "cos")

_grid_of_reals = st.sampled_from([-2.5, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 3.0]).map(ir.RealConst)


class Random:
    """Strategies for the terms of one clause."""

    def __init__(self, names: frozenset[str], width: str) -> None:
        self.axes = sorted(names & {"b", "h", "i", "j"})
        self.inputs = sorted(names & {"q", "k", "v", "v_i", "o"})
        self.has_row = "s" in names
        self.array = "gate" if width == "D" else "vgate"

    @cache  # noqa: B019
    def int(self, depth: int = 3) -> SearchStrategy[ir.Int]:
        leaves: list[SearchStrategy[ir.Int]] = [
            st.integers(-3, 5).map(ir.IntConst),
            st.sampled_from([B, H, N, M]),
            st.just(ir.IntParam("w")),
        ]
        if self.axes:
            leaves.append(st.sampled_from([ir.Index(axis) for axis in self.axes]))
        if depth == 0:
            return st.one_of(leaves)
        a = self.int(depth - 1)
        return st.one_of(
            *leaves,
            st.builds(ir.IntOp, st.sampled_from(["+", "-", "*", "//", "%", "min", "max"]), a, a),
            st.builds(ir.IntAbs, a),
            st.builds(ir.IntIf, self.bool(depth - 1), a, a),
            st.builds(lambda x, y: ir.IntLoad("table", (x, y)), self.place(N, depth), self.int(0)),
            st.builds(lambda x: ir.IntLoad("step", (x,)), a),
            st.builds(ir.Floor, self.smooth_free(depth - 1)),
        )  # fmt: skip

    @cache  # noqa: B019
    def place(self, size: ir.Int, depth: int) -> SearchStrategy[ir.Int]:
        """An index that lies inside an array more often than not."""
        return self.int(max(depth - 2, 0)).map(lambda x: ir.IntOp("%", x, size))

    @cache  # noqa: B019
    def smooth_free(self, depth: int) -> SearchStrategy[ir.Real]:
        """Reals that two libraries compute to the same bit, so that what jumps jumps in both."""
        leaves: list[SearchStrategy[ir.Real]] = [
            _grid_of_reals,
            st.just(ir.RealParam("c")),
            self.int(0).map(ir.FromInt),
        ]
        if depth <= 0:
            return st.one_of(leaves)
        a = self.smooth_free(depth - 1)
        return st.one_of(
            *leaves,
            st.builds(ir.FromInt, self.int(depth - 1)),
            st.builds(ir.RealOp, st.sampled_from(["+", "-", "*", "/", "min", "max"]), a, a),
            st.builds(ir.RealCall, st.sampled_from(["abs", "relu"]), a),
            st.builds(ir.RealIf, self.bool(depth - 1), a, a),
        )

    @cache  # noqa: B019
    def bool(self, depth: int = 3) -> SearchStrategy[ir.Bool]:
        leaves: list[SearchStrategy[ir.Bool]] = [
            st.booleans().map(ir.Truth),
            st.just(ir.BoolParam("on")),
            st.builds(ir.Compare, st.sampled_from(["<", "<=", "==", "!="]), self.int(0), self.int(0)),
        ]
        if depth <= 0:
            return st.one_of(leaves)
        a, x, y = self.bool(depth - 1), self.int(depth - 1), self.smooth_free(depth - 1)
        several = st.lists(a, min_size=0, max_size=3).map(tuple)
        return st.one_of(
            *leaves,
            st.builds(ir.Compare, st.sampled_from(["<", "<=", "==", "!="]), x, x),
            st.builds(ir.Compare, st.sampled_from(["<", "<=", "==", "!="]), y, y),
            st.builds(ir.And, several),
            st.builds(ir.Or, several),
            st.builds(ir.Not, a),
            st.builds(ir.BoolIf, a, a, a),
            st.builds(lambda x, y: ir.BoolLoad("flags", (x, y)), self.place(H, depth), x),
            st.builds(lambda x, y: ir.Member(x, "table", (y,)), x, self.place(N, depth)),
            st.builds(ir.IsPow2, x),
        )

    @cache  # noqa: B019
    def real(self, depth: int = 3) -> SearchStrategy[ir.Real]:
        leaves: list[SearchStrategy[ir.Real]] = [
            _grid_of_reals,
            st.just(ir.RealParam("c")),
            st.just(ir.Scale()),
        ]
        if self.has_row:
            leaves += [st.just(ir.Score()), st.just(ir.Score()), st.just(ir.Count())]
        if depth <= 0:
            return st.one_of(leaves)
        a, vec = self.real(depth - 1), self.vec(depth - 1)
        more = [
            st.builds(ir.FromInt, self.int(depth - 1)),
            st.builds(ir.RealOp, st.sampled_from(["+", "-", "*", "/", "**", "min", "max"]), a, a),
            st.builds(ir.RealCall, st.sampled_from(FUNCTIONS), a),
            st.builds(ir.RealIf, self.bool(depth - 1), a, a),
            st.builds(lambda *at: ir.RealLoad("bias", at), *(self.place(size, depth) for size in (H, N, M))),
            st.builds(
                lambda *at: ir.Total("bias", at),
                *(self.place(size, depth) for size in (H, N, ir.IntOp("+", M, ir.IntConst(1)))),
            ),
            st.builds(ir.Dot, vec, vec),
            st.builds(ir.SumD, vec),
        ]  # fmt: skip
        if self.has_row:
            more.append(st.builds(ir.Row, st.sampled_from(["sum", "max", "min", "mean"]), a))
        return st.one_of(*leaves, *more)

    @cache  # noqa: B019
    def vec(self, depth: int = 3) -> SearchStrategy[ir.Vec]:
        """Vectors of the width of the clause; each holds an input or a load."""
        size = N if self.array == "gate" else M
        leaves: list[SearchStrategy[ir.Vec]] = [
            self.place(size, depth).map(lambda x: ir.VecLoad(self.array, (x,))),
            self.place(ir.IntOp("+", size, ir.IntConst(1)), depth).map(
                lambda x: ir.VecTotal(self.array, (x,))
            ),
            *(st.just(ir.VecInput(name)) for name in self.inputs),
        ]
        if depth <= 0:
            return st.one_of(leaves)
        a = self.vec(depth - 1)
        splat = self.real(depth - 1).map(ir.Splat)
        operator = st.sampled_from(["+", "-", "*", "/", "**", "min", "max"])
        return st.one_of(
            *leaves,
            st.builds(ir.VecOp, operator, a, st.one_of(a, splat)),
            st.builds(ir.VecOp, operator, splat, a),
            st.builds(ir.VecCall, st.sampled_from((*FUNCTIONS, "l2")), a),
            st.builds(ir.Rope, a, self.real(depth - 1), st.sampled_from([2.0, 10000.0]).map(ir.RealConst)),
            st.builds(ir.VecIf, self.bool(depth - 1), a, a),
        )


@cache
def of_clause(word: str) -> Random:
    return Random(CLAUSE_NAMES[word], "DV" if word in ("value", "output") else "D")


@cache
def random_terms(word: str = "score", depth: int = 3) -> SearchStrategy[ir.Node]:
    """Terms of every sort that may stand in a clause."""
    random = of_clause(word)
    return st.one_of(random.int(depth), random.bool(depth), random.real(depth), random.vec(depth))


@st.composite
def random_attentions(draw: st.DrawFn, depth: int = 2) -> ir.Attention:
    """Whole attentions: mostly simple clauses, each now and then a random one."""

    def clause(word: str, simple: ir.Node) -> ir.Node:
        random = of_clause(word)
        sort = {"mask": random.bool, "score": random.real, "normalize": random.real}.get(word, random.vec)
        return draw(st.one_of(st.just(simple), sort(depth)))

    i, j, s = ir.Index("i"), ir.Index("j"), ir.Score()
    e = ir.RealCall("exp", s)
    return ir.Attention(
        name="random",
        params=PARAMS,
        query=clause("query", ir.VecInput("q")),
        key=clause("key", ir.VecInput("k")),
        value=clause("value", ir.VecInput("v")),
        mask=clause("mask", ir.Compare("<=", j, i)),
        score=clause("score", ir.RealOp("*", ir.Dot(ir.VecInput("q"), ir.VecInput("k")), ir.Scale())),
        normalize=clause("normalize", ir.RealOp("/", e, ir.Row("sum", e))),
        output=clause("output", ir.VecInput("o")),
        lets=(("gap", ir.IntOp("-", i, j)),),
        doc=draw(st.text(max_size=20)),
    )
