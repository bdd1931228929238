"""What a mask on a grid is called, to the letter; it follows from intervals, so names of parameters do not matter."""

from __future__ import annotations

from pathlib import Path

import pytest
from compilations import one_of

from attnc.analyze.grid import find_grid
from attnc.analyze.grid_words import grid_json, say_grid, say_products
from attnc.compiler import Compilation
from attnc.source import Source

SPECS = Path(__file__).parent / "specs" / "grids.attn"

SAYS = {
    "natten_2d": "neighborhood on y (`wy`, shifted at the border) and x (`wx`, shifted at the border)",
    "natten_2d_of_7": "neighborhood on y (`w`, shifted at the border) and x (`w`, shifted at the border)",
    "natten_3d": (
        "neighborhood on t (`wt`, shifted at the border), y (`wy`, shifted at the border)"
        " and x (`wx`, shifted at the border)"
    ),
    "cut_2d": "neighborhood on y (`2 * radius + 1`) and x (`2 * radius + 1`)",
    "cut_2d_by_digits": "neighborhood on y (`2 * radius + 1`) and x (`2 * radius + 1`)",
    "dilated_1d": "neighborhood on token (`w`, shifted at the border, dilated by `d`)",
    "dilated_2d": (
        "neighborhood on y (`w`, shifted at the border, dilated by `d`)"
        " and x (`w`, shifted at the border, dilated by `d`)"
    ),
    "strided_2d": (
        "neighborhood on y (`w`, shifted at the border, `step` neighbors share it)"
        " and x (`w`, shifted at the border, `step` neighbors share it)"
    ),
    "strided_3d": (
        "neighborhood on t (`wt`, shifted at the border, `st` neighbors share it),"
        " y (`wy`, shifted at the border, `sy` neighbors share it)"
        " and x (`wx`, shifted at the border, `sx` neighbors share it)"
    ),
    "causal_video": (
        "neighborhood on t (`wt`, causal), y (`wy`, shifted at the border) and x (`wx`, shifted at the border)"
    ),
    "frames_before": "causal on t, all of y and x",
    "sliding_tiles": (
        "neighborhood on y (`ky`, shifted at the border, below `rows`) and x (`kx`, shifted at the border),"
        " all of token, or `rows <= i.y or rows <= j.y`, all of x and token"
    ),
    "swin": "blocks of `size` x `size`, moved by `shift[h]`",
    "swin_v2": "blocks of `size` x `size`",
    "halonet": "blocks of `size` x `size` with a halo of `halo` x `halo`",
    "maxvit_blocks": "blocks of `size` x `size`",
    "maxvit_grid": "every `rows // size`-th of y and every `cols // size`-th of x",
    "cswin": (
        "blocks of `width` on y, all of x where `h < H // 2`,"
        " or blocks of `width` on x, all of y where `H // 2 <= h`"
    ),
    "rows_alone": "rows",
    "columns_alone": "columns",
    "axial": "rows or columns",
    "axial_3d": "along t, or along y, or along x",
    "raster": "neighborhood on y (`2 * w + 1`) and x (`2 * w + 1`) where `j <= i`",
    "diamond": "everything where `abs(i.y - j.y) + abs(i.x - j.x) <= radius`",
}


@pytest.mark.parametrize("name", SAYS)
def test_specs_are_called(name: str) -> None:
    found = one_of(SPECS, name).grid
    assert found is not None and say_products(found) == SAYS[name]


def of(mask: str, grid: str = "y: rows, x: cols", params: str = "") -> Compilation:
    start = f"from std import near\n\nattention a({params}):\n"
    return Compilation(Source("a.attn", f"{start}{f'    grid {grid}' if grid else ''}\n    mask {mask}\n"))


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (
            "near(i.y, j.y, 7, rows) and abs(i.x - j.x) <= 3",
            "neighborhood on y (7, shifted at the border) and x (7)",
        ),
        ("i.y // 7 == j.y // 7 and i.x // 7 == j.x // 7", "blocks of 7 x 7"),
        ("(i.y + 3) // 7 == (j.y + 3) // 7 and i.x // 7 == j.x // 7", "blocks of 7 x 7, moved by 3 x 0"),
        ("i.y % 2 == j.y % 2 and abs(i.y - j.y) <= 6 and i.x == j.x", "neighborhood on y (7, dilated by 2), its own x"),
        ("(i.y - j.y) % 4 == 0", "every 4-th of y, all of x"),
        ("j.y // 4 <= i.y // 4", "causal on y by blocks of 4, all of x"),
        ("i.y - 2 <= j.y and j.y <= i.y + 5", "neighborhood on y (8), all of x"),
        ("j.x < 4 or i.x == j.x", "`j.x < 4 or i.x == j.x`, all of y"),
        ("true", "everything"),
        ("i.y == j.y and i.x == j.x", "itself"),
        ("i.y < 0", "no query sees a key"),
    ],
)  # fmt: skip
def test_numbers_stand_as_they_are(mask: str, says: str) -> None:
    found = of(mask).grid
    assert found is not None and say_products(found) == says


@pytest.mark.parametrize(
    ("mask", "params", "axes"),
    [
        ("i // 64 == j // 64 and i % 64 == j % 64", "", "y: (N - 1) // 64 + 1, x: 64"),
        ("i % w == j % w", "w: int", "y: (N - 1) // w + 1, x: w"),
        ("abs(i // a // c - j // a // c) < 2 and i // a % c == j // a % c", "a: int, c: int",
         "y: (N - 1) // (a * c) + 1, x: c, token: a"),
        ("i // (a * c) == j // (a * c) and i // c % a == j // c % a and i % c == j % c", "a: int, c: int",
         "t: (N - 1) // (a * c) + 1, y: a, x: c"),
        ("(i - j) % d == 0 and abs(i - j) <= 4 * d", "d: int", "token: N"),
    ],
)  # fmt: skip
def test_axes_are_inferred(mask: str, params: str, axes: str) -> None:
    found = of(mask, "", params).grid
    assert found is not None and not found.is_declared
    assert say_grid(found)[0].partition(" (as ")[0] == axes


@pytest.mark.parametrize(
    "mask",
    ["j <= i", "i // w == j // w", "i % w == j % (w + 1)", "i % w < 3", "(i + 1) % w == j % w and j <= i * w",
     "i // w % 3 == j // 2 % 3"],
)  # fmt: skip
def test_no_grid_is_made_up(mask: str) -> None:
    assert of(mask, "", "w: int").grid is None


def test_what_stays_in_the_mask_is_said() -> None:
    found = of("abs(i.y - j.y) <= 3 and i.x <= j.y and j <= i").grid
    assert found is not None
    then = "it stays in the mask, and no box of keys is known to be full (a.attn:5)"
    assert [str(reason) for reason in found.because] == [
        f"`i.x <= j.y` speaks of x and y at once: {then}",
        f"`j <= i` speaks of the token itself: {then}",
    ]


def test_for_programs() -> None:
    found = grid_json(of("i.y % d == j.y % d and j.x <= i.x", params="d: int").grid)
    assert found == {
        "declared": True,
        "axes": [
            {
                "name": "y",
                "query": {"stride": "cols", "size": "rows"},
                "key": {"stride": "cols", "size": "rows"},
            },
            {"name": "x", "query": {"stride": "1", "size": "cols"}, "key": {"stride": "1", "size": "cols"}},
        ],
        "says": "every `d`-th of y, causal on x",
        "products": [
            {
                "guard": "true",
                "mixed": [],
                "along": {
                    "y": {
                        "mask": "true",
                        "dilation": "d",
                        "keys": whole("(rows - residue() - 1) // d + 1"),
                        "queries": whole("(rows - residue() - 1) // d + 1"),
                    },
                    "x": {
                        "mask": "j <= i",
                        "dilation": None,
                        "keys": {**EXACT, "visited": [["0", "last(i) + 1"]], "full": [["0", "first(i) + 1"]]},
                        "queries": {
                            **EXACT,
                            "visited": [["first(j)", "cols"]],
                            "full": [["last(j)", "cols"]],
                        },
                    },
                },
            }
        ],
        "because": [],
    }
    assert grid_json(None) is None and find_grid(of("j <= i", "").attention) is None


EXACT = {"closed": True, "exact": True}


def whole(count: str) -> dict[str, object]:
    return {**EXACT, "visited": [["0", count]], "full": [["0", count]]}
