"""One tile of queries against one tile of keys: dot products, score and mask.

Enters: a kernel and the axis that its loop moves along, `j` in a program of queries and `i` in a program of keys.
Leaves: the lines of the tile, up to `score` in base 2. The tile is [queries, keys] where keys move and [keys, queries]
where queries move; `i` and `j` are a column and a row accordingly, so a term of the spec is written alike in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from attnc.algebra.fold import Softmax, Sums
from attnc.ir.nodes import Node, Real, TileEnd, Truth
from attnc.ir.walk import Axis, axes_of
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, ExprLike, List, Op, Var
from attnc.kernel.nodes import Assign, If, Stmt
from attnc.lower.gradients import is_finite
from attnc.lower.scope import note_of
from attnc.lower.tiled.frame import AGAIN, BLOCK_K, BLOCK_Q, EDGE, FLOAT32, MINUS_INF, Kernel
from attnc.lower.tiled.layout import LAYOUTS
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.triton_terms import tl


class Tile:
    """A tile of pairs under construction: the body of a loop along `moving`."""

    def __init__(self, kernel: Kernel, moving: Literal["i", "j"]) -> None:
        self.kernel = kernel
        self.moving = kernel.terms.moving = moving
        self.layout = LAYOUTS[moving]
        kernel.terms.named[TileEnd(moving, "first")] = self.layout.start
        sweep = kernel.sweep
        ranges = sweep.cover.keys if moving == "j" else sweep.cover.queries
        self.has_full_tiles = moving in sweep.cover.listed or any(
            whole is not None for _, whole in ranges.all_shown
        )
        self.ragged: Expr | bool = EDGE if self.has_full_tiles else True

    def place(self, axes: frozenset[Axis]) -> Block:
        """The outermost block that knows these positions; where queries move, `h` is known only in the group."""
        if self.moving in axes:
            return self.kernel.tile
        return self.kernel.group if self.moving == "i" and "h" in axes else self.kernel.loads

    def positions(self) -> None:
        """`i` and `j`; the one that stands still was written by the program."""
        self.kernel.tile.let(self.moving, self.layout.positions[None, :])

    def load(self, name: str, width: str) -> Expr:
        """The moving rows of a tensor."""
        return self.kernel.tile.let(name, self.kernel.rows(name, self.layout, width, self.ragged))

    def dots(self) -> None:
        """Every dot product of the score, as a tile."""
        loaded: set[str] = set()
        for pair in self.kernel.sweep.score.dots:
            still, moving = (pair.query, pair.key) if self.moving == "j" else (pair.key, pair.query)
            if moving not in loaded:
                self.load(moving, pair.width)
                loaded.add(moving)
            product = dot_rows(Var(still), Var(moving))
            name = "qk" if (pair.query, pair.key) == ("q", "k") else f"{pair.query}_{pair.key}"
            self.kernel.terms.named[pair.dot] = self.kernel.tile.let(name, product)

    def score(self, also: Sequence[Real] = ()) -> None:
        """`score`; of softmax in base 2, with -inf where the mask hides a key. `also` will be asked for later."""
        sweep, tile = self.kernel.sweep, self.kernel.tile
        self.kernel.scope.bind([sweep.score.term, *also], self.place)
        score = self.kernel.terms(sweep.score.term)
        if not {"i", "j"} <= axes_of(sweep.score.term):
            rows, columns = (BLOCK_Q, BLOCK_K) if self.moving == "j" else (BLOCK_K, BLOCK_Q)
            score = tl.zeros(List((rows, columns)), FLOAT32) + score
        tile.let("score", score, note_of(sweep.attention.score))
        if isinstance(sweep.fold, Softmax):
            self.hide({"score": MINUS_INF})

    def hide(
        self, instead: Mapping[str, ExprLike], edge_only: Sequence[Stmt] = (), full_only: Sequence[Stmt] = ()
    ) -> None:
        """Other values where the mask hides a key, and what else is done in edge tiles, or in full ones, alone."""
        sweep, tile, edge = self.kernel.sweep, self.kernel.tile, Block()
        self.kernel.scope.bind(
            [sweep.attention.mask], lambda axes: edge if self.moving in axes else self.place(axes)
        )
        visible = edge.let("visible", self.visible(), note_of(sweep.attention.mask))
        is_seen = Var("score").differs(MINUS_INF)
        if sweep.score_may_hide:
            edge.assign(visible, is_seen, "&=")
        hidden = Block()
        for name, value in instead.items():
            hidden.let(name, tl.where(visible, Var(name), value))
        hidden.stmts.extend(edge_only)
        edge.extend(hidden)
        if not self.has_full_tiles:
            tile.extend(edge)
            return
        full = Block()
        if sweep.score_may_hide:
            full.let("visible", is_seen)
            full.extend(hidden)
        else:
            full.stmts.extend(full_only)
        tile.stmts.append(If(EDGE, tuple(edge.stmts), tuple(full.stmts)))

    def leave_hidden_out(self, name: str, at_first: bool) -> None:
        """0 where the mask hides a key, of what may be no number there; `visible` is known.

        `at_first`: products do not tell of it, so that it has to be in the first look. Nor do they where hidden pairs
        are left out of each of them, as where a derivative may be infinite there.
        """
        sweep, block = self.kernel.sweep, self.kernel.tile
        if sweep.attention.mask == Truth(True):
            return
        hidden = Assign(Var(name), tl.where(Var("visible"), Var(name), 0.0))
        if any(map(is_finite, sweep.gradients.dots)) and not at_first:
            block.stmts.append(If(self.looks_at_hidden, (hidden,)))
        else:
            block.stmts.append(If(EDGE, (hidden,)) if self.has_full_tiles else hidden)

    @property
    def looks_at_hidden(self) -> Expr:
        """Is it a second look, at a tile that may hide a pair?"""
        return Op("and", AGAIN, EDGE) if self.has_full_tiles else AGAIN

    def visible(self) -> Expr:
        """The mask, and the end of what moves."""
        inside = Var(self.moving) < self.layout.end
        mask = self.kernel.sweep.attention.mask
        return inside if mask == Truth(True) else self.kernel.terms(mask) & inside

    def shown(self, value: Expr, term: Node) -> Expr:
        """`value`, with 0 where the mask hides a key and `term` may not be finite there."""
        if is_finite(term):
            return value
        if isinstance(self.kernel.sweep.fold, Sums):
            return tl.where(Var("ds").equals(0.0), 0.0, value)
        if self.has_full_tiles:
            return tl.where(Var("score").equals(MINUS_INF), 0.0, value)
        return tl.where(Var("visible"), value, 0.0)


# Matrix products of tiles in parts: `a @ b.T`, and `total + pairs @ rows`, where `pairs` take the dtype of `rows`.
dot_rows, add_rows = function("_dot_rows"), function("_add_rows")


def add_product(sweep: TiledSweep, total: Expr, pairs: Expr, rows: Expr) -> Expr:
    """`total + pairs @ rows`, also where the dtype of `rows` has no room for `pairs` as they are."""
    add = function("_add_rows_of_any_size") if sweep.weights_have_any_size else add_rows
    return add(total, pairs, rows)
