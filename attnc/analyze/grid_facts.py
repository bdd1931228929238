"""What was found of tokens on a grid, as frozen values.

Enters: nothing. Leaves: `Grid`. A mask over positions is taken apart into products of masks over one coordinate each;
what it says along one axis is an attention in one dimension, and has `Ranges` of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnc.analyze.facts import Ranges, Reason, Requirement
from attnc.ir.nodes import Bool, Int

Border = Literal["cut", "shifted"]


@dataclass(frozen=True, slots=True)
class Digit:
    """The digit of a position that is its coordinate: `position // stride % size`; the outermost needs no `%`."""

    stride: Int
    size: Int


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a grid, on the side of queries and on that of keys."""

    name: str
    query: Digit
    key: Digit


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbors that share a window: `size` coordinates from `size * n - shift` on."""

    size: Int
    shift: Int


@dataclass(frozen=True, slots=True)
class Window:
    """The keys of a query along an axis, as far as they have a short name.

    From `before` ahead of it to `after` behind it, both included; of its group's first and last place where a group
    shares them; None where there is no bound but the border. At the border a window is cut, or shifted so that it keeps
    its width. It lies in `[first, last)` where these are numbers.
    """

    before: Int | None
    after: Int | None
    group_before: Group | None
    group_after: Group | None
    border: Border
    first: Int | None
    last: Int | None

    @property
    def is_whole(self) -> bool:
        return self.before is self.after is self.first is self.last is None


@dataclass(frozen=True, slots=True)
class Along:
    """A product along one axis: an attention in one dimension.

    In `mask` and in the ranges, `i` and `j` are the coordinates and a tile is a run of coordinates: of the `queries`
    and the `keys` that there are. Where there is a `dilation`, a query sees keys of its own residue class alone:
    coordinates are then those in the class of a `Residue`, `dilation` apart in the grid. `window` is None where a query
    sees something else than one window.
    """

    axis: Axis
    mask: Bool
    queries: Int
    keys: Int
    dilation: Int | None
    window: Window | None
    of_queries: Ranges
    of_keys: Ranges


@dataclass(frozen=True, slots=True)
class Product:
    """Pairs that are seen along every axis, where the `guard` holds and every one of `mixed` does.

    The guard speaks of no position. What is `mixed` speaks of several axes, or of the token itself.
    """

    along: tuple[Along, ...]
    guard: Bool
    mixed: tuple[Bool, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A mask on a grid: a pair is visible where it is in one of the `products`.

    It is `declared` by the spec, or inferred of a mask that divides queries and keys by the same numbers; then the
    outermost axis may end within a row. All of it holds where every one of `requires` does.
    """

    axes: tuple[Axis, ...]
    products: tuple[Product, ...]
    is_declared: bool
    requires: tuple[Requirement, ...]
    because: tuple[Reason, ...]
