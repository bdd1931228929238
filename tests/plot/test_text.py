"""Plots as characters, by exact texts."""

from __future__ import annotations

import numpy as np
import pytest

from attnc.compiler import Compilation
from attnc.plot import Plot, find_plot
from attnc.plot.text import ASCII, BLOCKS
from attnc.source import Source


def plot(n: int, m: int, tile: tuple[int, int], heads: tuple[int, ...] = (0,)) -> Plot:
    compilation = Compilation(Source("<string>", "attention near():\n    mask j <= i and i - j < 6\n"))
    return find_plot(compilation.attention, compilation.facts.keys, {"N": n, "M": m}, tile, heads)


def test_a_text_has_everything_that_a_picture_has() -> None:
    assert (
        plot(16, 16, (4, 4)).text(80)
        == """\
near
N = M = 16, tiles of 4 x 4

9 of 16 tiles, 0 full; query i down, key j across
▓▒░░············
▓▓▓▒············
▓▓▓▓▓▒░░········
░▒▓▓▓▓▓▒········
░░░▒▓▓▓▓▓▒░░····
░░░░░▒▓▓▓▓▓▒····
····░░░▒▓▓▓▓▓▒░░
····░░░░░▒▓▓▓▓▓▒

▓ edge tile, visible  ▒ visible in part  ░ edge tile, hidden  · skipped tile"""
    )


def test_a_character_may_stand_for_many_tiles() -> None:
    text = plot(5, 5, (1, 1)).text(80, plain=True)
    drawn = "#+...\n###+.\n#####"
    meanings = "# full tile  + visible in part  . skipped tile"
    head = "near\nN = M = 5, tiles of 1 x 1\n\n15 of 25 tiles, 15 full; query i down, key j across"
    assert text == f"{head}\n{drawn}\n\n{meanings}"


@pytest.mark.parametrize("width", [20, 33, 80, 200])
@pytest.mark.parametrize(
    ("n", "m", "tile"), [(256, 256, (16, 16)), (1, 700, (16, 16)), (300, 40, (7, 64)), (5, 5, (1, 1))]
)
@pytest.mark.parametrize("plain", [False, True])
def test_no_line_is_wider_than_it_may_be(
    width: int, n: int, m: int, tile: tuple[int, int], plain: bool
) -> None:
    text = plot(n, m, tile, (0, 1)).text(width, plain)
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii() is plain
    assert not any(line != line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("width", [20, 40, 80])
def test_characters_stand_for_their_pairs(width: int) -> None:
    """Every character that is drawn is the one that its pairs have, whatever it stands for."""
    drawn = plot(64, 64, (8, 16))
    classes = drawn.panels[0].classes
    lines = [line for line in drawn.text(width).splitlines() if line and set(line) <= set(BLOCKS)]
    rows, columns = 64 // len(lines), 64 // len(lines[0])
    for y, line in enumerate(lines):
        for x, char in enumerate(line):
            cell = set(
                np.unique(classes[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns]).tolist()
            )
            if char in "█·":
                assert cell == ({3} if char == "█" else {0})
            elif char == "▓":
                assert cell in ({2}, {2, 3})
            elif char == "░":
                assert cell in ({1}, {0, 1})
            else:
                assert cell & {2, 3} and cell & {0, 1}


def test_the_second_alphabet_says_the_same() -> None:
    both = [plot(32, 32, (4, 4)).text(60, plain) for plain in (False, True)]
    assert both[0].translate(str.maketrans(BLOCKS, ASCII)) == both[1]
