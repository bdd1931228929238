"""Values one tile late: the order of the forward kernel in which softmax runs beside the matrix unit.

Enters: the blocks of a forward kernel of softmax. Leaves: in them, what has the weights of a tile wait until the dot
products of the next tile are under way. Their product with the values is then under way too while the weights of the
next tile are computed (Shah et al. 2024, overlap within a warpgroup). That pays where products are asynchronous, so
AHEAD, a constant of each launch, is None elsewhere, and nothing of it is left there.
"""

from __future__ import annotations

from attnc.kernel.build import Block, function
from attnc.kernel.nodes import Expr, If, List, Var
from attnc.lower.tiled.frame import AHEAD, BLOCK_K, BLOCK_Q, FLOAT32, Kernel
from attnc.lower.tiled.layout import parts_of
from attnc.lower.triton_terms import INT32, tl

LATE = ("late_k0", "late_p", "late_rescale")


def keep_none(kernel: Kernel) -> None:
    """Before the first tile no weights wait: zeros do, for rows behind the last key."""
    keep, (k0, p, rescale) = kernel.keep, LATE
    keep.comment("No weights wait for their values yet: behind the last key, rows are zero.")
    keep.let(k0, Var("M"))
    keep.let(p, _bits(tl.zeros(List((BLOCK_Q, BLOCK_K)), FLOAT32)))
    keep.let(rescale, tl.zeros(List((BLOCK_Q,)), FLOAT32))


def add_late_values(kernel: Kernel) -> None:
    """In a tile: the values of the tile before it, whose weights have waited."""
    if kernel.sweep.waits:
        _add_waiting(kernel.tile, "The values of the last tile, while the weights of this one are computed.")


def add_last_values(kernel: Kernel) -> None:
    """Behind all tiles: the values of the last."""
    if kernel.sweep.waits:
        _add_waiting(kernel.loops, "The values of the last of all tiles.")


def _add_waiting(block: Block, comment: str) -> None:
    names = ("acc", *LATE, "v_ptr", "v_stride_t", "M", "DV", "BLOCK_K", parts_of("DV"))
    with block.when(AHEAD) as late:
        late.comment(comment)
        late.let("acc", function("_add_values")(*map(Var, names)))


def hold_or(block: Block, now: Block) -> None:
    """The weights of this tile wait, or meet their values `now`."""
    late = Block()
    held = (tl.cast(Var("k0"), INT32), _bits(Var("p")), Var("rescale"))
    for name, value in zip(LATE, held, strict=True):
        late.let(name, value)
    block.stmts.append(If(AHEAD, tuple(late.stmts), tuple(now.stmts)))


def _bits(p: Expr) -> Expr:
    """In the dtype of the values, and as ints: Triton sends numbers that a loop carries through shared memory."""
    return function("_bits")(p, Var("v_ptr").attr("dtype").attr("element_ty"))


def count_ahead(lo: Expr, hi: Expr) -> Expr:
    """The numbers of tiles; what they read is copied ahead, also what no product of the same tile needs."""
    return tl.range(lo, hi, num_stages=AHEAD)
