"""Linear attention in torch, on any device: by chunks, or, where a query sees every key, by products of matrices.

Enters: a sweep. Leaves: `_forward_cpu` and `_backward_cpu`, and the signature of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from attnc.ir.nodes import IntParam
from attnc.ir.text import print_ir
from attnc.ir.walk import walk
from attnc.kernel.build import Block, function, unpacked
from attnc.kernel.expressions import Expr, ExprLike, Lit, Op, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.chunked.form import Form
from attnc.lower.chunked.sweep import LinearSweep
from attnc.lower.signature import Signature
from attnc.lower.sweep import said_results
from attnc.lower.torch_terms import TorchTerms

NOTHING = Lit(None)
Q, K, V, DOUT, ROW_LSE = Var("query"), Var("key"), Var("v"), Var("dout"), Var("row_lse")
# A key of a chunk costs a pair, and its part of the state as much as so many.
CHUNK = 64


def sign(sweep: LinearSweep) -> Signature:
    """What the functions take and leave."""
    rows = Q.attr("shape")[:3]
    causal = sweep.mask.causal
    names = [part.name for part in walk(causal) if isinstance(part, IntParam)] if causal else []
    wide = {"dtype": Var("wide")}
    given = {"dtype": V.attr("dtype")} if sweep.fold.divides else wide
    out = {"out": Q.call("new_empty", unpacked(rows), V.attr("shape")[3], **given)}
    sums = {name: Q.call("new_empty", rows, **wide) for name in sweep.row_results}
    return Signature(
        vectors=sweep.vectors,
        arrays=sweep.documents,
        scalars={sweep.spec.variable(name): "int" for name in dict.fromkeys(names)},
        results=(out if sweep.weighs_values else {}) | sums,
        remembered={},
        saved=(),
        summed=(),
        needs={},
        ordered={sweep.numbered_by: "of_keys"} if sweep.numbered_by else {},
        entries=(*sweep.vectors, *sweep.documents),
        made=(*sweep.vectors, *sweep.documents),
        forward_cost={Q.name: 1, V.name: 1} if sweep.weighs_values else {Q.name: 1},
        backward_cost={Q.name: 3, V.name: 2} if sweep.weighs_values else {Q.name: 3},
    )


def lower_forward(sweep: LinearSweep) -> Function:
    """`_forward_cpu(...)`: out, where values are weighed, and the sums of each row."""
    block = Block()
    for misread in sweep.misreads:
        axes, index = "".join(misread.axes), print_ir(misread.index)
        block.do(function("_check_length")(misread.array, misread.axis, axes, index, Q, K))
    rest = _mask(block, sweep)
    bases = ", ".join(map(print_ir, sweep.bases))
    for steps in (form.steps for form in sweep.forms if bases and form.steps):
        block.do(function("_check_decay")(bases, Var(steps)))
    for form in sweep.forms:
        name = f"sum_{form.sums[0]}" if form.sums else "_"
        given: list[ExprLike] = [*_tensors(form, sweep), *rest, bool(form.sums)]
        block.lets(["out" if form.weighs_values else "_", name], _call(sweep, "forward", given))
        for again in form.sums[1:]:
            block.let(f"sum_{again}", Var(name))
    if sweep.fold.divides:
        block.let("out", Var("out").to(V.attr("dtype")))
        block.let("lse", ROW_LSE.call("clone"))
    # As the shapes of an operator without data say that they lie.
    block.returns(*(Var(name).call("contiguous") for name in sweep.results))
    doc = "Weighted values [B, H, N, DV], and sums of each row [B, H, N]."
    if not sweep.weighs_values:
        doc = f"Pass {sweep.number}: {said_results(sweep)}."
    params = tuple(map(Param, sign(sweep).forward))
    return block.function(sweep.named("_forward_cpu"), (), doc, "_without_autocast", params)


def lower_backward(sweep: LinearSweep) -> Function:
    """`_backward_cpu(...)`: the gradients of all vectors."""
    block, signature = Block(), sign(sweep)
    rest = _mask(block, sweep)
    for form in sweep.forms:
        each: list[Expr] = [Var(f"dsum_{n}") for n in form.sums]
        dsums: Expr = reduce(Expr.__add__, each) if each else NOTHING
        dout: Expr = DOUT if form.weighs_values else DOUT[..., :0] if sweep.weighs_values else Q[..., :0]
        names = [_gradient(form.query), _gradient(form.key), "dv" if form.weighs_values else "_"]
        if sweep.mask.causal is not None:
            names.append(_gradient(form.steps) if form.steps else "_")
        block.lets(names, _call(sweep, "backward", [dout, dsums, *_tensors(form, sweep), *rest]))
    if sweep.fold.divides:
        block.let(_gradient(ROW_LSE.name), Var("dlse").call("clone"))
    gradients = (Var(_gradient(name)).to(Var(name).attr("dtype")) for name in sweep.vectors)
    block.returns(*(gradient.call("contiguous") for gradient in gradients))
    doc = "The gradient of every float tensor, in order."
    return block.function(
        sweep.named("_backward_cpu"), (), doc, "_without_autocast", tuple(map(Param, signature.backward))
    )


def lower_pairs(sweep: LinearSweep) -> Function:
    """`_pairs_seen(query, v)`: how many pairs cost as much."""
    block = Block()
    F, DV = Q.attr("shape")[3], V.attr("shape")[3]
    state = Op("//", F * 2 * DV, F + DV)
    of_row: Expr = state if sweep.mask.is_of_all else state + CHUNK
    if sweep.is_both_ways:
        of_row = of_row * 2
    block.returns(Q.attr("shape")[:3].call("numel") * of_row)
    doc = "How many pairs of a query and a key cost as much as the states and the chunks."
    return block.function("_pairs_seen", map(Param, (Q.name, V.name)), doc)


def _call(sweep: LinearSweep, what: str, given: Sequence[ExprLike]) -> Expr:
    if sweep.is_both_ways:
        return function(f"_both_ways_{what}")(*given)
    kind = f"_products_{what}" if sweep.mask.causal is None else f"_chunked_{what}_cpu"
    return function(kind)(*given)


def _tensors(form: Form, sweep: LinearSweep) -> list[Expr]:
    """Features, values and steps of a form; a sum weighs no values."""
    values: Expr = V if form.weighs_values else V[..., :0] if sweep.weighs_values else K[..., :0]
    if sweep.mask.causal is None:
        return [Var(form.query), Var(form.key), values]
    return [Var(form.query), Var(form.key), values, Var(form.steps) if form.steps else NOTHING]


def _mask(block: Block, sweep: LinearSweep) -> list[Expr]:
    """The documents, and how far behind its position a query sees keys."""
    causal = sweep.mask.causal
    if causal is None:
        return [*map(Var, sweep.documents)]
    block.let("N", Q.attr("shape")[2])
    block.let("M", K.attr("shape")[2])
    offset = TorchTerms(sweep.spec, {})(causal)
    documents: list[Expr] = [*map(Var, sweep.documents)] or [NOTHING, NOTHING]
    return [*documents, offset]


def _gradient(name: str) -> str:
    return f"d{name}" if name == "v" else f"d_{name}"
