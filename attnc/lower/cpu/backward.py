"""Backward on the CPU: the weights again, and from them every gradient.

Enters: a sweep. Leaves: `_backward_cpu`. Gradients of keys and of captured arrays are summed over tiles in the dtype of
the scores; those of queries belong to one tile and are written at once.
"""

from __future__ import annotations

from attnc.algebra.derivative import ZERO
from attnc.algebra.fold import Softmax
from attnc.ir.nodes import Real, RealConst, Score
from attnc.kernel.build import function
from attnc.kernel.expressions import Expr, Var
from attnc.kernel.nodes import Function
from attnc.lower.collect import call_adder, lower_adder, need
from attnc.lower.cpu.handed import hand_backward
from attnc.lower.cpu.tile import KV_HEADS, NARROW, ROWS, SEEN, Called, TilePath, matmul
from attnc.lower.gradients import ArrayGradient, pass_back
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.token_maps import DotPair
from attnc.lower.torch_terms import DTYPE, is_number, torch


def lower_backward(sweep: TiledSweep, called: Called) -> Function:
    """`_backward_cpu(...)`: the gradient of every float tensor."""
    signature, path = sweep.signature, TilePath(sweep, called)
    top = path.top
    path.enter()
    hand_backward(path)
    for name in signature.vectors:
        dtype = Var("q").attr("dtype") if _is_written_once(sweep, name) else DTYPE
        make = torch.empty if _is_written_once(sweep, name) else torch.zeros
        top.let(f"d{name}", make(Var(name).attr("shape"), dtype=dtype))
    totals = list(dict.fromkeys(g.load.array for g in sweep.gradients.arrays))
    for array in totals:
        top.let(_total(array), torch.zeros(Var(sweep.attention.variable(array)).attr("shape"), dtype=DTYPE))
    tensors = [*signature.gradients, *signature.vectors, *signature.saved]
    p, ds = _weigh_softmax(path) if isinstance(sweep.fold, Softmax) else _weigh_sums(path)
    path.care(tensors)
    if sweep.weighs_values:
        _add_to_keys(path, "v", path.step.let("p_narrow", path.narrowed(p)), Var("dout_wide"))
    for pair, derivative in zip(sweep.score.dots, sweep.gradients.dots, strict=True):
        _add_dot(path, pair, derivative, ds)
    for gradient in sweep.gradients.arrays:
        _add_array(path, gradient, ds)
    path.loop()
    for pair in sweep.score.dots:
        for factor in _later(sweep, pair):
            if factor == RealConst(1.0):
                continue
            top.do(Var(f"d{pair.key}").call("mul_", path.terms(factor)))
    results = [_returned(sweep, name) for name in signature.vectors]
    results += [Var(_total(array)).to(Var(sweep.attention.variable(array)).attr("dtype")) for array in totals]
    top.returns(*results)
    doc = "Backward on the CPU: the gradient of every float tensor, in order."
    return path.function("_backward_cpu", signature.backward, doc)


def _weigh_softmax(path: TilePath) -> tuple[Expr, Expr]:
    """`p` and `ds`. The weights are exponentials below the row's largest score, times the weight of a key that has it.

    Everything is linear in them, so that factor goes into what comes in for the row: pairs are more than rows. So
    weights are as exact where the score is large, and a float32 next to it has no digits for the logarithm of a sum.
    """
    sweep, top, step = path.sweep, path.top, path.step
    for name in ("dlse", "row_max", "row_weight"):
        top.let(name, Var(name).call("unsqueeze", -1))
    if sweep.gradients.home("lse"):
        none = Var("dlse").call("masked_fill", Var("row_weight").equals(0.0), 0.0)
        top.let("dlse", none, "none where a row sees no key")
    path.score(_later_terms(sweep))
    below = Var("score").call("sub_", Var("row_max")[ROWS])
    step.comment("Weights are p times row_weight, which goes into what comes in for the row.")
    p = step.let("p", below.call("exp2_" if sweep.score.is_in_base_2 else "exp_"))
    dlse = Var("dlse")[ROWS] * Var("row_weight")[ROWS]
    if not sweep.weighs_values:
        return p, step.let("ds", p * dlse)
    step.let("dout_wide", Var("dout")[ROWS].to(DTYPE) * Var("row_weight")[ROWS])
    dp = step.let("dp", _dp(path))
    delta = (Var("dout_wide") * Var("out")[ROWS]).call("sum", -1, keepdim=True) - dlse
    step.let("delta", delta)
    return p, step.let("ds", dp.call("sub_", Var("delta")).call("mul_", p))


def _weigh_sums(path: TilePath) -> tuple[Expr, Expr]:
    """`p` and `ds`, from the score and the gradients of the row's sums; and what of arrays goes past the score."""
    sweep, step, weight = path.sweep, path.step, path.sweep.fold.weight
    path.score(_later_terms(sweep))
    path.terms.named[Score()] = Var("score")
    slopes = list(sweep.gradients.slopes)
    past = [g for g in sweep.gradients.arrays if g.passes_score]
    also = [each for g in past for each in (g.in_weight, *g.in_sums)]
    path.scope.bind([*([weight] if weight else []), *slopes, *also], path.place)
    p = path.pairs("p", weight) if weight is not None else Var("score")
    if sweep.weighs_values:
        step.let("dout_wide", Var("dout")[ROWS].to(DTYPE))
        step.let("dp", _dp(path))
    _through(path, "ds", slopes)
    for gradient in past:
        _through(path, gradient.past, [gradient.in_weight, *gradient.in_sums])
    return p, Var("ds")


def _through(path: TilePath, name: str, slopes: list[Real]) -> None:
    """The gradients of the weights and of the sums, each times its slope; 0 where the mask hides a key."""
    value = pass_back(slopes, _gradient_of, path.terms, torch.zeros_like(Var("score")))
    path.step.let(name, value)
    path.hide_in(name, function("float")(0))


def _gradient_of(n: int) -> Expr:
    """Of the weights, and of each sum of the row by its number."""
    return Var(f"dsum_{n}")[ROWS].call("unsqueeze", -1) if n else Var("dp")


def _later_terms(sweep: TiledSweep) -> list[Real]:
    return [*sweep.gradients.dots, *(g.derivative for g in sweep.gradients.arrays if g.home != "lse")]


def _dp(path: TilePath) -> Expr:
    """The gradient of the weights."""
    return matmul(Var("dout_wide"), path.wide("v").attr("mT"), path.room("dp_room"))


def _add_dot(path: TilePath, pair: DotPair, derivative: Real, ds: Expr) -> None:
    """What the two sides of a dot product get from `ds` times the derivative."""
    sweep, step = path.sweep, path.step
    later = _later(sweep, pair)
    value = step.let("ds_narrow", path.narrowed(ds)) if later else _times(path, pair, derivative, ds)
    product = matmul(value, path.seen(pair.key).to(NARROW), **path.shown_pairs)
    for factor in later:
        product = path.terms.times(product, factor)
    op = "=" if _is_written_once(sweep, pair.query) else "+="
    step.assign(Var(f"d{pair.query}")[ROWS], product, op)
    _add_to_keys(path, pair.key, value, Var(pair.query)[ROWS])


def _times(path: TilePath, pair: DotPair, derivative: Real, ds: Expr) -> Expr:
    name = f"d{pair.query}_{pair.key}"
    return path.step.let(name, path.narrowed(path.times(name, ds, derivative)))


def _add_to_keys(path: TilePath, key: str, pairs: Expr, rows: Expr) -> None:
    """Keys get from every query that sees them, in every tile."""
    total, room = Var(f"d{key}")[:, KV_HEADS], path.room("keys_room", NARROW)
    add = function("_add_transposed")
    path.step.do(add(total, SEEN, pairs, rows.to(NARROW), room, **path.shown_pairs))


def _add_array(path: TilePath, gradient: ArrayGradient, ds: Expr) -> None:
    step, derivative = path.step, gradient.derivative
    value: Expr = Var(gradient.past)
    if gradient.home == "lse":
        value = Var("dlse")[ROWS]
    elif derivative != ZERO:
        through = path.shown(f"{gradient.name}_shown", path.terms.times(ds, derivative))
        value = through + value if gradient.passes_score else through
    call = call_adder(lower_adder(path.sweep, gradient), value, Var(_total(gradient.load.array)))
    if gradient.home == "pair":
        with step.when(Var(need(gradient))) as asked:
            asked.do(call)
    else:
        step.do(call)


def _uses(sweep: TiledSweep, name: str) -> int:
    return [n for pair in sweep.score.dots for n in (pair.query, pair.key)].count(name)


def _is_written_once(sweep: TiledSweep, name: str) -> bool:
    """Is its gradient one product for each tile, and complete with it?"""
    return _uses(sweep, name) == 1 and any(name == pair.query for pair in sweep.score.dots)


def _later(sweep: TiledSweep, pair: DotPair) -> list[Real]:
    """The derivative by a dot product, where it is one number that can wait until the products are done; else none."""
    derivative = sweep.gradients.dots[sweep.score.dots.index(pair)]
    alone = _uses(sweep, pair.query) == _uses(sweep, pair.key) == 1
    return [derivative] if alone and is_number(derivative) else []


def _returned(sweep: TiledSweep, name: str) -> Expr:
    gradient = Var(f"d{name}")
    return gradient if _is_written_once(sweep, name) else gradient.to(Var(name).attr("dtype"))


def _total(array: str) -> str:
    return f"d_{array}"
