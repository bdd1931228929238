"""Plots as pictures: what stands in them, and that they are made of shapes."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

import attnc
from attnc.errors import AttncError
from attnc.plot.figure import COLORS
from attnc.plot.panels import FULL, HIDDEN, SKIPPED, VISIBLE

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
WINDOW = attnc.load(EXAMPLES / "sliding_window.attn")
HEADS = attnc.compile("attention heads(windows: int[H]):\n    mask j <= i and i - j < windows[h]\n")


def texts(figure: Any) -> list[str]:
    """Everything that is written in a figure."""
    labels = [
        text.get_text() for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)
    ]
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [figure.get_suptitle(), *labels, *legends]


def test_a_figure_says_what_it_shows() -> None:
    assert texts(WINDOW.plot(N=64, window=20)) == [
        "sliding_window\nN = M = 64, tiles of 16 x 16, window = 20",
        "9 of 16 tiles, 0 full",
        "key j",
        "query i",
        "edge tile, visible",
        "edge tile, hidden",
        "skipped tile",
    ]


def test_a_panel_for_each_head() -> None:
    figure = HEADS.plot(N=32, h=[0, 2], windows=torch.tensor([1, 5, 40]))
    assert [axes.get_title() for axes in figure.axes] == [
        "head 0, 2 of 4 tiles, 0 full",
        "head 2, 3 of 4 tiles, 1 full",
    ]
    assert [axes.get_ylabel() for axes in figure.axes] == ["query i", ""]


def test_pixels_have_the_color_of_their_pair() -> None:
    figure = WINDOW.plot(N=64, window=40, block_q=16, block_k=8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    (axes,) = figure.axes
    colors = {kind: np.array(to_rgb(color)) for kind, color in COLORS.items()}
    seen = set()
    for i in range(64):
        for j in range(64):
            x, y = axes.transData.transform((j + 0.5, i + 0.5))
            pixel = pixels[int(pixels.shape[0] - y), int(x)]
            kind = min(colors, key=lambda kind: float(abs(colors[kind] - pixel).sum()))
            visible = j <= i and i - j < 40
            assert kind in ((FULL, VISIBLE) if visible else (HIDDEN, SKIPPED)), (i, j)
            seen.add(kind)
    assert seen == {SKIPPED, HIDDEN, VISIBLE, FULL}


def luminance(color: str) -> float:
    return float(np.dot(to_rgb(color), (0.2126, 0.7152, 0.0722)))


def test_classes_differ_without_color() -> None:
    shades = sorted(luminance(color) for color in COLORS.values())
    assert min(b - a for a, b in pairwise(shades)) > 0.08


# ---- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "magic"), [("m.png", b"\x89PNG"), ("m.svg", b"<?xml"), ("M.PDF", b"%PDF")])
def test_a_file_is_the_same_each_time(tmp_path: Path, name: str, magic: bytes) -> None:
    written = []
    for folder in ("a", "b"):
        path = tmp_path / folder / name
        path.parent.mkdir()
        WINDOW.plot(N=64, window=20, path=path)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert written[0].startswith(magic)


def test_vector_formats_hold_no_pixels(tmp_path: Path) -> None:
    WINDOW.plot(N=64, window=20, path=tmp_path / "m.svg")
    WINDOW.plot(N=64, window=20, path=str(tmp_path / "m.pdf"))
    svg = (tmp_path / "m.svg").read_text()
    assert "<image" not in svg
    assert re.search(r">key j</text>", svg)
    assert b"/Subtype /Image" not in (tmp_path / "m.pdf").read_bytes()


# ---- refusals --------------------------------------------------------------------------------------


def mistake(**arguments: Any) -> str:
    with pytest.raises(AttncError) as caught:
        WINDOW.plot(**arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"path": "m.gif"},
            "error[bad-option]: a plot cannot be written to `m.gif`\n"
            "= help: give a name that ends in .png, .svg or .pdf",
        ),
        ({"block_q": 0}, "error[wrong-size]: `block_q` needs 1 or more, got 0"),
        ({"h": -1}, "error[wrong-size]: `h` needs 0 or more, got -1"),
        ({"b": []}, "error[wrong-type]: `b` needs an int or several, got list"),
        ({"h": "two"}, "error[wrong-type]: `h` needs an int, got 'two' (str)"),
        (
            {"windw": 3},
            "error[unknown-argument]: `sliding_window` has no parameter `windw`\n"
            "= note: its parameters: `window`\n"
            "= note: the sizes: `N`, `M`, `B`, `H`, `HKV`, `D`, `DV`\n"
            "= help: did you mean `window`?",
        ),
    ],
)
def test_a_plot_that_cannot_be(arguments: dict[str, Any], text: str) -> None:
    assert mistake(**arguments) == text


def test_without_matplotlib_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert mistake(N=16) == (
        "error[missing-package]: a plot needs matplotlib, which is not installed\n"
        "= help: install it: `pip install attnc[plot]`"
    )
