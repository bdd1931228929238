"""A report as a picture: a bar for every median, and how far the rounds lie apart.

Enters: a `Report`. Leaves: a file, .png, .svg or .pdf. The same report gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attnc.bench.report import Report, Row, say_milliseconds, say_numbers
from attnc.plot.figure import COLORS, STYLE, check_format, need_matplotlib, write_figure
from attnc.plot.panels import FULL, VISIBLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN, OTHERS = COLORS[FULL], COLORS[VISIBLE]
# Inches: the width, a bar, what stands around the bars of a direction.
WIDTH, BAR, AROUND = 4.2, 0.24, 0.7


def check_plot(path: Path) -> None:
    """Refuse what no plot can be written to, before anything is measured."""
    check_format(path)
    need_matplotlib()


def write_plot(report: Report, path: Path) -> None:
    write_figure(draw_report(report), path, check_format(path))


def draw_report(report: Report) -> Figure:
    """A panel for each direction."""
    import matplotlib
    from matplotlib.figure import Figure

    timed = [row for row in report.rows if row.rounds]
    directions = list(dict.fromkeys(row.direction for row in timed))
    bars = [[row for row in timed if row.direction == direction] for direction in directions]
    with matplotlib.rc_context(STYLE):
        height = sum(BAR * len(rows) + AROUND for rows in bars) + AROUND
        figure = Figure(figsize=(WIDTH, height), dpi=200, layout="constrained")
        heights = [len(rows) + 1 for rows in bars]
        grid = figure.subplots(len(bars), 1, squeeze=False, height_ratios=heights).ravel()
        for axes, direction, rows in zip(grid, directions, bars, strict=True):
            _draw_bars(axes, direction, rows)
        title = f"{report.name}: {report.dtype}\n{say_numbers(report.numbers)}\n{report.device}"
        figure.suptitle(title, fontsize=8)
    return figure


def _draw_bars(axes: Axes, direction: str, rows: list[Row]) -> None:
    places = range(len(rows))
    medians = [row.median or 0.0 for row in rows]
    below = [median - min(row.rounds) for median, row in zip(medians, rows, strict=True)]
    above = [max(row.rounds) - median for median, row in zip(medians, rows, strict=True)]
    colors = [OWN if row.contender == "attnc" else OTHERS for row in rows]
    axes.barh(places, medians, xerr=[below, above], color=colors, height=0.7, error_kw={"linewidth": 0.6})
    axes.set_yticks(places, [f"{row.contender}  {say_milliseconds(row.median)}" for row in rows])
    axes.invert_yaxis()
    axes.set_title(f"{direction}, milliseconds", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
