"""The prover: what it proves is so for every value, and what ranges rest on it does prove."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_oracle import evaluate
from mask_zoo import SORTS
from properties import cases
from random_masks import IN_ORDER, C, conditions, terms
from read_ir import parse_term

from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.sets.convert import sizes_in_order, to_polynomial, to_predicate
from attnc.sets.folding import extreme, leaf
from attnc.sets.polynomial import Polynomial
from attnc.sets.predicate import NonNegative, Predicate
from attnc.sets.prover import Budget, Prover

WINDOW_AND_CHUNK = "0 < window and 0 < chunk"


def read(text: str) -> Polynomial:
    term = parse_term(text, SORTS)
    assert isinstance(term, ir.Int)
    return to_polynomial(term)


def fact(text: str) -> Predicate:
    term = parse_term(text, SORTS)
    assert isinstance(term, ir.Bool)
    return to_predicate(term)


@pytest.mark.parametrize(
    "claim",
    [
        "0 <= i", "i < N", "0 < N", "0 < H", "h < H", "b <= B - 1",
        "first(i) <= last(i)", "last(i) <= N - 1", "0 <= first(j)", "first(j) < M",
        "first(i) - window + 1 <= last(i) - window + 1",
        "min(first(i) + 1, 4) <= min(last(i) + 1, 4)",
        "max(first(i), prefix) <= max(last(i), prefix)",
        "i // 7 <= (i + 1) // 7", "(i + 1) // 7 <= i // 7 + 1", "i // 7 * 7 <= i", "i < i // 7 * 7 + 7",
        "i // 7 <= i", "i % 7 < 7", "0 <= i % 7", "4 * i // 6 <= i",
        "0 <= i * j", "0 <= i * i", "i + j < N * M + N", "0 <= abs(i - j)", "i - j <= abs(i - j)",
        "min(i, j) <= max(i, j)", "(i if on else j) <= max(i, j)", "0 <= (i if i < 3 else 3)",
        "3 - (i if i < 3 else 3) <= 3",
    ],
)  # fmt: skip
def test_what_ranges_rest_on_is_proved(claim: str) -> None:
    assert Prover().prove(fact(claim))


@pytest.mark.parametrize(
    "claim",
    [
        "chunk * (first(i) // chunk) <= first(i)",
        "first(i) // chunk <= last(i) // chunk",
        "i < chunk * (i // chunk) + chunk",
        "chunk * ((i + 1) // chunk) <= chunk * (i // chunk) + chunk",
        "0 <= i // chunk",
        "i % chunk <= chunk - 1",
        "i - window < i",
        "2 <= window + chunk",
        "chunk <= window * chunk",
    ],
)
def test_what_rests_on_facts_is_proved_with_them_alone(claim: str) -> None:
    assert Prover().given(fact(WINDOW_AND_CHUNK)).prove(fact(claim))
    assert not Prover().prove(fact(claim))


@pytest.mark.parametrize(
    "claim",
    [
        "0 <= window",
        "N <= M",
        "M <= N",
        "i <= j",
        "i < M",
        "last(i) <= first(i)",
        "first(i) <= first(j)",
        "1 < N",
    ],
)
def test_nothing_is_known_of_parameters_and_how_sizes_compare(claim: str) -> None:
    assert not Prover().prove(fact(claim))


def test_the_least_of_a_tile_is_not_above_the_greatest() -> None:
    least, greatest, other = (
        leaf(ir.OverTile(kind, "i", ir.IntLoad(name, (ir.Index("i"),))))
        for kind, name in (("min", "doc"), ("max", "doc"), ("max", "start"))
    )
    prover, first, last = Prover(), read("first(i)"), read("last(i)")
    assert prover.prove_at_most(extreme("max", (least, first)), extreme("max", (greatest, last)))
    assert not prover.prove_at_most(greatest, least)
    assert not prover.prove_at_most(least, other)


def test_facts_decide_conditions() -> None:
    prover = Prover().given(fact("window <= 3 and on"))
    assert prover.decide(fact("window < 4")) is True
    assert prover.decide(fact("5 <= window")) is False
    assert prover.decide(fact("on")) is True
    assert prover.decide(fact("not on")) is False
    assert prover.decide(fact("window == 2")) is None
    assert prover.decide(fact("window <= 2")) is None
    assert prover.prove(fact("(window if on else 9) <= 3"))


def test_a_spent_budget_proves_nothing_more() -> None:
    prover = Prover(budget=Budget(10))
    assert not prover.prove_nonnegative(read("N - 1 - i % 7"))
    assert prover.budget.is_spent
    assert prover.prove_nonnegative(read("7"))
    assert not prover.given(fact("0 < window")).prove_nonnegative(read("window"))


def test_contradictory_and_circular_facts_come_to_an_end() -> None:
    prover = Prover().given(
        fact("window < prefix and prefix < window and left <= right + 1 and right <= left + 1")
    )
    assert not prover.prove_nonnegative(read("left - 10"))


def draw_values(random: Random) -> dict[str, Any]:
    n, m = random.randint(1, 15), random.randint(1, 15)
    i, j = sorted(random.randrange(n) for _ in range(2)), sorted(random.randrange(m) for _ in range(2))
    number = lambda: random.randint(-20, 20)  # noqa: E731
    return {
        "N": n, "M": m, "H": 2, "B": 2, "h": random.randrange(2), "b": random.randrange(2),
        "i": random.randrange(n), "j": random.randrange(m),
        "i.first": i[0], "i.last": i[1], "j.first": j[0], "j.last": j[1],
        "w": number(), "p": number(), "c": number() or 1, "on": random.random() < 0.5,
        "at_head": [number(), number()], "doc": [number() for _ in range(15)],
        "s": 15, "order": sorted(number() for _ in range(15)),
        "orders": [sorted(number() for _ in range(15)) for _ in range(2)],
        "flags": [random.random() < 0.5 for _ in range(15)],
    }  # fmt: skip


VALUES = st.one_of(
    st.sampled_from([ir.IntLoad("order", (ir.Index(axis),)) for axis in "ij"]),  # type: ignore[arg-type]
    st.sampled_from([ir.Index("i"), ir.Index("j"), ir.IntParam("w")]),
)
PLACES = st.builds(
    lambda value, above: ir.Rank("order", (), build.integer("+", value, ir.IntConst(above))),
    VALUES,
    st.integers(-2, 2),
)
AROUND_PLACES = st.builds(
    lambda a, b, n, m: build.integer("-", build.integer("*", a, ir.IntConst(m)), build.integer("+", b, ir.IntConst(n))),
    PLACES, st.one_of(PLACES, VALUES, st.just(ir.IntParam("s"))), st.integers(-2, 2), st.sampled_from([1, 1, -1]),
)  # fmt: skip
ENDS = st.sampled_from([ir.TileEnd(axis, end) for axis in "ij" for end in ("first", "last")])
SHIFTED = st.builds(lambda a, b, n: ir.IntOp("-", ir.IntOp("+", a, n), b), *[st.one_of(
    terms(2, conditions(0)), ENDS)] * 2, st.integers(0, 4).map(ir.IntConst))  # fmt: skip


@cases(400)
@given(st.one_of(terms(3, conditions(0)), SHIFTED, AROUND_PLACES), st.booleans(), st.integers(0, 2**32))
def test_what_is_proved_is_so(term: ir.Int, positive_divisor: bool, seed: int) -> None:
    a, random = to_polynomial(term), Random(seed)
    prover = Prover(in_order=sizes_in_order(IN_ORDER))
    if positive_divisor:
        prover = prover.given(NonNegative(to_polynomial(C) - 1))
    lower, upper = prover.prove_nonnegative(a), prover.prove_nonnegative(-a)
    if lower or upper:
        for _ in range(60):
            values = draw_values(random)
            value = evaluate(term, {**values, "c": abs(values["c"])} if positive_divisor else values)
            assert value >= 0 or not lower
            assert value <= 0 or not upper
