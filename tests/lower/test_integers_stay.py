"""Integers that are found through reals are found as they are written, and sums of positions by their distance."""

from __future__ import annotations

from dataclasses import replace

import torch
from compilations import compiled
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from random_terms import Random
from scalar_meaning import Scene, meaning
from verify_ir import CLAUSE_NAMES

import attnc
from attnc.ir import nodes as ir
from attnc.ir.walk import axes_of, replace_terms
from attnc.lower.distances import DISTANCE
from attnc.lower.hoist import hoist_token_maps
from attnc.lower.regroup import in_base_2, regroup

T5 = """
from std import t5_bucket
attention t(bias: float[H, 32], a: int, c: int):
    score     0 * dot(q, k) + bias[h, t5_bucket((j + a) - (i + c), 32, 128, true)]
    normalize none
"""
I, J = ir.Index("i"), ir.Index("j")


def decided(term: ir.Node) -> set[ir.Node]:
    """The integers and conditions of a term that are no part of another one."""
    if isinstance(term, ir.Int | ir.Bool):
        return {term}
    return {part for child in term.children for part in decided(child)}


@given(Random(CLAUSE_NAMES["score"], "D").real(4))
def test_regrouping_moves_factors_of_reals_alone(term: ir.Real) -> None:
    assert decided(regroup(term)) <= decided(term)
    assert decided(in_base_2(term)) <= decided(term)


def test_a_product_under_a_floor_keeps_its_order() -> None:
    products = ir.RealOp("*", ir.RealOp("/", ir.FromInt(J), ir.RealParam("c")), ir.RealParam("u"))
    assert regroup(products) != products
    load = ir.RealLoad("t", (ir.Floor(products),))
    assert regroup(load) == load


def sums(depth: int = 3) -> SearchStrategy[tuple[ir.Int, int]]:
    """A sum of positions and parameters, and how much it grows where both positions take a step."""
    leaves = st.sampled_from(
        [(I, 1), (J, 1), (ir.IntOp("-", I, J), 0), (DISTANCE, 0), (ir.IntParam("a"), 0), (ir.IntConst(3), 0)]
    )
    if depth == 0:
        return leaves
    x = sums(depth - 1)
    return st.one_of(
        leaves,
        st.builds(lambda m, n: (ir.IntOp("+", m[0], n[0]), m[1] + n[1]), x, x),
        st.builds(lambda m, n: (ir.IntOp("-", m[0], n[0]), m[1] - n[1]), x, x),
        st.builds(lambda m, n: (ir.IntOp("*", m[0], ir.IntConst(n)), m[1] * n), x, st.integers(-2, 3)),
    )


POSITIONS = st.integers(0, 90)


@given(sums(), POSITIONS, POSITIONS, st.integers(-9, 9))
def test_sums_that_know_the_distance_alone_are_tables(
    case: tuple[ir.Int, int], i: int, j: int, a: int
) -> None:
    term, step = case
    bucket = ir.Floor(ir.RealOp("*", ir.FromInt(ir.IntAbs(term)), ir.RealConst(0.37)))
    bare = compiled("attention t(a: int, t: float[N]):\n    score dot(q, k) + t[a]\n").attention
    score = ir.RealOp("+", ir.Dot(ir.VecInput("q"), ir.VecInput("k")), ir.RealLoad("t", (bucket,)))
    maps = hoist_token_maps(replace(bare, score=score)).maps
    assert len(maps) == bool(step == 0 and axes_of(term))
    for table in maps:
        of_distance = replace_terms(table.term, lambda part: ir.IntParam("d") if part == DISTANCE else None)
        expected = meaning(bucket, Scene({"i": i, "j": j, "a": a}))
        assert meaning(of_distance, Scene({"d": j - i, "a": a})) == expected


def test_buckets_of_shifted_positions_are_those_of_the_spec() -> None:
    """At a distance of 64 the logarithm of T5's buckets is a whole number, or a little less."""
    f = attnc.compile(T5)
    q = torch.zeros(1, 1, 300, 4, dtype=torch.float64)
    v = torch.eye(300, dtype=torch.float64)[None, None]
    bias = torch.arange(32.0, dtype=torch.float64)[None]
    for a, c in ((0, 0), (5, -2)):
        assert torch.equal(f(q, q, v, bias=bias, a=a, c=c), f.reference(q, q, v, bias=bias, a=a, c=c))
