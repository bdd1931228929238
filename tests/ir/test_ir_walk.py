"""Going through terms, and putting others in their place."""

from __future__ import annotations

import pytest
from random_terms import SORTS
from read_ir import parse_ir, parse_term

from attnc.errors import CompilerBug
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, rebuild, replace_terms, walk

CAUSAL = parse_ir("""
attention causal
    param w: int
    param bias: float[H, w]
    grid query y: w
    let gap = i - j
    query q key k value v
    mask j <= i and i - j < w
    score dot(q, k) * scale + bias[h, i - j]
    normalize exp(s) / sum(exp(s))
    output o
""")


def test_children_are_those_of_every_field() -> None:
    assert [print_ir(x) for x in parse_term("bias[h, i, j - 1]", SORTS).children] == ["h", "i", "j - 1"]
    assert [print_ir(x) for x in parse_term("i < j and on and i in table[j, :]", SORTS).children] == [
        "i < j",
        "on",
        "i in table[j, :]",
    ]


def test_an_attention_is_walked_with_its_sizes_grids_and_lets() -> None:
    seen = list(walk(CAUSAL))
    assert seen[0] is CAUSAL
    assert sum(isinstance(x, ir.Param) for x in seen) == 2
    assert sum(isinstance(x, ir.GridAxis) for x in seen) == 1
    assert any(isinstance(x, ir.Size) and x.name == "H" for x in seen)


def test_the_walk_goes_from_the_outside_in_and_from_left_to_right() -> None:
    assert [print_ir(x) for x in walk(parse_term("(i + j) * (h - 1)"))] == [
        "(i + j) * (h - 1)",
        "i + j",
        "i",
        "j",
        "h - 1",
        "h",
        "1",
    ]


def doubled(levels: int) -> ir.Int:
    term: ir.Int = ir.Index("i")
    for _ in range(levels):
        term = ir.IntOp("+", term, term)
    return term


def test_what_is_shared_is_visited_once() -> None:
    assert len(list(walk(doubled(60)))) == 61
    assert axes_of(doubled(60)) == {"i"}
    replaced = replace_terms(doubled(60), lambda x: ir.IntConst(1) if isinstance(x, ir.Index) else None)
    assert replaced == ir.IntConst(2**60)


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("3 + N", ""),
        ("bias[h, i, j]", "hij"),
        ("dot(q, k)", "bhij"),
        ("dot(q, splat(1.0))", "bhi"),
        ("sum_d(k)", "bhj"),
        ("s", "bhij"),
        ("sum(exp(s) * real(j))", "bhi"),
        ("count()", "bhi"),
        ("v_i + o", "bhi"),
        ("w < table[b, 0]", "b"),
    ],
)
def test_axes(text: str, axes: str) -> None:
    assert axes_of(parse_term(text, SORTS)) == set(axes)


def test_replacing_builds_canonical_terms() -> None:
    term = parse_term("j <= i and i - j < w", SORTS)
    assert (
        print_ir(replace_terms(term, lambda x: ir.IntConst(0) if x == ir.Index("j") else None))
        == "0 <= i and i < w"
    )
    assert replace_terms(term, lambda x: ir.Index("i") if x == ir.Index("j") else None) == parse_term(
        "0 < w", SORTS
    )


def test_replacing_asks_the_outside_first_and_keeps_what_did_not_change() -> None:
    term = parse_term("(i + 1) * (j + 1)")
    asked: list[str] = []

    def change(x: ir.Node) -> ir.Node | None:
        asked.append(print_ir(x))
        return ir.IntConst(7) if print_ir(x) == "j + 1" else None

    replaced = replace_terms(term, change)
    assert asked == ["(i + 1) * (j + 1)", "i + 1", "i", "1", "j + 1"]
    assert print_ir(replaced) == "(i + 1) * 7"
    assert replaced.children[0] is term.children[0]
    assert replace_terms(term, lambda _: None) is term


def test_an_attention_is_replaced_as_a_whole() -> None:
    wider = replace_terms(CAUSAL, lambda x: ir.IntConst(5) if x == ir.IntParam("w") else None)
    assert isinstance(wider, ir.Attention)
    assert print_ir(wider.mask) == "j <= i and i - j < 5"
    assert print_ir(wider.params[1].sizes[1]) == "5"
    assert wider.grid[0].extent == ir.IntConst(5)


def test_rebuilding_takes_one_part_for_each_child() -> None:
    term = parse_term("i + j")
    assert print_ir(rebuild(term, (ir.IntConst(1), ir.Index("h")))) == "1 + h"
    with pytest.raises(CompilerBug):
        rebuild(term, (ir.IntConst(1), ir.Index("h"), ir.Index("b")))
