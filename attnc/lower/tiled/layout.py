"""A layout: which positions the lanes of a tile have, and how its rows are read and written.

A value. Kernels ask it and name no position themselves, so that tiles of another shape are one class more here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnc.kernel.build import function
from attnc.kernel.expressions import Expr, ExprLike, Var
from attnc.lower.triton_terms import INT64, tl


def parts_of(width: str) -> str:
    """The parts that a tile has along a width, each a power of two: PARTS_D for D. 96 columns are 64 and 32."""
    return f"PARTS_{width}"


def block_width(width: str) -> str:
    """The power of two that a width is padded to where a tile has it in one: BLOCK_D for D."""
    return f"BLOCK_{width}"


@dataclass(frozen=True, slots=True)
class Flat:
    """Consecutive positions of one axis: those of a tile begin at `first`, and `size` of them are there."""

    axis: Literal["i", "j"]
    first: str
    size: str
    block: str

    @property
    def start(self) -> Expr:
        """The first position of the tile."""
        return Var(self.first)

    @property
    def end(self) -> Expr:
        """How many positions there are in all."""
        return Var(self.size)

    @property
    def step(self) -> Expr:
        """How many positions a tile has."""
        return Var(self.block)

    @property
    def positions(self) -> Expr:
        """The position of every lane."""
        return self.start + tl.arange(0, self.step)

    def rows(self, base: Expr, stride: Expr, width: str, ragged: ExprLike) -> Expr:
        """The rows of a tensor, in the parts of its width; `ragged` where some may not be there."""
        load = function("_load_rows")
        return load(base, self.start, self.end, stride, Var(width), self.step, Var(parts_of(width)), ragged)

    def store(self, base: Expr, rows: Expr, width: str) -> Expr:
        """Write rows of a contiguous tensor."""
        return function("_store_rows")(
            base, self.start, self.end, rows, Var(width), self.step, Var(parts_of(width))
        )

    def are_spoiled(self, base: Expr, width: str) -> Expr:
        """Is any number in these rows of a contiguous tensor none?"""
        return function("_are_spoiled_rows")(
            base, self.start, self.end, Var(width), self.step, Var(parts_of(width))
        )


@dataclass(frozen=True, slots=True)
class EachRow:
    """Positions that a column of a kernel says, one for each row of a tile: `i` of packed heads."""

    position: str
    size: str

    @property
    def inside(self) -> Expr:
        return Var(self.position) < Var(self.size)

    def rows(self, base: Expr, stride: Expr, width: str) -> Expr:
        """The rows of a tensor, in the parts of its width."""
        places = base + Var(self.position).to(INT64) * stride
        return function("_load_rows_at")(places, self.inside, Var(width), Var(parts_of(width)))

    def left(self, base: Expr, width: str) -> Expr:
        """The rows that stand at a column of pointers."""
        return function("_load_rows_at")(base, self.inside, Var(width), Var(parts_of(width)))

    def store(self, base: Expr, rows: Expr, width: str) -> Expr:
        """Write rows at a column of pointers."""
        return function("_store_rows_at")(base, self.inside, rows, Var(width), Var(parts_of(width)))


QUERIES = Flat("i", "q0", "N", "BLOCK_Q")
KEYS = Flat("j", "k0", "M", "BLOCK_K")
PACKED_QUERIES = EachRow("i", "N")
LAYOUTS = {"i": QUERIES, "j": KEYS}
