"""Forward on the CPU: the weights of a row from all its scores at once, in place.

Enters: a sweep. Leaves: `_forward_cpu`.
"""

from __future__ import annotations

from attnc.algebra.fold import Largest, Softmax, Sums
from attnc.ir.nodes import Real, Score
from attnc.kernel.build import function
from attnc.kernel.expressions import Expr, Var
from attnc.kernel.nodes import Function
from attnc.lower.cpu.handed import hand_forward
from attnc.lower.cpu.tile import MINUS_INF, ROWS, Called, N, TilePath
from attnc.lower.scope import note_of
from attnc.lower.sweep import said_results
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import DTYPE, torch

LN_2 = 0.6931471805599453


def lower_forward(sweep: TiledSweep, called: Called, check: Function | None) -> Function:
    """`_forward_cpu(...)`: all that it leaves, after the `check` of what is read."""
    path = TilePath(sweep, called)
    top = path.top
    if check is not None:
        top.do(function(check.name)(*(Var(p.name) for p in check.params)))
    path.enter()
    hand_forward(path)
    {Softmax: _softmax, Sums: _sums, Largest: _largest}[type(sweep.fold)](path)
    path.loop()
    if isinstance(sweep.fold, Softmax):
        weight = Var("row_sum").call("reciprocal")
        if sweep.rows.can_be_empty:
            weight = weight.call("masked_fill_", Var("row_sum").equals(0.0), 0.0)
        top.let("row_weight", weight.call("squeeze", -1))
        lse: Expr = Var("row_max") + Var("row_sum").call("log2_" if sweep.score.is_in_base_2 else "log_")
        lse = lse * LN_2 if sweep.score.is_in_base_2 else lse
        top.let("lse", lse.call("squeeze", -1))
        top.let("row_max", Var("row_max").call("squeeze", -1))
    top.returns(*map(Var, sweep.outputs))
    doc = f"Forward on the CPU: {said_results(sweep)}."
    return path.function("_forward_cpu", sweep.signature.forward, doc)


def _softmax(path: TilePath) -> None:
    sweep, top, step = path.sweep, path.top, path.step
    if sweep.weighs_values:
        top.let("out", Var("q").call("new_empty", Var("B"), Var("H"), N, Var("DV")))
    for name in ("row_max", "row_sum"):
        top.let(name, Var("q").call("new_empty", Var("B"), Var("H"), N, 1, dtype=DTYPE))
    if not sweep.rows.can_be_empty:
        with top.when(Var("M").equals(0), "else every row sees a key") as none:
            zero = [Var("out").call("zero_")] if sweep.weighs_values else []
            nothing = torch.full_like(Var("row_max"), MINUS_INF)
            remembered = [Var(name).call("zero_") for name in ("row_max", "row_sum")]
            none.returns(*zero, *(each.call("squeeze", -1) for each in (nothing, *remembered)))
    path.score([])
    if sweep.rows.can_be_empty:
        largest = step.let("largest", function("_row_max")(Var("score")))
    else:
        largest = step.let("largest", Var("score").call("amax", -1, keepdim=True))
    p = step.let(
        "p", Var("score").call("sub_", largest).call("exp2_" if sweep.score.is_in_base_2 else "exp_")
    )
    total = step.let("total", p.call("sum", -1, keepdim=True))
    step.assign(Var("row_max")[ROWS], largest)
    step.assign(Var("row_sum")[ROWS], total)
    if sweep.weighs_values:
        if sweep.rows.can_be_empty:
            step.do(total.call("clamp_", min=1.0), "no key: 0; else the largest adds 1")
        narrow = step.let("p_narrow", path.narrowed(p))
        step.assign(Var("out")[ROWS], path.weighted_values(narrow) / total)


def _largest(path: TilePath) -> None:
    top, step, (term,) = path.top, path.step, path.sweep.fold.sums
    top.let("at", Var("q").call("new_empty", Var("B"), Var("H"), N, dtype=torch.value("int32")))
    path.score([])
    path.terms.named[Score()] = Var("score")
    path.scope.bind([term], path.place)
    step.let("value", path.spread(path.terms(term)), note_of(term))
    path.hide_in("value", MINUS_INF)
    step.assign(Var("at")[ROWS], function("_first_of_largest")(Var("value"), Var("seen")))


def _sums(path: TilePath) -> None:
    sweep, top, step, fold = path.sweep, path.top, path.step, path.sweep.fold
    shape = (Var("B"), Var("H"), N)
    if sweep.weighs_values:
        top.let("out", Var("q").call("new_empty", *shape, Var("DV"), dtype=DTYPE))
    for name in sweep.row_results:
        top.let(name, Var("q").call("new_empty", *shape, dtype=DTYPE))
    path.score([])
    path.terms.named[Score()] = Var("score")
    path.scope.bind(fold.terms, path.place)
    named: dict[Real, Expr] = {}
    if fold.weight is not None:
        named[fold.weight] = path.pairs("p", fold.weight)
    for n, each in enumerate(fold.sums, 1):
        if each not in named:
            named[each] = path.pairs(f"part_{n}", each)
        step.assign(Var(f"sum_{n}")[ROWS], named[each].call("sum", -1))
    if sweep.weighs_values:
        narrow = step.let("p_narrow", path.narrowed(Var("p")))
        step.assign(Var("out")[ROWS], path.weighted_values(narrow))
