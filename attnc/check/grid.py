"""Token grids.

Enters: a `grid` clause. Leaves: the axes of the IR, the integer that each `i.y` stands for, and the parameters that the
extents add to the call. Tokens are row-major: the last axis runs fastest.
"""

from __future__ import annotations

from typing import Literal

from attnc.check.expressions import Elaborator
from attnc.check.names import Entry, Scope, check_new_name
from attnc.check.parameters import check_size
from attnc.check.vocabulary import BUILT_IN, PLACES
from attnc.errors import Label
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.walk import walk
from attnc.source import Span
from attnc.syntax import tree

Side = Literal["query", "key"]
NO_EXTENTS = {
    "B": "the number of batch entries",
    "H": "the number of heads",
    "HKV": "the number of heads of `k` and `v`",
    "D": "the width of `q` and `k`",
    "DV": "the width of `v`",
}
POSITIONS: dict[Side, Literal["i", "j"]] = {"query": "i", "key": "j"}


def declare_extents(grid: tree.Grid, scope: Scope, elaborator: Elaborator) -> tuple[ir.Param, ...]:
    """An int parameter for every extent that is a name and stands for nothing else."""
    found: list[ir.Param] = []
    for axis in (*grid.both, *grid.query, *grid.key):
        e = axis.extent
        if not isinstance(e, tree.Name) or e.id in BUILT_IN or scope.find(e.id) is not None:
            continue
        span = elaborator.span(e)
        entry = Entry("parameter", span, ir.IntParam(e.id, span=span))
        if scope.declare(e.id, entry, elaborator.report):
            entry.is_used = True
            found.append(ir.Param(e.id, "int", span=span))
        else:
            scope.entries.setdefault(e.id, entry)
    return tuple(found)


def check_grid(grid: tree.Grid, scope: Scope, elaborator: Elaborator) -> tuple[ir.GridAxis, ...]:
    """The axes of both sides; afterwards `i.y` and its like mean something."""
    found: list[ir.GridAxis] = []
    sides: tuple[tuple[Side, tuple[tree.GridAxis, ...]], ...] = (
        ("query", grid.both or grid.query),
        ("key", grid.both or grid.key),
    )
    for side, axes in sides:
        built = _check_side(side, axes, scope, elaborator)
        position = POSITIONS[side]
        elaborator.axes[position] = coordinates(ir.Index(position), built)
        found += built
    return tuple(found)


def _check_side(
    side: Side, axes: tuple[tree.GridAxis, ...], scope: Scope, elaborator: Elaborator
) -> list[ir.GridAxis]:
    built: list[ir.GridAxis] = []
    first: dict[str, Span] = {}
    for axis in axes:
        name, span = axis.name.id, elaborator.span(axis.name)
        extent = _check_extent(axis, scope, elaborator)
        if not check_new_name(name, span, "axis", elaborator.report):
            extent = None
        elif name in first:
            elaborator.report.error(
                "duplicate-name",
                f"the grid has two axes `{name}`",
                span,
                related=[Label(first[name], "first defined here")],
            )
            continue
        first[name] = span
        built.append(ir.GridAxis(side, name, extent or ir.IntConst(1), span=elaborator.span(axis)))
    return built


def _check_extent(axis: tree.GridAxis, scope: Scope, elaborator: Elaborator) -> ir.Int | None:
    """An extent speaks of tokens: `H` in it is somebody's height, and would be the number of heads."""
    extent = check_size(axis.extent, PLACES["grid"], scope, elaborator)
    for part in walk(extent) if extent else ():
        if isinstance(part, ir.Size) and part.name in NO_EXTENTS:
            elaborator.report.error(
                "wrong-size",
                f"`{part.name}` is {NO_EXTENTS[part.name]}, and a grid is one of tokens",
                part.span or elaborator.span(axis.extent),
                helps=[f"give the extent a name of its own, as in `{axis.name.id}: rows`"],
            )
            return None
    return extent


def coordinates(position: ir.Int, axes: list[ir.GridAxis]) -> dict[str, ir.Int]:
    """Each coordinate of a row-major position: `position // (product of the inner extents) % extent`.

    The outermost needs no `%`: the product of all extents is the number of tokens.
    """
    found: dict[str, ir.Int] = {}
    stride: ir.Int = ir.IntConst(1)
    for place in reversed(range(len(axes))):
        axis = axes[place]
        term = build.integer("//", position, stride, span=axis.span)
        found[axis.name] = build.integer("%", term, axis.extent, span=axis.span) if place else term
        stride = build.integer("*", axis.extent, stride)
    return {axis.name: found[axis.name] for axis in axes}
