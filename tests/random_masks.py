"""Random masks, and calls of them, for properties of sets and ranges.

They speak of positions, sizes, parameters of any sign, arrays of heads and of positions, and do to them whatever the
language can. Divisors are numbers, sizes or `c`, which is no number but 0 in any call. `unions` are alternatives of
comparisons with a position, so that most of them have a closed form of several intervals.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from attnc.ir import build
from attnc.ir import nodes as ir

I, J, H, B = (ir.Index(axis) for axis in "ijhb")
N, M = ir.Size("N"), ir.Size("M")
W, P, C = (ir.IntParam(name) for name in "wpc")
AT_HEAD = ir.IntLoad("at_head", (H,))
THREE = ir.IntConst(3)

# How many masks a slow test draws; `make fuzz` asks for more.
MANY = int(os.environ.get("MASKS", "2000"))

S = ir.IntParam("s")
IN_ORDER = (
    ir.Param("order", "int", sorted=True, sizes=(S,)),
    ir.Param("orders", "int", sorted=True, sizes=(ir.Size("H"), S)),
)

numbers = st.integers(-6, 9).map(ir.IntConst)
leaves = st.one_of(
    st.sampled_from([I, J, I, J, build.integer("-", I, J), build.integer("-", J, I)]),
    st.sampled_from([W, P, C, N, M, H, B, AT_HEAD]),
    numbers,
    st.sampled_from([ir.IntLoad("doc", (I,)), ir.IntLoad("doc", (J,))]),
    st.sampled_from([ir.IntLoad("order", (I,)), ir.IntLoad("order", (J,)), ir.IntLoad("orders", (H, J))]),
)
divisors = st.one_of(st.sampled_from([2, 3, 7, -3]).map(ir.IntConst), st.just(C), st.just(M))


def terms(depth: int, conditions: SearchStrategy[ir.Bool]) -> SearchStrategy[ir.Int]:
    if depth == 0:
        return leaves
    a = terms(depth - 1, conditions)
    return st.one_of(
        leaves,
        st.builds(build.integer, st.sampled_from(["+", "-", "min", "max", "+", "-"]), a, a),
        st.builds(build.integer, st.just("*"), a, st.one_of(numbers, st.sampled_from([W, C, I, H]))),
        st.builds(build.integer, st.sampled_from(["//", "%"]), a, divisors),
        st.builds(build.int_abs, a),
        st.builds(build.choose, conditions, a, a),
    )


def comparisons(depth: int, conditions: SearchStrategy[ir.Bool]) -> SearchStrategy[ir.Bool]:
    a = terms(depth, conditions)
    return st.builds(build.compare, st.sampled_from(["<", "<=", "==", "!=", ">"]), a, a)


def conditions(depth: int) -> SearchStrategy[ir.Bool]:
    simple = comparisons(1, st.just(ir.BoolParam("on")))
    others = st.sampled_from(
        [
            ir.BoolParam("on"),
            ir.BoolLoad("flags", (J,)),
            ir.BoolLoad("flags", (I,)),
            ir.IsPow2(build.integer("-", I, J)),
            ir.Compare("<", ir.FromInt(build.integer("-", I, J)), ir.RealConst(2.5)),
        ]
    )
    if depth == 0:
        return st.one_of(simple, simple, others)
    a = conditions(depth - 1)
    return st.one_of(
        comparisons(2, simple),
        comparisons(2, simple),
        st.builds(build.conj, a, a),
        st.builds(build.disj, a, a),
        st.builds(build.negate, a),
        st.builds(build.choose, a, a, a),
    )


masks = conditions(2)

ends = st.one_of(
    st.builds(build.integer, st.sampled_from(["+", "-"]), st.sampled_from([I, J]), st.sampled_from([W, P])),
    st.builds(
        lambda a, n: build.integer("+", a, ir.IntConst(n)), st.sampled_from([I, J, W]), st.integers(-3, 3)
    ),
    st.builds(lambda a: build.integer("*", THREE, build.integer("//", a, THREE)), st.sampled_from([I, J])),
    st.sampled_from([P, build.integer("+", P, THREE)]),
    numbers,
)
stretches = st.lists(
    st.one_of(
        st.builds(build.compare, st.sampled_from(["<", "<="]), st.sampled_from([I, J]), ends),
        st.builds(build.compare, st.sampled_from(["<", "<="]), ends, st.sampled_from([I, J])),
        st.sampled_from([build.compare("<", H, ir.IntConst(1)), ir.BoolParam("on")]),
    ),
    min_size=1,
    max_size=4,
).map(lambda items: build.conj(*items))
unions = st.lists(stretches, min_size=2, max_size=5).map(lambda items: build.disj(*items))


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    entries = max(n, m)
    number = st.integers(-8, 14)
    return {
        "N": n,
        "M": m,
        "H": 2,
        "B": 2,
        "h": draw(st.integers(0, 1)),
        "b": draw(st.integers(0, 1)),
        "w": draw(number),
        "p": draw(number),
        "c": draw(number.filter(bool)),
        "on": draw(st.booleans()),
        "at_head": draw(st.lists(number, min_size=2, max_size=2)),
        "doc": draw(st.lists(st.integers(-2, 6), min_size=entries, max_size=entries)),
        "s": entries,
        "order": sorted(draw(st.lists(st.integers(-2, 6), min_size=entries, max_size=entries))),
        "orders": [sorted(draw(st.lists(number, min_size=entries, max_size=entries))) for _ in range(2)],
        "flags": draw(st.lists(st.booleans(), min_size=entries, max_size=entries)),
    }
