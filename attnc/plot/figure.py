"""A plot as a picture for a paper.

Enters: a `Plot`. Leaves: a matplotlib figure, or a file of it. Regions are drawn as outlines, so SVG and PDF hold
shapes and no pixels. Blue, orange and white are told apart by every eye, and in print without color. The same plot
gives the same bytes.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnc.errors import AttncError, Diagnostic
from attnc.plot.outlines import find_outlines
from attnc.plot.panels import FULL, HIDDEN, MEANINGS, SKIPPED, VISIBLE, Panel, Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Shape

COLORS = {SKIPPED: "#ffffff", HIDDEN: "#fbe5b6", VISIBLE: "#e69f00", FULL: "#0072b2"}
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.usetex": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "attnc",
    "pdf.fonttype": 42,
}
# Nothing of the day or the machine goes into a file.
FORMATS: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# Inches: the width of a mask, what stands beside and below it, what stands around all of them.
MASK, BESIDE, BELOW, AROUND, LEAST_WIDTH = 2.2, 0.5, 0.6, 0.9, 3.4
MOST_COLUMNS, LETTERS = 4, 16  # panels in a row; letters to an inch
MOST_TICKS, MOST_LINES = 5, 64


def draw_figure(plot: Plot) -> Figure:
    """Every panel, one legend, the name and the call."""
    need_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = min(len(plot.panels), MOST_COLUMNS)
    rows = -(-len(plot.panels) // columns)
    height, width = plot.panels[0].classes.shape
    ratio = min(max(height / width, 0.25), 4.0)
    with matplotlib.rc_context(STYLE):
        size = max((MASK + BESIDE) * columns, LEAST_WIDTH), (MASK * ratio + BELOW) * rows + AROUND
        figure = Figure(figsize=size, dpi=200, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for number, (axes, panel) in enumerate(zip(grid, plot.panels, strict=False)):
            _draw_panel(axes, panel, plot)
            axes.set_ylabel("query i" if number % columns == 0 else "")
        for axes in grid[len(plot.panels) :]:
            axes.remove()
        figure.suptitle("\n".join([plot.name, *plot.heading(int(size[0] * LETTERS))]), fontsize=8)
        keys = [Patch(facecolor=COLORS[kind], edgecolor="0.5", linewidth=0.4, label=MEANINGS[kind])
                for kind in plot.classes]  # fmt: skip
        figure.legend(handles=keys, loc="outside lower center", ncols=2 if columns == 1 else 4, frameon=False)
    return figure


def need_matplotlib() -> None:
    """Refuse to draw without it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        what = "a plot needs matplotlib, which is not installed"
        raise AttncError(
            Diagnostic("missing-package", what, helps=("install it: `pip install attnc[plot]`",))
        ) from None


def check_format(path: Path) -> dict[str, None]:
    """What the format keeps out of a file. Refuses a name that ends in no format."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        what = f"a plot cannot be written to `{path}`"
        raise AttncError(
            Diagnostic("bad-option", what, helps=("give a name that ends in .png, .svg or .pdf",))
        )
    return found


def write_figure(figure: Figure, path: Path, metadata: dict[str, None]) -> None:
    """Write the picture in the format that the end of the name says."""
    import matplotlib

    buffer = BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=path.suffix.lower()[1:], metadata=metadata, bbox_inches="tight")
    path.write_bytes(buffer.getvalue())


def _draw_panel(axes: Axes, panel: Panel, plot: Plot) -> None:
    from matplotlib.patches import PathPatch

    classes = panel.classes
    height, width = classes.shape
    # Each lies on the one before, so that no white shines through where two meet.
    for color, region in (
        (COLORS[HIDDEN], classes != SKIPPED),
        (COLORS[VISIBLE], classes >= VISIBLE),
        (COLORS[FULL], classes == FULL),
    ):
        if region.any():
            axes.add_patch(PathPatch(_shape(region), facecolor=color, linewidth=0))
    axes.set(xlim=(0, width), ylim=(height, 0), xlabel="key j", title=plot.title(panel))
    axes.set_aspect("equal" if 0.25 <= height / width <= 4 else "auto")
    block_q, block_k = plot.tile
    axes.set_xticks(_ticks(width, block_k))
    axes.set_yticks(_ticks(height, block_q))
    if max(width / block_k, height / block_q) <= MOST_LINES:
        axes.vlines(range(block_k, width, block_k), 0, height, colors="0.6", linewidths=0.15)
        axes.hlines(range(block_q, height, block_q), 0, width, colors="0.6", linewidths=0.15)


def _shape(region: NDArray[np.bool_]) -> Shape:
    from matplotlib.path import Path as Shape

    corners: list[tuple[int, int]] = []
    codes: list[np.uint8] = []
    for loop in find_outlines(region):
        corners += [*loop, loop[0]]
        codes += [Shape.MOVETO, *[Shape.LINETO] * (len(loop) - 1), Shape.CLOSEPOLY]
    return Shape(np.array(corners, float), codes)


def _ticks(size: int, block: int) -> range:
    """First tokens of tiles, a handful of them."""
    step = block
    while size / step > MOST_TICKS:
        step *= 2
    return range(0, size, step)
