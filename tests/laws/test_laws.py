"""Every law twice: by its text, and by what both sides mean for every input there is room for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scalar_meaning import Scene, Undefined, meaning

from attnc.errors import CompilerBug
from attnc.ir import nodes as ir
from attnc.ir.laws import BOOLEAN_LAWS, INTEGER_LAWS, REAL_LAWS
from attnc.ir.rewrite import Law, Step, rewrite
from attnc.ir.text import parse_ir, parse_term, print_ir
from attnc.ir.walk import replace_terms, walk
from attnc.run.points import all_pairs
from attnc.run.terms import Terms
from attnc.source import Source, Span

INTEGERS = {"x": "int", "y": "int", "z": "int"}
BOOLEANS = {"x": "int", "y": "int", "p": "bool", "r": "bool", "t": "bool", "u": "float", "v_": "float"}
REALS = {"x": "float", "y": "float", "n": "int", "m": "int"}

# For each law: what it is shown, and what it must answer; None where it must not apply.
INTEGER_CASES = [
    ("0 - (0 - x) = x", "0 - (0 - x)", "x"),
    ("0 - (x - y) = y - x", "0 - (x - y)", "y - x"),
    ("x + (0 - y) = x - y", "x + (0 - y)", "x - y"),
    ("x - (0 - y) = x + y", "x - (0 - y)", "x + y"),
    ("x + y - y = x", "x + y - y", "x"),
    ("x + y - y = x", "x + y - z", None),
    ("x + y - x = y", "x + y - x", "y"),
    ("x - y + y = x", "x - y + y", "x"),
    ("y + (x - y) = x", "y + (x - y)", "x"),
    ("x // c * c + x % c = x", "x // 3 * 3 + x % 3", "x"),
    ("x // c * c + x % c = x", "x // -3 * -3 + x % -3", "x"),
    ("x // c * c + x % c = x", "x // 3 * 3 + x % 2", None),
    ("x // c * c + x % c = x", "x // 0 * 0 + x % 0", None),
    ("x + c + d = x + (c + d)", "x + 2 + 3", "x + 5"),
    ("x + c + d = x + (c + d)", "x + 2 - 3", "x - 1"),
    ("x + c + d = x + (c + d)", "x - 2 - 3", "x - 5"),
    ("x + c + d = x + (c + d)", "x - 3 + 3", "x"),
    ("x * c * d = x * (c * d)", "x * 2 * -3", "x * (-6)"),
    ("x * c // c = x", "x * 3 // 3", "x"),
    ("x * c // c = x", "x * -3 // -3", "x"),
    ("x * c // c = x", "x * 0 // 0", None),
    ("x * c % c = 0", "x * 3 % 3", "0"),
    ("x * c % c = 0", "x * -2 % -2", "0"),
    ("x // c // d = x // (c * d)", "x // 2 // 3", "x // 6"),
    ("x // c // d = x // (c * d)", "x // 2 // -3", None),
    ("x % c % c = x % c", "x % 3 % 3", "x % 3"),
    ("x % c // c = 0", "x % 3 // 3", "0"),
    ("x % c // c = 0", "x % -3 // -3", "0"),
    ("min(x, max(x, y)) = x", "min(x, max(x, y))", "x"),
    ("min(x, max(x, y)) = x", "max(min(y, x), x)", "x"),
    ("min(x, max(x, y)) = x", "min(x, min(x, y))", None),
    ("min(min(x, c), d) = min(x, min(c, d))", "min(min(x, 3), 2)", "min(x, 2)"),
    ("min(min(x, c), d) = min(x, min(c, d))", "max(max(x, -1), 2)", "max(x, 2)"),
    ("min(min(x, c), d) = min(x, min(c, d))", "max(min(x, 3), 2)", None),
    ("abs(0 - x) = abs(x)", "abs(0 - x)", "abs(x)"),
]
BOOLEAN_CASES = [
    ("not (p and q) = not p or not q", "not (p and x < y)", "not p or y <= x"),
    ("not (p or q) = not p and not q", "not (p or r or x == y)", "not p and not r and x != y"),
    ("p and not p = false", "p and r and not p", "false"),
    ("p and not p = false", "x < y and y <= x", "false"),
    ("p and not p = false", "u < v_ and v_ <= u", None),
    ("p or not p = true", "x <= y or r or y < x", "true"),
    ("p and (p or q) = p", "p and (r or p)", "p"),
    ("p and (p or q) = p", "(r or p) and p", None),
    ("p and (p or q) = p", "p and t and (r or p)", "p and t"),
    ("p or p and q = p", "p or r and p", "p"),
    ("p or p and q = p", "r and p or p", None),
    ("p if q else false = q and p", "p if r else false", "r and p"),
    ("true if q else p = q or p", "true if r else p", "r or p"),
    ("false if q else p = not q and p", "false if r else p", "not r and p"),
    ("p if q else true = not q or p", "p if r else true", "not r or p"),
    ("x < y or x == y = x <= y", "x < y or x == y", "x <= y"),
    ("x < y or x == y = x <= y", "p or y == x or r or x < y", "p or x <= y or r"),
    ("x < y or x == y = x <= y", "u < v_ or u == v_", "u <= v_"),
    ("x < y or x == y = x <= y", "x < y or x == 3", None),
    ("x if not p else y = y if p else x", "x if not p else y", "y if p else x"),
    ("x if not p else y = y if p else x", "r if not p else t", "t if p else r"),
    ("x if not p else y = y if p else x", "u if not p else v_", "v_ if p else u"),
]
REAL_CASES = [
    ("0 - (0 - x) = x", "0.0 - (0.0 - x)", "x"),
    ("0 - (x - y) = y - x", "0.0 - (x - y)", "y - x"),
    ("x + (0 - y) = x - y", "x + (0.0 - y)", "x - y"),
    ("x - (0 - y) = x + y", "x - (0.0 - y)", "x + y"),
    ("(0 - x) * (0 - y) = x * y", "(0.0 - x) * (0.0 - y)", "x * y"),
    ("abs(0 - x) = abs(x)", "abs(0.0 - x)", "abs(x)"),
    ("abs(0 - x) = abs(x)", "cos(0.0 - x)", "cos(x)"),
    ("abs(0 - x) = abs(x)", "sin(0.0 - x)", None),
    ("x ** 2 = x * x", "x ** 2.0", "x * x"),
    ("x ** -1 = 1 / x", "x ** (-1.0)", "1.0 / x"),
    ("x ** 0.5 = sqrt(x)", "real(n) ** 0.5", "sqrt(real(n))"),
    ("x ** 0.5 = sqrt(x)", "exp(x) ** 0.5", "sqrt(exp(x))"),
    ("x ** 0.5 = sqrt(x)", "x ** 0.5", None),
    ("x ** 0.5 = sqrt(x)", "log(x) ** 0.5", None),
    ("x / c = x * (1 / c)", "x / 4.0", "x * 0.25"),
    ("x / c = x * (1 / c)", "x / -0.5", "x * (-2.0)"),
    ("x / c = x * (1 / c)", "x / 3.0", None),
    ("x / c = x * (1 / c)", "x / 1e+300", None),
    ("x / c = x * (1 / c)", "x / 1.1754943508222875e-38", "x * 8.507059173023462e+37"),
    ("x / c = x * (1 / c)", "x / 5.877471754111438e-39", None),
    ("real(x) < real(y) = x < y", "real(n) < real(m)", "n < m"),
    ("real(x) < real(y) = x < y", "real(n) == real(m)", "n == m"),
    ("real(x) < real(y) = x < y", "real(n) < x", None),
]
ROOMS = [
    (INTEGER_LAWS, INTEGERS, INTEGER_CASES),
    (BOOLEAN_LAWS, BOOLEANS, BOOLEAN_CASES),
    (REAL_LAWS, REALS, REAL_CASES),
]
CASES = [
    pytest.param(laws, sorts, *case, id=f"{sorts['x']}: {case[0]}  |  {case[1]}")
    for laws, sorts, cases in ROOMS
    for case in cases
]


def the_law(laws: list[Law], text: str) -> Law:
    return next(law for law in laws if law.text == text)


@pytest.mark.parametrize(("laws", "sorts", "text", "before", "after"), CASES)
def test_text(laws: list[Law], sorts: dict[str, str], text: str, before: str, after: str | None) -> None:
    found = the_law(laws, text).apply(parse_term(before, sorts))
    assert (None if found is None else print_ir(found)) == after


@pytest.mark.parametrize(("laws", "sorts", "cases"), ROOMS)
def test_every_law_has_a_case(
    laws: list[Law], sorts: dict[str, str], cases: list[tuple[str, str, str]]
) -> None:
    assert {law.text for law in laws} == {text for text, _, after in cases if after is not None}


def is_same(a: float, b: float) -> bool:
    """The same number, or its neighbor."""
    return (
        a == b
        or bool(np.isnan(a) and np.isnan(b))
        or b in (np.nextafter(a, -np.inf), np.nextafter(a, np.inf))
    )


WILD = [0.0, 1.0, -1.0, 0.5, -2.0, 1 / 3, 1e-160, -1e160, 3e-310, float("inf"), -float("inf"), float("nan")]
INPUTS = {"int": range(-7, 8), "bool": (False, True), "float": WILD}


@pytest.mark.parametrize(
    ("laws", "sorts", "text", "before", "after"), [c for c in CASES if c.values[4] is not None]
)
def test_meaning(laws: list[Law], sorts: dict[str, str], text: str, before: str, after: str) -> None:
    left, right = parse_term(before, sorts), parse_term(after, sorts)
    names = sorted(
        {node.name for node in walk(left) if isinstance(node, ir.IntParam | ir.RealParam | ir.BoolParam)}
    )
    for values in itertools.product(*(INPUTS[sorts[name]] for name in names)):
        scene = Scene(values=dict(zip(names, values, strict=True)))
        try:
            expected = meaning(left, scene)
        except Undefined:
            continue
        got = meaning(right, scene)
        if isinstance(left, ir.Real):
            assert is_same(got, expected), scene.values
        else:
            assert got == expected, scene.values


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [case for case in REAL_CASES if case[2] is not None and "real(" not in case[1]],
)
def test_derivatives(text: str, before: str, after: str) -> None:
    sides = []
    inputs = [
        torch.tensor(values, dtype=torch.float64)
        for values in zip(*itertools.product(WILD, WILD), strict=True)
    ]
    at = all_pairs({"b": 1, "h": 1, "i": len(inputs[0]), "j": 1}, torch.device("cpu"))
    read = {name: ir.RealLoad(name, (ir.Index("i"),)) for name in "xy"}
    for side in (before, after):
        term = replace_terms(
            parse_term(side, REALS), lambda t: read[t.name] if isinstance(t, ir.RealParam) else None
        )
        leaves = [x.clone().requires_grad_() for x in inputs]
        assert isinstance(term, ir.Real)
        value = Terms(dict(zip("xy", leaves, strict=True))).real(term, at)
        sides.append([value.detach(), *torch.autograd.grad(value.sum(), leaves, materialize_grads=True)])
    for left, right in zip(*sides, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-15, atol=1e-300, equal_nan=True)


# ---- the rewriter itself ---------------------------------------------------------------------------


def test_rewriting_goes_on_until_no_law_applies() -> None:
    term = parse_term("0 - (0 - (x + 1 + 2 - 3)) + (0 - y)", INTEGERS)
    steps: list[Step] = []
    assert print_ir(rewrite(term, INTEGER_LAWS, steps)) == "x - y"
    assert [step.law.text for step in steps] == [
        "x + c + d = x + (c + d)",
        "x + y - y = x",
        "0 - (0 - x) = x",
        "x + (0 - y) = x - y",
    ]
    assert [print_ir(step.after) for step in steps] == ["x + 3", "x", "x", "x - y"]


def test_what_no_law_touches_is_the_same_object() -> None:
    term = parse_term("x + y * z", INTEGERS)
    assert rewrite(term, INTEGER_LAWS) is term


def test_a_shared_part_is_rewritten_once() -> None:
    term = parse_term("0 - (0 - x)", INTEGERS)
    assert isinstance(term, ir.Int)
    for _ in range(50):
        term = ir.IntOp("*", term, term)
    steps: list[Step] = []
    rewrite(term, INTEGER_LAWS, steps)
    assert len(steps) == 1


def test_a_step_keeps_the_span() -> None:
    span = Span(Source("a.attn", "x ** 2"), 0, 6)
    term = ir.RealOp("**", ir.RealParam("x"), ir.RealConst(2.0), span=span)
    assert rewrite(term, REAL_LAWS).span == span


def test_an_attention_is_rewritten_as_a_whole() -> None:
    attention = parse_ir(
        "attention a query q key k value v mask not (j < i or i < j)"
        " score dot(q, k) ** 2.0 / 8.0 normalize exp(s) / sum(exp(s)) output o"
    )
    done = rewrite(attention, [*INTEGER_LAWS, *BOOLEAN_LAWS, *REAL_LAWS])
    assert isinstance(done, ir.Attention)
    assert print_ir(done.mask) == "i <= j and j <= i"
    assert print_ir(done.score) == "dot(q, k) * dot(q, k) * 0.125"


def test_a_law_that_changes_nothing_is_a_bug() -> None:
    with pytest.raises(CompilerBug):
        rewrite(ir.Index("i"), [Law("x = x", lambda term: term)])
