"""Emitted kernels, tile by tile: lists, places in sorted arrays, and plain intervals.

Every tile that holds a visible pair is visited exactly once, by the program whose it is; what is visited without a mask
hides no pair and lies inside of the sequence; and listed kernels visit no tile without need.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from counted_tiles import HELPERS, Visit, count_tiles
from listed_specs import LISTED, SWEPT, Draw, Spec, Values, draws
from torch import Tensor
from turns import in_turn

from attnc.compiler import Compilation
from attnc.run.mask import find_mask

# Their bounds are the first and the last tile that any pair needs, and every whole tile is found.
TIGHT = {
    "sorted_documents", "sorted_documents_causal", "late_starts_of_queries", "late_ends_of_queries", "causal", "blocks"
}  # fmt: skip
LENGTHS = ((50, 50), (39, 61), (61, 39), (64, 64), (1, 20), (20, 1))
TILES = ((16, 16), (32, 16), (16, 32))


def check_call(
    compilation: Compilation, draw: Draw, values: Values, group: int, tile: tuple[int, int]
) -> tuple[int, int]:
    """How many tiles were visited without need, and how many whole ones were masked."""
    sizes = draw.sizes | {"HKV": draw.H // group}
    found = count_tiles(compilation.source.text, values, sizes, tile)
    wasted = masked = 0
    for helper, what in HELPERS.items():
        axis = "j" if what == "keys" else "i"
        by_program: dict[tuple[int, int, int], list[Visit]] = {}
        for visit in found[helper]:
            by_program.setdefault(visit[:3], []).append(visit)
        rows, step = tile if what == "keys" else tile[::-1]
        programs = set()
        for b in range(draw.B):
            for h in range(draw.H):
                seen = find_mask(compilation.attention, {**values, **draw.sizes}, h, b)
                pairs = seen if what == "keys" else seen.mT
                for program, strip in enumerate(pairs.split(rows)):
                    programs.add((b, h, program))
                    visits = by_program.get((b, h, program), [])
                    extra, whole = check_program(
                        strip, visits, step, axis in compilation.plan.last.cover.listed
                    )
                    wasted, masked = wasted + extra, masked + whole
        assert by_program.keys() <= programs, "a visit by nobody"
    return wasted, masked


def check_program(strip: Tensor, visits: list[Visit], step: int, is_listed: bool) -> tuple[int, int]:
    visited = {first: is_edge for *_, first, is_edge in visits}
    assert len(visited) == len(visits), "a tile is visited twice"
    size = strip.shape[1]
    assert all(first % step == 0 and 0 <= first < size for first in visited), "outside of the sequence"
    wasted = masked = 0
    for first in range(0, size, step):
        part = strip[:, first : first + step]
        is_whole = bool(part.all()) and first + step <= size
        assert first in visited or not part.any(), f"missed tile {first}"
        assert visited.get(first, True) or is_whole, f"tile {first} is not full"
        wasted += first in visited and not part.any()
        masked += visited.get(first, False) and is_whole
    if is_listed:
        assert not wasted and not masked
        assert list(visited) == sorted(visited, key=lambda first: (not visited[first], first)), "out of order"
    return wasted, masked


def check(name: str, spec: Spec, seed: int, lengths: Sequence[tuple[int, int]]) -> None:
    compilation = spec.compilation()
    for n, (draw, values) in enumerate(draws(spec, seed, lengths, heads=2)):
        wasted, masked = check_call(compilation, draw, values, 1 + n % 2, TILES[(n + seed) % 3])
        if name in TIGHT:
            assert not wasted and not masked


@pytest.mark.parametrize("name", LISTED)
def test_listed_tiles(name: str) -> None:
    check(name, LISTED[name], 4, [(39, 50)])


@pytest.mark.parametrize("name", SWEPT)
def test_tiles_between_bounds(name: str) -> None:
    check(name, SWEPT[name], 5, [(50, 39)])


@pytest.mark.slow
@pytest.mark.parametrize(("place", "name"), list(enumerate(LISTED | SWEPT)))
def test_tiles_in_many_calls(place: int, name: str) -> None:
    for seed in in_turn(range(10, 15), place):
        check(name, (LISTED | SWEPT)[name], seed, LENGTHS)


def test_a_wrong_list_is_noticed() -> None:
    """What is checked of a program, on lists that are wrong in one place."""
    strip = torch.zeros(16, 40, dtype=torch.bool)
    strip[:, :16], strip[3, 20] = True, True
    right: list[Visit] = [(0, 0, 0, 16, True), (0, 0, 0, 0, False)]
    assert check_program(strip, right, 16, True) == (0, 0)
    for wrong in (
        right[:1],
        right[1:],
        [*right, right[0]],
        [*right, (0, 0, 0, 32, True)],
        [*right, (0, 0, 0, 48, True)],
        [(0, 0, 0, 16, False), right[1]],
        [right[0], (0, 0, 0, 0, True)],
        right[::-1],
    ):
        with pytest.raises(AssertionError):
            check_program(strip, wrong, 16, True)
