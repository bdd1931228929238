"""How the gradient of a captured array is added up from numbers per pair, per query or per key.

Enters: one reading of an array. Leaves: the function `_add_to_NAME(total, value, ...)`, which sums `value` [B, H,
queries, keys] (an axis that was summed already has length one) into the array's gradient. Where every index is one
axis, as in `bias[h, i, j]`, that is a sum over the other axes; where it is computed, as in `table[h, bucket]`, equal
indices are added in a fixed order. Both paths, CPU and Triton, end here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnc.ir.nodes import Index
from attnc.ir.walk import axes_of
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Lit, Tuple, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.gradients import ArrayGradient
from attnc.lower.torch_terms import AXES, TorchTerms

if TYPE_CHECKING:
    from attnc.lower.tiled.sweep import TiledSweep

TOTAL, VALUE = Var("total"), Var("value")


def adder(sweep: TiledSweep, gradient: ArrayGradient) -> str:
    """The name of the function that adds to this gradient; with the log-sum-exp, it knows the slope of one pass."""
    add = sweep.named("_add") if gradient.home == "lse" else "_add"
    return f"{add}_to_{gradient.name}"


def need(gradient: ArrayGradient) -> str:
    """The flag of a gradient that costs a kernel of its own: is it asked for?"""
    return f"need_{gradient.load.array}"


def lower_adder(sweep: TiledSweep, gradient: ArrayGradient) -> Function:
    """`total += value`, each number at its place in the array."""
    terms = TorchTerms(sweep.attention, {}, sweep.cover.requires, sweep.tokens.places)
    load, block = gradient.load, Block()
    each: Expr = VALUE
    if gradient.home == "lse":
        block.let("dtype", TOTAL.attr("dtype"))
        each = terms.times(VALUE, gradient.derivative)
    sizes = sweep.attention.param(load.array).sizes
    axes = [item.axis for item in load.index if isinstance(item, Index)]
    natural = all(map(terms.is_whole_axis, load.index, sizes)) and len(set(axes)) == len(sizes)
    value = _sum_over(each, set(AXES) - set(axes_of_index(gradient)), keep=not natural)
    if natural:
        total: Expr = TOTAL
        if sorted(axes, key=AXES.index) != axes:
            total = total.call("permute", *sorted(range(len(axes)), key=lambda n: AXES.index(axes[n])))
        items = tuple(terms.here[axis] for axis in sorted(axes, key=AXES.index))
        block.assign(total[items], value, "+=")
    else:
        index = Tuple(tuple(map(terms.clamped, load.index, sizes)))
        block.do(function("_add_at")(TOTAL, index, value))
    known = ["q0", "q1", "heads", "seen", "b", "h", "i", "j", *_scalars(sweep), *_arrays(sweep)]
    doc = (
        f"Add to the gradient of `{load.array}` what pairs of queries [q0, q1) and keys `seen` say about it."
    )
    return block.function(
        adder(sweep, gradient), map(Param, known), doc, first=(Param("total"), Param("value"))
    )


def call_adder(function_: Function, value: Expr, total: Expr) -> Expr:
    """A call of an adder with the names as they stand where it is called."""
    return function(function_.name)(total, value, *(Var(p.name) for p in function_.params[2:]))


def axes_of_index(gradient: ArrayGradient) -> frozenset[str]:
    return frozenset().union(*(axes_of(item) for item in gradient.load.index))


def _sum_over(value: Expr, axes: set[str], keep: bool) -> Expr:
    if not axes:
        return value
    dims = Tuple(tuple(Lit(AXES.index(axis)) for axis in sorted(axes, key=AXES.index)))
    return value.call("sum", dims, keepdim=True) if keep else value.call("sum", dims)


def _scalars(sweep: TiledSweep) -> list[str]:
    sizes = ["B", "H", "HKV", "N", "M", "D", "DV", "scale"]
    return [*sizes, *(sweep.attention.variable(p.name) for p in sweep.attention.params if not p.sizes)]


def _arrays(sweep: TiledSweep) -> list[str]:
    return [sweep.attention.variable(p.name) for p in sweep.attention.params if p.sizes]
