"""Canonical terms: what is equal is equal whatever the way, and means what the term meant that it was made from."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_oracle import evaluate
from mask_zoo import SORTS
from properties import cases
from random_masks import I, J, W, calls, conditions, masks, terms
from read_ir import parse_term

from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.arithmetic import Comparison
from attnc.ir.text import print_ir
from attnc.sets.convert import to_bool, to_int, to_polynomial, to_predicate
from attnc.sets.polynomial import Leaf, Polynomial, polynomial
from attnc.sets.predicate import negation
from attnc.sets.substitute import substitute, substitute_in

PROPERTY = cases(200)
random_terms = terms(3, conditions(0))
places = st.tuples(st.integers(0, 11), st.integers(0, 11))


def times(number: int, term: ir.Int) -> ir.Int:
    return build.integer("*", ir.IntConst(number), term)


def read(text: str) -> Polynomial:
    term = parse_term(text, SORTS)
    assert isinstance(term, ir.Int)
    return to_polynomial(term)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("i - i % chunk", "chunk * (i // chunk)"),
        ("(i + chunk) // chunk", "i // chunk + 1"),
        ("(4 * i + 6) // 8", "(2 * i + 3) // 4"),
        ("i // 4 // 3", "i // 12"),
        ("i // (-3)", "(-1 * i) // 3"),
        ("i * (j + 2) - j * i", "2 * i"),
        ("max(i, j) - max(j, i)", "0"),
        ("max(i, i + 3)", "i + 3"),
        ("(max(i if on else j, 3) if on else (i if on else j) // 2)", "(max(i, 3) if on else j // 2)"),
        ("min(min(i, 7), min(j, 5))", "min(5, min(j, i))"),
        ("abs(i - j)", "max(j - i, i - j)"),
        ("(i + 5) % 1", "0"),
        ("-7 // 2", "-4"),
        ("7 % -3", "-2"),
    ],
)
def test_equal_terms_are_equal(one: str, other: str) -> None:
    assert read(one) == read(other)
    assert hash(read(one)) == hash(read(other))


@pytest.mark.parametrize(
    "text",
    [
        "i - window + 1",
        "chunk * (i // chunk) + chunk",
        "min(last(i) + 1, 4)",
        "max(last(i) + 1, prefix)",
        "N - i - 1",
        "i % chunk",
        "3 * i % chunk + 2",
        "-1 - window",
        "-window",
        "last(i) + M - N + 1",
        "windows[h] if h < 4 else 0",
        "i + 1 if 0 < window and window < 9 else 0",
        "i if window == 3 else j",
        "i if valid[b, h] or on else j",
        "(j + 3) // stride",
        "i * i - 2 * i * j",
        "floor(real(i) * 0.5) + 1",
        "0",
    ],
)
def test_terms_are_written_as_a_person_would(text: str) -> None:
    assert print_ir(to_int(read(text))) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("i + (1 - window)", "i - window + 1"),
        ("1 - window + i", "i - window + 1"),
        ("max(prefix - 1, i) + 1", "max(i + 1, prefix)"),
        ("0 - min(i, 3)", "max(-i, -3)"),
        ("(i - 1 if on else 4) + 1", "i if on else 5"),
        ("N - 7 * (N // 7) + 1", "N % 7 + 1"),
        ("max(1, max(j, i))", "max(max(i, j), 1)"),
        # What items have in common stands in front.
        ("max(i, i - window)", "i - min(window, 0)"),
        ("min(i - window, i - prefix)", "i - max(prefix, window)"),
        ("max(i + stride - 1, i + window - 1) + 1", "i + max(stride, window)"),
        ("stride + max(window - 1, -1) + 1", "stride + max(window, 0)"),
        ("min(i + window, max(i + stride, i))", "i + min(window, max(stride, 0))"),
    ],
)
def test_terms_are_made_plain(text: str, plain: str) -> None:
    assert print_ir(to_int(read(text))) == plain


@PROPERTY
@given(random_terms, calls(), places)
def test_a_polynomial_means_its_term(term: ir.Int, values: dict[str, Any], at: tuple[int, int]) -> None:
    here = {**values, "i": at[0] % values["N"], "j": at[1] % values["M"]}
    assert evaluate(to_int(to_polynomial(term)), here) == evaluate(term, here)


MULTIPLES = st.builds(
    lambda n, a, m, b, c: build.integer("+", build.integer("+", times(n, a), times(m, b)), ir.IntConst(c)),
    *[st.sampled_from([-6, -4, 2, 3, 4, 6]), st.sampled_from([I, J, W])] * 2,
    st.integers(-9, 9),
)
OF_MULTIPLES = st.builds(
    lambda op, a, n: build.integer(op, a, ir.IntConst(n)),
    st.sampled_from(["//", "%"]),
    st.one_of(MULTIPLES, st.builds(build.int_abs, MULTIPLES)),
    st.sampled_from([-4, 2, 3, 4, 6, 12]),
)


@PROPERTY
@given(
    st.one_of(MULTIPLES, OF_MULTIPLES),
    st.sampled_from(["<", "<=", "==", "!="]),
    st.integers(-9, 9),
    calls(),
    places,
)
def test_lowest_terms_mean_the_same(
    term: ir.Int, op: Comparison, number: int, values: dict[str, Any], at: tuple[int, int]
) -> None:
    """Where numbers have a factor in common, which random terms seldom do."""
    here = {**values, "i": at[0] % values["N"], "j": at[1] % values["M"]}
    mask = build.compare(op, term, ir.IntConst(number))
    assert evaluate(to_int(to_polynomial(term)), here) == evaluate(term, here)
    assert evaluate(to_bool(to_predicate(mask)), here) == evaluate(mask, here)


@pytest.mark.parametrize("op", ["==", "!=", "<"])
@pytest.mark.parametrize("n", [2, 3, 4, -3])
def test_remainders_of_distances(op: Comparison, n: int) -> None:
    """What divides a distance divides its absolute value; other remainders differ."""
    distance = build.integer("-", I, J)
    for number in range(-4, 5):
        term = build.integer("%", build.int_abs(distance), ir.IntConst(n))
        mask = build.compare(op, term, ir.IntConst(number))
        simplified = to_bool(to_predicate(mask))
        for i, j in product(range(8), repeat=2):
            here = {"i": i, "j": j}
            assert evaluate(simplified, here) == evaluate(mask, here)


@PROPERTY
@given(masks, calls(), places)
def test_a_predicate_means_its_term(mask: ir.Bool, values: dict[str, Any], at: tuple[int, int]) -> None:
    here = {**values, "i": at[0] % values["N"], "j": at[1] % values["M"]}
    predicate, truth = to_predicate(mask), evaluate(mask, here)
    assert evaluate(to_bool(predicate), here) == truth
    assert evaluate(to_bool(negation(predicate)), here) == (not truth)


@PROPERTY
@given(random_terms, masks, terms(1, st.just(ir.Truth(True))), calls(), places)
def test_substitution_puts_a_value_in(
    term: ir.Int, mask: ir.Bool, value: ir.Int, values: dict[str, Any], at: tuple[int, int]
) -> None:
    here = {**values, "i": at[0] % values["N"], "j": at[1] % values["M"]}
    there = {**here, "i": evaluate(value, here)}
    i, new = Leaf(I), to_polynomial(value)
    if 0 <= there["i"] < values["N"]:
        assert evaluate(to_int(substitute(to_polynomial(term), i, new)), here) == evaluate(term, there)
        assert evaluate(to_bool(substitute_in(to_predicate(mask), i, new)), here) == evaluate(mask, there)


@PROPERTY
@given(random_terms, random_terms)
def test_equality_is_of_the_structure(one: ir.Int, other: ir.Int) -> None:
    a, b = to_polynomial(one), to_polynomial(other)
    assert a + b == b + a and a * b == b * a and a - a == polynomial(0)
    assert (a == b) == (a.key == b.key)


def test_names_of_different_kinds_do_not_meet() -> None:
    """A parameter named like a size or a tile end would be another leaf."""
    leaves = [ir.Size("N"), ir.IntParam("N"), ir.Index("i"), ir.IntParam("i"), ir.TileEnd("i", "first")]
    assert len({Leaf(term) for term in leaves}) == len(leaves)
    assert Leaf(I) != Leaf(J)


def test_order_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "import sys; sys.path[:0] = ['tests'];"
        "from mask_zoo import ALL, attention_of;"
        "from attnc.analyze.ranges import find_ranges;"
        "from attnc.analyze.rows import find_rows;"
        "attentions = [attention_of(text) for text in ALL.values()];"
        "print([(find_ranges(a, t), find_rows(a)) for a in attentions for t in 'ij'])"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parent.parent.parent,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "77")
    ]
    assert len(texts[0]) > 10_000
    assert texts[0] == texts[1]
