"""Solved masks of the corpus against the masks, for every value of their parameters, by the integer set library.

Enters: every mask of `tests/corpus/specs` that is a set there: it reads no array at a position, and asks for no power
of two. Parameters that divide or multiply a position get numbers, as the library knows no product of two unknowns.
Pieces that are said to be exact are the mask; others hold all of it, or nothing but it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from compilations import file
from integer_oracle import evaluate
from turns import in_turn

from attnc.analyze.requirements import find_requirements
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.walk import axes_of, replace_terms, walk

islpy = pytest.importorskip("islpy")
from isl_oracle import names_in, to_set, without_arrays  # noqa: E402
from test_solve import solved  # noqa: E402

SPECS = Path(__file__).parent.parent / "corpus" / "specs"
NUMBERS = ((7, 3, 4, 2), (1, 1, 1, 1), (2, 5, 1, 3), (16, 16, 2, 8))

# What no union of intervals is: remainders, and grids of two and more axes.
WIDER = {
    "natten_1d_dilated", "natten_2d", "natten_2d_by_center", "natten_2d_tiled", "natten_2d_morton", "natten_3d",
    "window_2d_flat", "window_2d", "sliding_tiles_2d", "sliding_tiles_3d", "video_temporal", "maxvit_blocks",
    "maxvit_grid", "axial", "shifted_windows", "pooled_queries", "dilated_window", "dilated_causal", "strided_sparse",
    "fixed_sparse", "sink_in_every_chunk",
}  # fmt: skip

MASKS = {
    attention.name: attention.mask
    for path in sorted(SPECS.glob("*.attn"))
    for attention in file(path).attentions
}


def is_set(mask: ir.Bool) -> bool:
    """Arrays of heads and batches are parameters there; those of positions are not."""
    for part in walk(mask):
        match part:
            case ir.Member() | ir.IsPow2() | ir.Real():
                return False
            case ir.IntLoad() | ir.BoolLoad() if axes_of(part) & {"i", "j"}:
                return False
    return True


def numbers_of(mask: ir.Bool, numbers: tuple[int, ...]) -> dict[ir.Node, ir.IntConst]:
    """A number for every parameter that divides, or is multiplied by something else than a number."""
    found: dict[ir.Node, ir.IntConst] = {}
    for part in walk(mask):
        match part:
            case ir.IntOp("//" | "%", _, n):
                factors = list(walk(n))
            case ir.IntOp("*", a, n) if not isinstance(n, ir.IntConst):
                factors = [*walk(a), *walk(n)]
            case _:
                continue
        for each in factors:
            if isinstance(each, ir.IntParam):
                found.setdefault(each, ir.IntConst(numbers[len(found) % len(numbers)]))
    return found


def put_in(mask: ir.Bool, numbers: dict[ir.Node, ir.IntConst]) -> ir.Bool:
    """The mask with these numbers, and with numbers for terms of numbers."""

    def change(node: ir.Node) -> ir.Node | None:
        match node:
            case ir.IntOp(op, a, b):
                return build.integer(op, of(a), of(b))
            case _:
                return numbers.get(node)

    def of(term: ir.Int) -> ir.Int:
        changed = replace_terms(term, change)
        assert isinstance(changed, ir.Int)
        return changed

    changed = replace_terms(mask, change)
    assert isinstance(changed, ir.Bool)
    return changed


SETS = {name: mask for name, mask in MASKS.items() if is_set(mask)}


@cache
def set_of(mask: ir.Bool, names: tuple[str, ...]) -> islpy.Set:
    return to_set(mask, list(names))


def check(name: str, target: str, numbers: dict[ir.Node, ir.IntConst], solved_first: bool) -> None:
    """Numbers are put into what was solved, as a call does, or into the mask, as a constant parameter is."""
    mask = SETS[name]
    given = without_arrays(put_in(mask, numbers))
    for side in ("over", "under"):
        union, exact = solved(mask if solved_first else given, target, side)
        if solved_first:
            union = without_arrays(put_in(union, numbers))
        names = tuple(sorted({*names_in(given), *names_in(union)}))
        truth, found = set_of(given, names), set_of(union, names)
        assert truth <= found if side == "over" else found <= truth
        if exact and side == "over":
            assert found == truth
        assert exact or name in WIDER or side == "under" or solved_first, "said to be wider than the mask"


def calls(name: str) -> list[dict[ir.Node, ir.IntConst]]:
    """Numbers that a call would take, for each choice of them."""
    mask = SETS[name]
    requires = find_requirements(mask)
    every = [numbers_of(mask, numbers) for numbers in NUMBERS]
    found = [
        numbers
        for numbers in every
        if all(
            evaluate(each.term, {n.name: v.value for n, v in numbers.items() if isinstance(n, ir.IntParam)})
            >= 1
            for each in requires
        )
    ]
    assert len(found) >= 2
    return found


@pytest.mark.parametrize("target", ["j", "i"])
@pytest.mark.parametrize("name", in_turn(SETS, turns=2))
def test_pieces_are_the_mask_for_every_argument(name: str, target: str) -> None:
    first, *_ = calls(name)
    check(name, target, first, solved_first=True)
    check(name, target, first, solved_first=False)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["j", "i"])
@pytest.mark.parametrize("name", SETS)
def test_pieces_are_the_mask_for_other_divisors(name: str, target: str) -> None:
    for numbers in calls(name)[1:]:
        check(name, target, numbers, solved_first=True)
        check(name, target, numbers, solved_first=False)


def test_most_of_the_corpus_is_proved() -> None:
    assert len(SETS) >= 50 and len(MASKS) >= 90
    assert SETS.keys() >= WIDER
