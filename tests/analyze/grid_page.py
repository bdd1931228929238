"""Writes docs/grids.md: `python tests/analyze/grid_page.py` (half a minute).

Enters: the attentions of `specs/grids.attn`, and calls of the sizes that papers have. Leaves: what is found of each
mask, what its flat tiles visit, and what boxes would.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS)]

from compilations import file, one_of  # noqa: E402

from attnc.analyze.grid import find_grid  # noqa: E402
from attnc.analyze.grid_words import say_grid  # noqa: E402
from attnc.compiler import Compilation  # noqa: E402
from attnc.run.boxes import Box, Boxes, count_boxes  # noqa: E402
from attnc.run.settings import complete  # noqa: E402
from attnc.run.tiles import Tiles, count_tiles  # noqa: E402

PAGE = TESTS.parent / "docs" / "grids.md"
SPECS = TESTS / "analyze" / "specs" / "grids.attn"
TIMES = 5

TOP = """\
# Grids

Tokens of an image or a video lie on a grid, and many masks are about coordinates. `attnc explain` says what it finds of
a mask along each axis: which keys a run of query coordinates reads, and which of them all of it sees. Each axis is a
problem in one dimension, and is solved as masks of positions are (ADR 0036). What a mask is called follows from these
intervals, and from no name.

- A grid is declared (`grid y: rows, x: cols`), or written out: `i // cols`, `i % cols`, `i // cols % rows` are digits
  of a position. Where queries and keys are divided by the same numbers, and a clause speaks of an inner digit, a grid
  is inferred.
- A clause of one axis bounds that axis. `and` makes products, `or` makes several. A clause of several axes, or of the
  token itself, stays in the mask: what is found without it is a superset.
- `i.x % d == j.x % d` makes `d` classes. Coordinates are then counted within a class.

**Every schedule makes tiles of tokens in a row today.** What boxes would visit is what there is to gain, and no kernel
has it yet.
"""

COUNTS = """\
## What is visited

Multiply-adds of a forward pass, of one head. A tile of 64 queries and 64 keys has 4096 pairs, also where lanes of it
are masked or empty. A box has as many lanes, in powers of two along each axis. Boxes of keys begin at the first key
that the box of queries sees; boxes of queries begin with a group, where neighbors share a window, and hold whole ones.

- **needed**: the share of all pairs that are visible; dense attention visits all.
- **flat**: multiply-adds that tiles of tokens in a row visit for each one needed; `listed` where tiles are listed
  before a kernel runs, and the call is too long to look at each of its pairs here.
- **boxes**: the same for boxes, by the **shape** that visits least: queries; keys of each product. **of 128 x 128**: by
  the best shape with so many lanes.
- **bound**: what is asked of boxes, where something is.
- **of dense**: how many times less boxes visit than dense attention: the best speed-up that there can be.
- **worst**: the share of all keys that the box of queries visits which visits most.
"""


@dataclass(frozen=True)
class Call:
    """A call of a spec, and how much boxes may visit: multiply-adds for each one needed, or times less than dense."""

    name: str
    says: str
    numbers: Mapping[str, Any]
    at_most: float | None = None
    of_dense: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def compilation(self) -> Compilation:
        return one_of(SPECS, self.name)

    @property
    def values(self) -> dict[str, Any]:
        heads = {"H": 2, "h": 0, "b": 0}
        return complete(self.compilation.attention, {**heads, **self.numbers, **self.more}, 0)


IMAGE, VIDEO = {"rows": 64, "cols": 64}, {"frames": 16, "rows": 48, "cols": 80}
SWIN = {"rows": 56, "cols": 56, "size": 7}

CALLS = (
    Call("natten_2d", "128 x 128, window 13", {"rows": 128, "cols": 128, "wy": 13, "wx": 13}, 3.2),
    Call("natten_2d", "256 x 256, window 31", {"rows": 256, "cols": 256, "wy": 31, "wx": 31}, 1.6),
    Call("natten_3d", "16 x 48 x 80, window 9 x 13 x 13", {**VIDEO, "wt": 9, "wy": 13, "wx": 13}, 2.9),
    Call("causal_video", "16 x 48 x 80, window 4 x 13 x 13", {**VIDEO, "wt": 4, "wy": 13, "wx": 13}),
    Call(
        "strided_2d",
        "256 x 256, window 80, by 16 (FLUX)",
        {"rows": 256, "cols": 256, "w": 80, "step": 16},
        1,
        10.24,
    ),
    Call(
        "strided_3d",
        "30 x 48 x 80, window 18 x 24 x 24, by 16 x 8 x 8 (HunyuanVideo)",
        {"frames": 30, "rows": 48, "cols": 80, "wt": 18, "wy": 24, "wx": 24, "st": 16, "sy": 8, "sx": 8},
        1,
        11.1,
    ),
    Call("dilated_2d", "128 x 128, window 16, every 8th", {"rows": 128, "cols": 128, "w": 16, "d": 8}, 1),
    Call("dilated_2d", "256 x 256, window 13, every 4th", {"rows": 256, "cols": 256, "w": 13, "d": 4}, 3.2),
    Call("dilated_1d", "4096, window 64, every 8th", {"N": 4096, "w": 64, "d": 8}),
    Call("swin", "56 x 56, blocks of 7", SWIN, 1.75, more={"shift": [0, 3]}),
    Call("swin", "the same, moved by 3", SWIN, more={"shift": [3, 0]}),
    Call("halonet", "64 x 64, blocks of 8, halo 3", {**IMAGE, "size": 8, "halo": 3}),
    Call("maxvit_blocks", "64 x 64, blocks of 8", {**IMAGE, "size": 8}, 1),
    Call("maxvit_grid", "64 x 64, 8 x 8 of each class", {**IMAGE, "size": 8}, 1),
    Call("cswin", "64 x 64, stripes of 2", {**IMAGE, "width": 2}, 1),
    Call("rows_alone", "64 x 64", IMAGE, 1),
    Call("columns_alone", "64 x 64", IMAGE, 1),
    Call("axial", "64 x 64", IMAGE),
)
LANES, MORE_LANES = (64, 64), (128, 128)
MOST_PAIRS = 2**25


@dataclass(frozen=True)
class Counted:
    call: Call
    boxes: Boxes
    larger: Boxes
    flat: float | None

    @property
    def best(self) -> Box:
        return self.boxes.shapes[0]

    @property
    def pairs(self) -> int:
        return int(self.call.values["N"]) * int(self.call.values["M"])

    @property
    def needed(self) -> int:
        assert self.boxes.needed
        return self.boxes.needed

    @property
    def per_needed(self) -> float:
        return self.best.visited / self.needed

    @property
    def of_dense(self) -> float:
        return self.pairs / self.best.visited

    @property
    def cells(self) -> list[str]:
        keys = " and ".join(dict.fromkeys(shape_text(shape) for shape in self.best.keys))
        bound = [f"<= {self.call.at_most:.3g}"] if self.call.at_most else []
        bound += [f"{self.call.of_dense:.4g} x"] if self.call.of_dense else []
        worst = self.best.longest / int(self.call.values["M"])
        return [
            f"`{self.call.name}`",
            self.call.says,
            f"{100 * self.needed / self.pairs:.3g} %",
            "listed" if self.flat is None else f"{self.flat:.2f}",
            f"{self.per_needed:.2f}",
            ", ".join(bound),
            f"{self.larger.shapes[0].visited / self.needed:.2f}",
            f"{shape_text(self.best.queries)}; {keys}",
            f"{self.of_dense:.4g} x",
            f"{100 * worst:.3g} %",
        ]


def shape_text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def count(call: Call) -> Counted:
    grid, values = call.compilation.grid, call.values
    assert grid is not None
    boxes, larger = (count_boxes(grid, values, lanes) for lanes in (LANES, MORE_LANES))
    assert boxes is not None and larger is not None and boxes.needed
    flat = flat_tiles(call.compilation, values)
    return Counted(call, boxes, larger, flat and flat * LANES[0] * LANES[1] / boxes.needed)


def flat_tiles(compilation: Compilation, values: Mapping[str, Any]) -> int | None:
    """How many tiles are visited today; None where that takes a look at too many pairs."""
    keys = compilation.facts.keys
    if not keys.loose:
        tiles: Tiles = count_tiles(keys, values, *LANES)
        return tiles.visited
    if int(values["N"]) * int(values["M"]) > MOST_PAIRS:
        return None
    from truth import NONE, classes_of, pairs_of

    return int((classes_of(pairs_of(compilation.attention.mask, values), *LANES) != NONE).sum())


def found() -> list[str]:
    lines = ["| attention | mask | is |", "|---|---|---|"]
    for attention in file(SPECS).attentions:
        grid = one_of(SPECS, attention.name).grid
        assert grid is not None and attention.mask.span
        mask = " ".join(attention.mask.span.text.split())
        lines.append(f"| `{attention.name}` | `{mask}` | {say_grid(grid)[0]} |")
    return lines


def counts() -> list[str]:
    head = [
        "attention",
        "call",
        "needed",
        "flat",
        "boxes",
        "bound",
        "of 128 x 128",
        "shape",
        "of dense",
        "worst",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return [*lines, *(f"| {' | '.join(count(call).cells)} |" for call in CALLS)]


def times() -> str:
    """How long it takes to find a grid, once every library is there."""
    each = [
        median(time_of(one_of(SPECS, attention.name)) for _ in range(TIMES))
        for attention in file(SPECS).attentions
    ]
    return (
        f"Finding a grid takes {median(each):.0f} ms (median of {len(each)}), {max(each):.0f} ms at most, "
        "and only `attnc explain` asks for it."
    )


def time_of(compilation: Compilation) -> float:
    attention = compilation.attention
    start = process_time()
    find_grid(attention)
    return (process_time() - start) * 1000


def page(times: str) -> str:
    here = (
        "The page is made by `python tests/analyze/grid_page.py` of [grids.attn](../tests/analyze/specs/grids.attn). "
        "That the intervals are sound, that products make the mask, and that boxes are counted right are tests."
    )
    return (
        "\n".join([TOP, times, "", "## What is found", "", *found(), "", COUNTS, *counts(), "", here]) + "\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(times()), encoding="utf-8")
    print(f"wrote {PAGE.name}")
