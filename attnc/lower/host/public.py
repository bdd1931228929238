"""The function that people call.

Enters: the kernels of a plan. Leaves: `NAME(q, k, v, *, ...)`: it checks its arguments, chooses the path by the device
of the tensors, and calls the operators of the sweeps in order.
"""

from __future__ import annotations

from collections.abc import Sequence

from attnc.ir import nodes as ir
from attnc.ir.nodes import Attention
from attnc.ir.text import print_sizes
from attnc.kernel.build import Block, function, unpacked
from attnc.kernel.expressions import Expr, Lit, Op, Ternary, Tuple, Var
from attnc.kernel.nodes import Assign, Function, If, Param, Return, Try
from attnc.lower.host.operator import operator_of
from attnc.lower.kernels import Kernels
from attnc.lower.schedule import StateFunctions, SweepKernels
from attnc.lower.torch_terms import torch

Q, K, V, OUT, LSE = (Var(name) for name in ("q", "k", "v", "out", "lse"))
ASKED = Var("return_lse")
INITIAL = Var("initial_state")
GIVEN = Op("is not", INITIAL, Lit(None))
NO_LSE = "`return_lse` needs a normalization by sum(exp(s)): this one has no log-sum-exp"
WRONG_CALL = Tuple((Var("TypeError"), Var("ValueError")))


def lower_public(kernels: Kernels) -> Function:
    """The function."""
    spec, sweep, top = kernels.plan.spec, kernels.plan.last, Block()
    _check(top, spec)
    if not sweep.fold.has_lse:
        with top.when(ASKED) as asked:
            asked.fail(function("ValueError")(NO_LSE))
    state = kernels.last.state
    if state:
        _enter(top, state)
    if sweep.key_heads:
        top.let(sweep.key_heads, K.attr("shape")[1])
    if not _reads_rows(kernels):
        _call_per_token(top, kernels.last)
    _call_sweeps(top, kernels)
    if state:
        with top.when(GIVEN) as entering:
            entering.lets(kernels.last.sweep.results, _called(state.enter, state=INITIAL))
    _finish(top, kernels)
    if sweep.fold.has_lse:
        top.returns(Ternary(Tuple((OUT, LSE)), ASKED, OUT))
    elif state:
        top.returns(Ternary(Tuple((OUT, _called(state.leave, state=INITIAL))), Var("return_state"), OUT))
    else:
        top.returns(OUT)
    tensors = [Param(name, "Tensor") for name in ("q", "k", "v")]
    options = [
        Param("scale", "float | None", default=Lit(None)),
        Param("return_lse", "bool", default=Lit(False)),
    ]
    if state:
        options.append(Param("initial_state", "dict[str, Tensor] | None", default=Lit(None)))
        options.append(Param("return_state", "bool", default=Lit(False)))
    if kernels.takes_backend:
        options.append(Param("backend", "str", default=Lit("auto")))
    params = (*tensors, Param("*"), *map(_declared, spec.params), *options)
    returns = "Tensor | tuple[Tensor, Tensor]" if sweep.fold.has_lse else "Tensor"
    returns = "Tensor | tuple[Tensor, dict[str, Tensor]]" if state else returns
    doc = "\n".join(_said(kernels))
    return Function(spec.name, params, doc, tuple(top.stmts), returns=returns)


def _declared(param: ir.Param) -> Param:
    """As the spec declares it, by its own name."""
    default = None if param.default is None else Lit(param.default)
    return Param(param.name, "Tensor" if param.sizes else param.sort, default=default)


def _check(top: Block, spec: Attention) -> None:
    """The arguments as they are computed with, or the first mistake in them."""
    top.lets(("q", "k", "v"), function("map")(Var("_as_autocast"), Tuple((Q, K, V))))
    checked, names = Block(), [p.name for p in spec.params]
    given = map(Var, ("q", "k", "v", "scale", *names))
    checked.lets(["scale", *map(spec.variable, names)], function("_check")(*given))
    refused = Return(function("_refused")(Var("mistake"), Q, V, ASKED))
    top.stmts.append(Try(tuple(checked.stmts), WRONG_CALL, "mistake", (refused,)))


def _call_sweeps(top: Block, kernels: Kernels) -> None:
    path = function("_choose")(Var("backend"), Q)
    chosen: list[Expr] = [path] if kernels.has_triton else []
    if not kernels.takes_backend:
        top.do(function("_check_device")(Q))
    elif not kernels.has_triton:
        top.do(path)
    elif kernels.before:
        chosen = [top.let("backend", chosen[0])]
    top.do(function("_tell_counters")())
    for each in kernels.before:
        _call_per_token(top, each)
        where = Block()
        _call(where, each, chosen)
        if each.sweep.has_gradient:
            top.extend(where)
        else:
            with top.within(torch.no_grad(), "a count or a place has no gradient") as without:
                without.extend(where)
        if each.numbers:
            top.lets(
                [each.sweep.spec.variable(name) for name, _ in each.sweep.numbers], _called(each.numbers)
            )
    if _reads_rows(kernels):
        _call_per_token(top, kernels.last)
    _call(top, kernels.last, chosen)


def _call_per_token(block: Block, kernels: SweepKernels) -> None:
    """The work on single tokens before a sweep."""
    if kernels.per_token:
        block.lets(kernels.signature.made, _called(kernels.per_token))


def _reads_rows(kernels: Kernels) -> bool:
    """Does the work on single tokens before the last sweep need what the others leave?"""
    rows = {sweep.spec.variable(name) for sweep in kernels.plan.before for name, _ in sweep.numbers}
    return kernels.last.per_token is not None and any(p.name in rows for p in kernels.last.per_token.params)


def _call(block: Block, kernels: SweepKernels, chosen: Sequence[Expr]) -> None:
    """Call the operator of a sweep."""
    signature = kernels.signature
    given = [*map(Var, (*signature.tensors, *signature.wholes)), *chosen]
    if signature.floats:
        given.append(unpacked(function("_floats")(*map(Var, signature.floats))))
    call = function(operator_of(kernels.sweep))(*given)
    if signature.remembered and not kernels.numbers:
        block.stmts.append(Assign(Tuple((*map(Var, signature.results), unpacked(Var("_")))), call))
    else:
        block.lets(list(signature.outputs), call)


def _finish(top: Block, kernels: Kernels) -> None:
    """What the spec makes of a result; without a key that is 0."""
    sweep, output = kernels.plan.last, kernels.output
    if output is None:
        return
    finished = Block()
    finished.let(
        "out", function(output.name)(*(OUT if p.name == "o" else Var(p.name) for p in output.params))
    )
    if sweep.rows.can_be_empty:
        top.extend(finished)
        return
    other = Block()
    if not sweep.fold.divides:
        other.let("out", OUT.to(Q.attr("dtype")))
    has_keys = K.attr("shape")[2] > 0
    note = "without a key the output is 0"
    top.stmts.append(If(has_keys, tuple(finished.stmts), tuple(other.stmts), note))


def _enter(top: Block, state: StateFunctions) -> None:
    """What a call has to be for a state, and where its positions begin."""
    with top.when(Op("or", GIVEN, Var("return_state"))) as asked:
        names = Tuple(tuple(map(Lit, state.names)))
        asked.do(function("_check_state")(INITIAL, names, Q, K))
    if state.before:
        top.let(state.before, Ternary(INITIAL["tokens"], GIVEN, Lit(0)))


def _called(fn: Function, **others: Expr) -> Expr:
    """A call of a function with the names as it has them, or with others."""
    return function(fn.name)(*(others.get(p.name, Var(p.name)) for p in fn.params))


def _said(kernels: Kernels) -> list[str]:
    """Its docstring."""
    lines = ["Attention of q [B, H, N, D] over k [B, HKV, M, D] and v [B, HKV, M, DV]: [B, H, N, DV].", ""]
    for p in kernels.plan.spec.params:
        order = ", sorted along its last axis" if p.sorted else ""
        lines.append(f"{p.name}: {p.sort}{print_sizes(p.sizes)}{order}")
    lines.append(
        "scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given"
    )
    if kernels.plan.last.fold.has_lse:
        lines.append("return_lse: also return the log-sum-exp of each row, [B, H, N]")
    if kernels.last.state:
        lines.append(
            "initial_state: what an earlier call left of the tokens in front of these: a dict of tensors"
        )
        lines.append("return_state: also return what this call leaves to a later one")
    if kernels.takes_backend:
        lines.append('backend: "auto" (by the device of the tensors), "triton" or "cpu"')
    if kernels.last.tile_lists:
        lines += [
            "",
            "The tiles that the mask shows are listed once for the same arrays. On a GPU those are the same",
            "tensors, unchanged as far as torch knows: it knows of no change through `.data`.",
        ]
    return lines
