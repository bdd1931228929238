"""What a plot shows: the classes of pairs, and the call that they are those of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from attnc.compiler import Compilation
from attnc.errors import AttncError, CompilerBug
from attnc.plot import Plot, find_plot
from attnc.plot.panels import FULL, HIDDEN, SKIPPED, VISIBLE, classify
from attnc.run.tiles import TileRow
from attnc.source import Source

DOCUMENTS = "attention packed(doc: sorted int[B, N]):\n    mask doc[b, i] == doc[b, j] and j <= i\n"
HEADS = (
    "attention heads(windows: int[H], bias: float[H, 99], cap: float):\n    mask j <= i and i - j < windows[h]\n"
    "    score cap * dot(q, k) + bias[h, 0]\n"
)


def plot(text: str, heads: tuple[int, ...] = (0,), batches: tuple[int, ...] = (0,), **given: Any) -> Plot:
    compilation = Compilation(Source("<string>", text))
    return find_plot(compilation.attention, compilation.facts.keys, given, (4, 4), heads, batches)


def mistakes(
    text: str, heads: tuple[int, ...] = (0,), batches: tuple[int, ...] = (0,), **given: Any
) -> list[str]:
    with pytest.raises(AttncError) as caught:
        plot(text, heads, batches, **given)
    return str(caught.value).split("\n\n")


# ---- classes ---------------------------------------------------------------------------------------


def test_a_class_for_every_pair() -> None:
    (panel,) = plot("attention causal():\n    mask j <= i\n", N=10, M=9).panels
    for i in range(10):
        for j in range(9):
            here = panel.classes[i, j]
            if j // 4 != i // 4:
                assert here == (FULL if j // 4 < i // 4 else SKIPPED)
            elif (i // 4, j // 4) == (2, 2):  # the last tile holds one key, which both of its queries see
                assert here == FULL
            else:
                assert here == (VISIBLE if j <= i else HIDDEN)
    assert (panel.tiles.visited, panel.tiles.full, panel.tiles.total) == (6, 4, 9)


def test_tiles_may_come_from_anywhere() -> None:
    mask = np.array([[1, 1, 0, 0, 0], [1, 1, 0, 1, 0], [0, 0, 0, 0, 1]], bool)
    rows = iter([TileRow(((0, 2),), ((0, 1),)), TileRow(((2, 3),), ((2, 3),))])
    s, h, v, f = SKIPPED, HIDDEN, VISIBLE, FULL
    assert classify(mask, rows, (2, 2)).tolist() == [[f, f, h, h, s], [f, f, h, v, s], [s, s, s, s, f]]


@pytest.mark.parametrize(
    ("row", "what"),
    [(TileRow((), ()), "a tile that is skipped holds a visible pair"),
     (TileRow(((0, 2),), ((1, 2),)), "a tile that is full hides a pair")],
)  # fmt: skip
def test_tiles_that_contradict_the_mask_are_a_bug(row: TileRow, what: str) -> None:
    with pytest.raises(CompilerBug, match=what):
        classify(np.array([[True, False]]), [row], (1, 1))


# ---- calls -----------------------------------------------------------------------------------------


def test_only_what_decides_the_mask_is_needed() -> None:
    drawn = plot(HEADS, heads=(0, 2), windows=torch.tensor([1, 2, 3]), N=16)
    first, last = (panel.classes >= VISIBLE for panel in drawn.panels)
    i, j = np.mgrid[:16, :16]
    assert np.array_equal(first, i == j)
    assert np.array_equal(last, (j <= i) & (i - j < 3))
    assert (drawn.name, drawn.call) == ("heads", "N = M = 16, tiles of 4 x 4")
    assert [drawn.title(panel) for panel in drawn.panels] == [
        "head 0, 4 of 16 tiles, 0 full",
        "head 2, 7 of 16 tiles, 0 full",
    ]


def test_a_call_names_its_numbers() -> None:
    text = "attention a(w: int = 3, on: bool = true):\n    mask j <= i and (i - j < w or not on)\n"
    assert plot(text, N=8, M=5).call == "N = 8, M = 5, tiles of 4 x 4, w = 3, on = true"


def test_sizes_follow_from_arrays() -> None:
    doc = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 1, 1, 2, 2, 2]])
    drawn = plot(DOCUMENTS, batches=(0, 1), doc=doc)
    assert drawn.call == "N = M = 6, tiles of 4 x 4"
    for batch, panel in enumerate(drawn.panels):
        same = (doc[batch][:, None] == doc[batch]).numpy()
        assert np.array_equal(panel.classes >= VISIBLE, np.tril(same))
    assert [drawn.title(panel) for panel in drawn.panels] == [
        f"batch {panel.batch}, {panel.tiles.visited} of 4 tiles, {panel.tiles.full} full"
        for panel in drawn.panels
    ]


def test_documents_are_made_up_and_the_plot_says_so() -> None:
    drawn = plot(DOCUMENTS, N=100)
    assert drawn.heading(80) == ["N = M = 100, tiles of 4 x 4, doc: made-up documents"]
    assert drawn.heading(20) == ["N = M = 100, tiles", "of 4 x 4, doc:", "made-up documents"]
    (panel,) = drawn.panels
    firsts = [int(np.argmax(row >= VISIBLE)) for row in panel.classes]
    assert sorted(set(firsts)) == [0, 12, 43, 50, 81]


def test_a_grid_has_its_tokens() -> None:
    text = "attention a():\n    grid y: rows, x: cols\n    mask i.y == j.y\n"
    assert plot(text, rows=3, cols=4).panels[0].classes.shape == (12, 12)
    assert mistakes(text, N=12) == [
        f"error[missing-argument]: `a` needs `{name}`, an int, and it was not given\n"
        f"= help: on the command line: `--at {name}=...`"
        for name in ("rows", "cols")
    ]


def test_key_heads_bring_their_query_heads() -> None:
    text = "attention a(w: int[HKV]):\n    mask i - j < w[h // (H // HKV)] and j <= i\n"
    drawn = plot(text, heads=(3,), w=torch.tensor([2, 5]), H=4, N=16)
    assert int((drawn.panels[0].classes >= VISIBLE).sum()) == 16 * 5 - 10


# ---- refusals --------------------------------------------------------------------------------------


CHUNKS = "attention a(c: int):\n    mask i // c == j // c\n"


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        (
            HEADS,
            {},
            "error[missing-argument]: `heads` needs `windows`, an int[H], and it was not given\n= help: on the command"
            " line: `--array windows=FILE.npy`, or its entries, as in `--array windows=0,1`",
        ),
        (
            HEADS,
            {"windows": torch.tensor([1.5])},
            "error[wrong-dtype]: `windows` needs dtype int32 or int64, got float32",
        ),
        (
            HEADS,
            {"windows": [1, 2]},
            "error[wrong-type]: `windows` needs a tensor, got list\n= help: pass `torch.tensor(windows)`",
        ),
        (
            HEADS,
            {"windows": torch.tensor([[1]])},
            "error[wrong-rank]: `windows` needs 1 dimension [H], got shape [1, 1]",
        ),
        (
            DOCUMENTS,
            {"doc": torch.tensor([[1, 0]])},
            "error[not-sorted]: `doc` is declared `sorted`, and decreases at [0, 1], from 1 to 0",
        ),
        (
            DOCUMENTS,
            {"doc": torch.tensor([[0, 0]]), "N": 5},
            "error[wrong-shape]: `doc` needs shape [B, N] = [1, 5], got [1, 2]",
        ),
        (
            DOCUMENTS,
            {"N": 1025},
            "error[wrong-size]: a plot shows at most 1048576 pairs of a query and a key, and this call has 1050625\n"
            "= help: give a smaller `N`",
        ),
        (DOCUMENTS, {"N": 2.0}, "error[wrong-type]: `N` needs an int, got 2.0 (float)"),
        (
            "attention a():\n    mask h < H // 2\n",
            {},
            "error[missing-argument]: `H` decides which keys are seen, and has no value\n"
            "= help: on the command line: `--at H=...`",
        ),
        (
            CHUNKS,
            {"c": 0},
            "error[wrong-value]: `c` needs 1 or more, got 0\n --> <string>:2:10\n"
            "  |\n2 |     mask i // c == j // c\n  |          ^^^^^^\n  |\n"
            "  = note: `i // c` divides by `c`: the call checks that `c` is at least 1",
        ),
        (CHUNKS, {"c": "x"}, "error[wrong-type]: `c` needs an int, got 'x' (str)"),
        (
            "attention a(c: int):\n    mask j <= i + 8 // c\n",
            {"c": 0},
            "error[division-by-zero]: `8 // c` divides by 0",
        ),
    ],
)
def test_a_call_that_cannot_be_drawn(text: str, given: dict[str, Any], expected: str) -> None:
    assert mistakes(text, **given) == [expected]


def test_a_head_that_is_not_there() -> None:
    assert mistakes(HEADS, heads=(0, 3), windows=torch.tensor([1, 2, 3])) == [
        "error[wrong-value]: `h` needs 0 to 2, got 3"
    ]
