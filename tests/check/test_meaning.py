"""Random expressions mean in the IR what they mean on the page.

The oracle evaluates the tree itself, one number at a time, with Python's own closures for macros and `let`s; it shares
nothing with the checker but the tree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from checking import attention
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import cases
from scalar_meaning import Scene, Undefined, meaning

from attnc.source import Source
from attnc.syntax import tree
from attnc.syntax.parser import parse_file


@dataclass(frozen=True)
class Known:
    """The names of each sort that an expression may use."""

    ints: tuple[str, ...]
    reals: tuple[str, ...]
    bools: tuple[str, ...]
    has_macros: bool = True
    has_table: bool = True


def ints(names: Known, depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from(names.ints) | st.integers(-6, 9).map(lambda n: f"({n})" if n < 0 else str(n))
    if not depth:
        return leaf
    a, c = ints(names, depth - 1), bools(names, depth - 1)
    ways = [
        leaf,
        st.tuples(a, st.sampled_from("+-*"), a).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(a, st.sampled_from(("//", "%")), st.integers(1, 5)).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(st.sampled_from(("min", "max")), a, a, a).map(lambda t: f"{t[0]}({t[1]}, {t[2]}, {t[3]})"),
        st.tuples(a, a, a).map(lambda t: f"clamp({t[0]}, {t[1]}, {t[2]})"),
        a.map(lambda t: f"abs({t})"),
        a.map(lambda t: f"(-{t})"),
        reals(names, depth - 1).map(lambda t: f"floor({t})"),
        st.tuples(a, c, a).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
    ]
    if names.has_macros:
        ways += [st.tuples(a, a).map(lambda t: f"mix({t[0]}, {t[1]})"), a.map(lambda t: f"mix({t})")]
    return st.one_of(ways)


def reals(names: Known, depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from((*names.reals, "0.5", "-1.25", "3.0"))
    if not depth:
        return leaf
    a, n, c = reals(names, depth - 1), ints(names, depth - 1), bools(names, depth - 1)
    number = a | n
    ways = [
        leaf,
        st.tuples(number, st.sampled_from("+-*"), a).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(number, st.integers(1, 5)).map(lambda t: f"({t[0]} / {t[1]})"),
        st.tuples(n, st.integers(0, 3)).map(lambda t: f"({t[0]} ** {t[1]})"),
        st.tuples(a, number).map(lambda t: f"max({t[0]}, {t[1]})"),
        st.tuples(number, a, number).map(lambda t: f"clamp({t[0]}, lo={t[1]}, hi={t[2]})"),
        number.map(lambda t: f"tanh({t})"),
        number.map(lambda t: f"relu({t})"),
        st.tuples(a, c, number).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
    ]
    if names.has_macros:
        ways.append(number.map(lambda t: f"half({t})"))
    return st.one_of(ways)


def bools(names: Known, depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from((*names.bools, "true", "false"))
    if not depth:
        return leaf
    n, a, c = ints(names, depth - 1), reals(names, depth - 1), bools(names, depth - 1)
    signs = st.sampled_from(("<", "<=", ">", ">=", "==", "!="))
    ways = [
        leaf,
        st.tuples(n, signs, n).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(n, signs, a, signs, n).map(lambda t: f"({t[0]} {t[1]} {t[2]} {t[3]} {t[4]})"),
        st.tuples(c, st.sampled_from(("==", "!=")), c).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(c, st.sampled_from(("and", "or")), c, c).map(
            lambda t: f"({t[0]} {t[1]} {t[2]} {t[1]} {t[3]})"
        ),
        c.map(lambda t: f"(not {t})"),
        n.map(lambda t: f"ispow2({t})"),
        st.tuples(c, c, c).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
    ]
    if names.has_table:
        ways.append(
            st.tuples(n, st.sampled_from(("in", "not in"))).map(lambda t: f"({t[0]} {t[1]} table[h, :])")
        )
    return st.one_of(ways)


# A macro sees its arguments and built-in names. `aa` is one of them, and a `let` of the attention too.
IN_MACRO = Known(("aa", "bb", "i", "N", "EIGHT"), ("scale",), ("true",), has_macros=False, has_table=False)
IN_LET = Known(("i", "j", "h", "n", "N", "table[h, n]"), ("x", "scale", "reals[h]"), ("p", "flags[n]"))
IN_CLAUSE = replace(IN_LET, ints=(*IN_LET.ints, "aa"))

SPEC = """
const EIGHT = 2 * 4
def mix(aa, bb = 3) = {mix}
def half(rr) = rr / 2 + 0 * EIGHT

attention spec(n: int, x: float, p: bool, table: int[H, 4], reals: float[H], flags: bool[4]):
    let aa = {let}
    mask  {mask}
    score {score}
"""

SCENES = [
    {"i": 5, "j": 2, "h": 0, "n": 1, "N": 9, "x": 0.75, "scale": 0.125, "p": True},
    {"i": 0, "j": 7, "h": 1, "n": 3, "N": 8, "x": -2.5, "scale": 1.5, "p": False},
    {"i": 3, "j": 3, "h": 1, "n": 0, "N": 4, "x": 0.0, "scale": 3.0, "p": True},
]
ARRAYS = {
    "table": [[3, -1, 5, 0], [7, 2, -4, 2]],
    "reals": [0.5, -1.5],
    "flags": [True, False, False, True],
}


@cases(400, 150)
@given(ints(IN_MACRO, 2), ints(IN_LET, 2), bools(IN_CLAUSE, 3), reals(IN_CLAUSE, 3))
def test_meaning(mix: str, let: str, mask: str, score: str) -> None:
    text = SPEC.format(mix=mix, let=let, mask=mask, score=score)
    found = attention(text)
    page = parse_file(Source("spec.attn", text))
    for scene in SCENES:
        values = {**scene, **ARRAYS}
        for word in ("mask", "score"):
            try:
                expected = Page(page, values).clause(word)
            except ZeroDivisionError:
                assume(False)
            try:
                got = meaning(getattr(found, word), Scene(values))
            except Undefined:
                assume(False)
            assert got == expected or math.isclose(got, expected, rel_tol=1e-12)


# ---- the page --------------------------------------------------------------------------------------

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: float(a) ** b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "clamp": lambda x, lo, hi: min(max(x, lo), hi),
    "abs": abs,
    "floor": math.floor,
    "tanh": math.tanh,
    "relu": lambda x: max(x, 0),
    "ispow2": lambda n: n > 0 and n.bit_count() == 1,
}


class Page:
    """What stands on the page, read with Python's own scopes."""

    def __init__(self, file: tree.File, values: dict[str, Any]) -> None:
        self.here = dict(values)
        self.outside = {name: values[name] for name in ("i", "j", "h", "N", "scale")}
        for item in file.items:
            match item:
                case tree.Const(name, value):
                    self.outside[name.id] = self.here[name.id] = self.of(value, self.outside)
                case tree.Macro(name, params, body):
                    made = self.macro(params or (), body)
                    self.outside[name.id] = self.here[name.id] = made
                case tree.Attention(_, _, clauses):
                    self.clauses = clauses

    def macro(self, params: tuple[tree.MacroParam, ...], body: tree.Expr) -> Callable[..., Any]:
        def expand(*args: Any) -> Any:
            own = dict(self.outside)
            for place, param in enumerate(params):
                own[param.name.id] = (
                    args[place] if place < len(args) else self.of(param.default, self.outside)
                )
            return self.of(body, own)

        return expand

    def clause(self, word: str) -> Any:
        scope = dict(self.here)
        for clause in self.clauses:
            match clause:
                case tree.Let(name, value):
                    scope[name.id] = self.of(value, scope)
                case tree.Clause(own, value) if own == word:
                    return self.of(value, scope)
        raise AssertionError(word)

    def of(self, e: tree.Expr | None, scope: dict[str, Any]) -> Any:
        def get(x: tree.Expr) -> Any:
            return self.of(x, scope)

        match e:
            case tree.Number(value) | tree.Truth(value):
                return value
            case tree.Name(name):
                return scope[name]
            case tree.Unary("-", a):
                return -get(a)
            case tree.Unary("not", a):
                return not get(a)
            case tree.Binary(op, a, b):
                return OPERATORS[op](get(a), get(b))
            case tree.Compare(ops, operands):
                xs = [get(x) for x in operands]
                return all(OPERATORS[op](a, b) for op, a, b in zip(ops, xs[:-1], xs[1:], strict=True))
            case tree.Logic(op, items):
                return (all if op == "and" else any)([get(x) for x in items])
            case tree.IfElse(then, cond, other):
                return get(then) if get(cond) else get(other)
            case tree.In(item, tree.Index(base, items), negated):
                row = scope[base.id]
                for place in items[:-1]:
                    row = row[get(place)]
                return (get(item) in [x for x in row if x >= 0]) != negated
            case tree.Index(base, items):
                found = scope[base.id]
                for place in items:
                    found = found[get(place)]
                return found
            case tree.Call(fn, args, kwargs):
                called = FUNCTIONS.get(fn.id) or scope[fn.id]
                return called(*map(get, args), **{name.id: get(x) for name, x in kwargs})
            case _:
                raise AssertionError(f"no meaning for {e!r}")
