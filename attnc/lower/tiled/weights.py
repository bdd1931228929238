"""From a score back to the weights and to the gradient of the score.

Enters: a tile's `score` and what the forward pass remembered of the rows. Leaves: `p`, the weights, and `ds`, the
gradient of the score: ds = p * (dp - delta), where delta = sum(dout * out) - dlse (Dao et al. 2022, with the gradient
of the log-sum-exp folded in). Weights of one score each have ds = dp * dp/ds, and what comes through the row's sums. A
pass that weighs no values has no dp.
"""

from __future__ import annotations

from dataclasses import replace

from attnc.algebra.derivative import ZERO
from attnc.algebra.fold import Softmax, Sums
from attnc.ir.nodes import Real, RealLoad, Score
from attnc.ir.walk import holds
from attnc.kernel.build import Block
from attnc.kernel.expressions import Expr, Var
from attnc.kernel.nodes import If
from attnc.lower.conversions import turn_around
from attnc.lower.gradients import ArrayGradient, Home, is_finite, pass_back
from attnc.lower.scope import note_of
from attnc.lower.tiled.frame import AGAIN, exponential
from attnc.lower.tiled.remembered import load_remembered
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.tiled.tile import Tile
from attnc.lower.triton_terms import tl

I, N = Var("i"), Var("N")


def load_row_statistics(
    block: Block, row: Expr, sweep: TiledSweep, gradients: tuple[ArrayGradient, ...]
) -> None:
    """What the weights and the gradient of the score need of a row; shaped like `i`."""
    load_row_sums(block, row, sweep)
    load_row_gradients(block, row, sweep, gradients)


def load_row_sums(block: Block, row: Expr, sweep: TiledSweep) -> None:
    """Of softmax the logarithm of the row's sum; and what the second look finds the weights from."""
    if sweep.weighs_twice:
        block.let("lse", tl.load(Var("lse_ptr") + row + I, mask=I < N, other=0.0))
        load_remembered(block, row, I, mask=I < N, other=0.0)


def load_row_gradients(
    block: Block, row: Expr, sweep: TiledSweep, gradients: tuple[ArrayGradient, ...]
) -> None:
    """Of softmax `delta`, else the gradients of the row's sums."""
    if isinstance(sweep.fold, Sums):
        for n, slope_of_sum in enumerate(sweep.gradients.slopes[1:], 1):
            slopes = [slope_of_sum, *(g.in_sums[n - 1] for g in gradients)]
            if any(slope != ZERO for slope in slopes):
                block.let(f"dsum_{n}", tl.load(Var(f"dsum_{n}_ptr") + row + I, mask=I < N, other=0.0))
        if sweep.dout_has_any_size:
            block.let("dout_size", tl.load(Var("dout_size_ptr") + row + I, mask=I < N, other=0.0))
        return
    name = "delta" if sweep.weighs_values else "dlse"
    block.let(name, tl.load(Var(f"{name}_ptr") + row + I, mask=I < N, other=0.0))


def gradients_in(sweep: TiledSweep, home: Home) -> tuple[ArrayGradient, ...]:
    """The gradients that a kernel sums, less what they would keep of the score from before its matrix products."""
    return tuple(replace(g, derivative=turn_around(g.derivative)) for g in sweep.gradients.home(home))


def weigh(
    tile: Tile, gradients: tuple[ArrayGradient, ...], of_rows: Block, needs_weights: bool = False
) -> None:
    """`ds` of one tile, and `p` if asked for. `dp` comes first: its dot product runs while the score is computed.

    `of_rows` reads what `ds` needs of the rows, where they move: behind the weights, which have no need to wait for
    it, nor registers to spare. Of `gradients`, what does not go through the score is named here too, and hidden with
    the rest.
    """
    block, sweep = tile.kernel.tile, tile.kernel.sweep
    block.blank()
    if isinstance(sweep.fold, Softmax):
        p = Var("p")
        first, again = Block(), Block()
        first.let("p", exponential(sweep, Var("score") - Var("lse")))
        again.let("p", exponential(sweep, Var("score") - Var("row_max")) * Var("row_weight"))
        block.stmts.append(If(AGAIN, tuple(again.stmts), tuple(first.stmts)))
        block.extend(of_rows)
        block.let("ds", p * (Var("dp") - Var("delta")) if sweep.weighs_values else p * Var("dlse"))
        return
    block.extend(of_rows)
    if sweep.dout_has_any_size:
        block.let("dp", Var("dp") * Var("dout_size"))
    weight, terms = sweep.fold.weight, tile.kernel.terms
    terms.named[Score()] = Var("score")
    slopes = list(sweep.gradients.slopes)
    past = [g for g in gradients if g.passes_score]
    also = [each for g in past for each in (g.in_weight, *g.in_sums)]
    needed = [weight] if weight is not None and needs_weights else []
    tile.kernel.scope.bind([*needed, *slopes, *also], tile.place)
    for each in needed:
        block.let("p", terms(each), note_of(each))
    hidden = ["p"] * len(needed) + ["ds"]
    block.let("ds", _through(tile, slopes))
    for gradient in past:
        hidden.append(gradient.past)
        block.let(gradient.past, _through(tile, [gradient.in_weight, *gradient.in_sums]))
    tile.hide(dict.fromkeys(hidden, 0.0))


def add_up(tile: Tile, gradient: ArrayGradient) -> Expr:
    """The gradient of an array's element at every pair: through the score, and past it."""
    derivative = gradient.derivative
    if derivative == ZERO:
        return Var(gradient.past)
    through: Expr = tile.kernel.terms.times(Var("ds"), derivative)
    if is_finite(derivative):
        through = tile.kernel.tile.let(gradient.pairs, through)
        reads = holds(derivative, RealLoad)
        tile.leave_hidden_out(gradient.pairs, at_first=reads or gradient.home == "pair")
    else:
        through = tile.shown(through, derivative)
    return through + Var(gradient.past) if gradient.passes_score else through


def _through(tile: Tile, slopes: list[Real]) -> Expr:
    """`dp` and the gradients of the sums, each times its slope."""
    zeros = tl.zeros_like(Var("score"))
    return pass_back(slopes, lambda n: Var(f"dsum_{n}" if n else "dp"), tile.kernel.terms, zeros)
