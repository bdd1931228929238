"""The verifier accepts what is an attention and names what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from properties import cases
from random_terms import random_attentions
from read_ir import parse_ir
from verify_ir import verify

from attnc.errors import CompilerBug
from attnc.ir import nodes as ir

TEXT = """
attention sample
    param w: int = 3
    param c: float
    param on: bool
    param table: sorted int[B, N]
    param bias: float[H, w]
    param gate: float[N, D]
    grid query y: w
    let gap = i - j
    query q
    key k
    value v
    mask j <= i
    score dot(q, k) * scale
    normalize exp(s) / sum(exp(s))
    output o
"""


def sample(**clauses: str) -> ir.Attention:
    text = TEXT
    for word, term in clauses.items():
        lines = [
            f"    {word} {term}" if line.startswith(f"    {word} ") else line for line in text.split("\n")
        ]
        text = "\n".join(lines)
    return parse_ir(text)


def test_an_attention_passes() -> None:
    verify(sample())


@cases(50)
@given(random_attentions())
def test_random_attentions_pass(attention: ir.Attention) -> None:
    verify(attention)


@pytest.mark.parametrize(
    ("clauses", "complaint"),
    [
        ({"query": "q * splat(real(j))"}, "`query` speaks of `j`, which it does not have"),
        ({"query": "k"}, "`query` speaks of `k`, which it does not have"),
        ({"key": "k * splat(real(i))"}, "`key` speaks of `i`, which it does not have"),
        ({"value": "k"}, "`value` speaks of `k`, which it does not have"),
        ({"mask": "0.0 < dot(q, k)"}, "`mask` speaks of `q`, which it does not have"),
        ({"output": "o * splat(real(j))"}, "`output` speaks of `j`, which it does not have"),
        ({"output": "q"}, "`output` speaks of `q`, which it does not have"),
        ({"score": "s"}, "`score` holds Score(), which belongs into `normalize`"),
        ({"score": "count()"}, "`score` holds Count(), which belongs into `normalize`"),
        ({"mask": "first(i) <= j"}, "`mask` holds TileEnd(axis='i', end='first'), which belongs into facts"),
        ({"mask": "i.y <= j"}, "`mask` holds Coordinate(axis='i', name='y'), which belongs into facts"),
        ({"mask": "on[i]"}, "`mask` takes `on` for an array"),
        ({"score": "gate[i, j]", "query": "gate[i, :]"}, ""),
        ({"score": "bias[h]"}, "`score` reads `bias` in 1 dimensions of its 2"),
        ({"query": "gate[i, i, :]"}, "`query` reads `gate` in 3 dimensions of its 2"),
        ({"mask": "j in gate[i, :]"}, "`mask` reads `gate` as int, and it is float"),
        ({"query": "splat(1.0)"}, "`query` holds a number in place of a vector, which has no width"),
        ({"score": "dot(q, splat(1.0))"}, "`score` holds a number in place of a vector, which has no width"),
        ({"score": "sum_d(splat(1.0))"}, "`score` holds a number in place of a vector, which has no width"),
    ],
)
def test_clauses(clauses: dict[str, str], complaint: str) -> None:
    attention = sample(**clauses)
    if not complaint:
        verify(attention)
        return
    with pytest.raises(CompilerBug) as caught:
        verify(attention)
    assert str(caught.value).startswith(complaint)


ROW, CAP = ir.Index("i"), ir.RealParam("c")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"mask": ir.Compare("<", ROW, CAP)}, "`mask` compares two sorts"),
        ({"mask": ir.Compare(">", ROW, ROW)}, "`mask`: `op` of Compare holds '>'"),  # type: ignore[arg-type]
        ({"mask": CAP}, "`sample`: `mask` of Attention holds RealParam(name='c')"),
        ({"mask": ir.And([ir.Truth(True)])}, "`mask`: `items` of And holds"),  # type: ignore[arg-type]
        ({"mask": ir.BoolParam("of")}, "`mask` reads `of`, which is no parameter"),
        ({"mask": ir.BoolParam("table")}, "`mask` reads `table` as bool, and it is int"),
        ({"score": ir.RealConst(1)}, "`score`: `value` of RealConst holds 1"),
        ({"mask": ir.Compare("<", ROW, ir.IntConst(True))}, "`mask`: `value` of IntConst holds True"),
        ({"score": ir.RealOp("//", CAP, CAP)}, "`score`: `op` of RealOp holds '//'"),  # type: ignore[arg-type]
        ({"score": ir.FromInt(CAP)}, "`score`: `a` of FromInt holds RealParam"),  # type: ignore[arg-type]
        ({"lets": (("x", ir.IntParam("of")),)}, "`let x` reads `of`, which is no parameter"),
        ({"lets": (("x", "y"),)}, "`sample`: `lets` of Attention holds"),
        (
            {"grid": (ir.GridAxis("query", "y", ROW),)},
            "grid axis `y` has a size that depends on Index(axis='i')",
        ),
        ({"params": (ir.Param("x", "int"), ir.Param("x", "int"))}, "`sample` has two parameters of one name"),
        (
            {"params": (ir.Param("x", "int", sizes=(ROW,)),)},
            "parameter `x` has a size that depends on Index(axis='i')",
        ),
        ({"params": (ir.Param("x", "int", sorted=True),)}, "parameter `x` is a scalar, and `sorted`"),
        ({"params": (ir.Param("x", "int", default=True),)}, "parameter `x` is int, and has the default True"),
        (
            {"params": (ir.Param("x", "int", sizes=(ir.Size("N"),), default=1),)},
            "parameter `x` is an array, and has a default",
        ),
    ],
)
def test_nodes(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(CompilerBug) as caught:
        verify(replace(sample(), **fields))  # type: ignore[arg-type]
    assert str(caught.value).startswith(complaint)
