"""What a row of softmax remembers: its largest score, in the base of scores, and the weight of a key that has it.

Enters: a sweep, and what its forward kernel has of a row. Leaves: the lines that store both, and in front of the
backward kernels the logarithm of the row's sum, which is all that the weight of a score needs. Where the largest score
is beyond `FAR`, a float32 next to it has few digits for that logarithm, or none: it is no number there, so that all
sums that the row has a part in are none either, and their programs look again (`again.py`). The second time weights are
found as in the forward pass, from the largest score and its weight. A row without a key has 0 for both, and weighs 0.
"""

from __future__ import annotations

from attnc.kernel.build import Block
from attnc.kernel.expressions import Expr, ExprLike, Var
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.triton_terms import tl

# Up to here float32 rounds the logarithm no more than the largest score itself: by 3e-5, in base 2.
FAR = 1024.0
NAN = float("nan")
ROW_MAX, ROW_SUM, ROW_WEIGHT = Var("row_max"), Var("row_sum"), Var("row_weight")


def remember(store: Block, sweep: TiledSweep, *place: Expr, **inside: ExprLike) -> None:
    """Store both numbers of the rows at a place."""
    largest: Expr = ROW_MAX
    weight = 1.0 / ROW_SUM
    if sweep.rows.can_be_empty:
        largest = tl.where(ROW_SUM.equals(0.0), 0.0, largest)
        weight = tl.where(ROW_SUM.equals(0.0), 0.0, weight)
    store.do(tl.store(_at("row_max", place), largest, **inside))
    store.do(tl.store(_at("row_weight", place), weight, **inside))


def load_remembered(block: Block, *place: Expr, **inside: ExprLike) -> None:
    """Load both."""
    for name in ("row_max", "row_weight"):
        block.let(name, tl.load(_at(name, place), **inside))


def store_logarithms(block: Block, sweep: TiledSweep, *place: Expr, inside: Expr) -> None:
    """Store the logarithms of the sums of the rows at a place."""
    load_remembered(block, *place, mask=inside, other=0.0)
    logarithm = tl.log2 if sweep.score.is_in_base_2 else tl.log
    block.let("lse", ROW_MAX - logarithm(ROW_WEIGHT))
    block.comment("Next to a large score a float32 has no digits for a logarithm: then look again.")
    is_far = tl.abs(ROW_MAX) > FAR
    block.do(tl.store(_at("lse", place), tl.where(is_far, NAN, Var("lse")), mask=inside))


def _at(name: str, place: tuple[Expr, ...]) -> Expr:
    pointer: Expr = Var(f"{name}_ptr")
    for part in place:
        pointer = pointer + part
    return pointer
