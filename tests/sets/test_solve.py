"""Solved masks against the masks: at every pair, and for every value by the integer set library."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from integer_oracle import evaluate, heads
from mask_zoo import ALL, LOOSE, mask_of, nasty
from properties import cases
from random_masks import calls, masks

from attnc.analyze.ranges import make_plane
from attnc.analyze.requirements import find_requirements
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir
from attnc.sets.convert import to_bool, to_predicate
from attnc.sets.pieces import Piece, Plane
from attnc.sets.polynomial import polynomial
from attnc.sets.predicate import Predicate, every, nonnegative
from attnc.sets.solve import EVERYTHING, MOST_PIECES, Limits, Side, Solver

islpy = pytest.importorskip("islpy")
from isl_oracle import names_in, to_set, without_arrays  # noqa: E402

# What the integer set library cannot say: arrays at positions, powers of two, reals, a position times a parameter.
NO_SET = {
    "documents", "documents_alone", "valid_keys", "valid_queries", "valid_or_causal", "valid_sinks_and_window",
    "starts", "latest", "earliest", "powers", "real_distance", "floored_distance",
    "head_chunks", "strided_by_head", "stretched_by_head",
}  # fmt: skip


def predicate_of(piece: Piece, plane: Plane) -> Predicate:
    parts = list(piece.guards)
    for stretch, leaf in ((piece.other, plane.other), (piece.target, plane.target)):
        parts += [nonnegative(polynomial(leaf) - low) for low in stretch.lows]
        parts += [nonnegative(high - polynomial(leaf)) for high in stretch.highs]
    return every(parts)


def solved(mask: ir.Bool, target: str, side: Side) -> tuple[ir.Bool, bool]:
    """The union of the pieces as a mask, and whether they are said to be exact."""
    plane = make_plane(target, find_requirements(mask))  # type: ignore[arg-type]
    pieces = Solver(plane, side).solve(to_predicate(mask))
    union = build.disj(*(to_bool(predicate_of(piece, plane)) for piece in pieces))
    return union, all(piece.exact for piece in pieces)


@pytest.mark.parametrize("target", ["j", "i"])
@pytest.mark.parametrize("name", [name for name in ALL if name not in NO_SET])
def test_pieces_are_the_mask_for_every_argument(name: str, target: str) -> None:
    mask = without_arrays(mask_of(ALL[name]))
    names = names_in(mask)
    truth = to_set(mask, names)
    for side in ("over", "under"):
        union, exact = solved(mask, target, side)
        found = to_set(union, names)
        assert truth <= found if side == "over" else found <= truth
        if exact and side == "over":
            assert found == truth
    if name not in LOOSE:
        assert solved(mask, target, "over")[1], "said to be wider than the mask"


def check_at_every_pair(mask: ir.Bool, values: dict[str, Any]) -> None:
    requires = find_requirements(mask)
    if any(evaluate(each.term, values) < 1 for each in requires):
        return
    for target in ("j", "i"):
        (over, exact), (under, _) = solved(mask, target, "over"), solved(mask, target, "under")
        for i in range(values["N"]):
            for j in range(values["M"]):
                here = {**values, "i": i, "j": j}
                truth = evaluate(mask, here)
                assert truth or not evaluate(under, here), f"{print_ir(under)} at {here}"
                assert evaluate(over, here) or not truth, f"{print_ir(over)} at {here}"
                assert not exact or evaluate(over, here) == truth, f"{print_ir(over)} at {here}"


@pytest.mark.parametrize("name", sorted(NO_SET))
def test_pieces_of_what_is_no_set(name: str) -> None:
    mask, random = mask_of(ALL[name]), Random(name)
    for _ in range(4):
        for values in heads(mask, nasty(random).values):
            check_at_every_pair(mask, values)


@cases(100)
@given(masks, calls())
def test_pieces_of_random_masks(mask: ir.Bool, values: dict[str, Any]) -> None:
    check_at_every_pair(mask, values)


@pytest.mark.slow
@cases(3000)
@given(masks, calls())
def test_pieces_of_many_random_masks(mask: ir.Bool, values: dict[str, Any]) -> None:
    check_at_every_pair(mask, values)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("j <= i and i - j < window", 1),
        ("j < 4 or j <= i", 1),
        ("i - 3 <= j and j <= i or i <= j and j <= i + 3", 1),
        ("j < 4 or j == 4 or 4 < j", 1),
        ("j <= i and (h < 4 or i - j < window)", 1),
        ("h < 4 and j <= i or 4 <= h and j <= i", 1),
        ("i < 5 and j <= i or 5 <= i and j <= i", 1),
        ("i < 5 or j < 3", 1),
        ("5 <= i or j <= i", 1),
        ("i < 5 or j <= i", 2),  # as one, its end would fall once and rise again
        ("i < 5 or abs(i - j) <= window", 2),
        ("min(max(j - 3, 0), M - 7) <= i and i < min(max(j - 3, 0), M - 7) + 7", 1),
        ("h < 4 and j < 3 or j == i", 2),
        ("j != i", 2),
        ("j <= i and i < j", 0),
        ("h < 2 and 5 < h", 0),
        ("j < 0", 0),
        ("0 <= j and i < N", 1),
    ],
)
def test_pieces_that_touch_become_one(text: str, pieces: int) -> None:
    plane = make_plane("j", ())
    assert len(Solver(plane, "over").solve(to_predicate(mask_of(text)))) == pieces


def test_a_mask_that_falls_apart_is_left_to_be_tested() -> None:
    """Thirty keys far from one another are more pieces than it is worth following."""
    mask = build.disj(
        *(build.compare("==", ir.Index("j"), ir.IntConst(10 * n)) for n in range(MOST_PIECES + 6))
    )
    plane, limits = make_plane("j", ()), Limits()
    over = Solver(plane, "over", limits).solve(to_predicate(mask))
    under = Solver(plane, "under").solve(to_predicate(mask))
    assert limits.reached
    assert over == (EVERYTHING,)
    assert len(under) == MOST_PIECES
