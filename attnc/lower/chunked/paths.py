"""What computes linear attention: torch by chunks or by products of matrices, and kernels by chunks on a GPU.

Enters: a sweep. Leaves: `_forward_cpu` and `_backward_cpu`, `_forward_triton` and `_backward_triton` where there are
kernels, and the signature of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Literal

from attnc.ir.nodes import IntParam
from attnc.ir.text import print_ir
from attnc.ir.walk import walk
from attnc.kernel.build import Block, function, unpacked
from attnc.kernel.expressions import Expr, ExprLike, Lit, Op, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.chunked.form import Form
from attnc.lower.chunked.state import made_of_tokens
from attnc.lower.chunked.sweep import LinearSweep
from attnc.lower.signature import Signature
from attnc.lower.sweep import said_results
from attnc.lower.torch_terms import TorchTerms, torch

Path = Literal["cpu", "triton"]

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
        made=made_of_tokens(sweep),
        forward_cost={Q.name: 1, V.name: 1} if sweep.weighs_values else {Q.name: 1},
        backward_cost={Q.name: 3, V.name: 2} if sweep.weighs_values else {Q.name: 3},
        has_kernels=sweep.has_kernels,
    )


def lower_forward(sweep: LinearSweep, path: Path) -> Function:
    """`_forward_cpu(...)` or `_forward_triton(...)`: out, where values are weighed, and the sums of each row."""
    top = Block()
    for misread in sweep.misreads:
        axes, index = "".join(misread.axes), print_ir(misread.index)
        top.do(function("_check_length")(misread.array, misread.axis, axes, index, Q, K))
    rest = _mask(top, sweep)
    with _where_tensors_are(top, path) as block:
        bases = ", ".join(map(print_ir, sweep.bases))
        for steps in (form.steps for form in sweep.forms if bases and form.steps):
            block.do(function("_check_decay")(bases, Var(steps)))
        for form in sweep.forms:
            name = f"sum_{form.sums[0]}" if form.sums else "_"
            given: list[ExprLike] = [*_tensors(form, sweep), *rest, bool(form.sums)]
            names = ["out" if form.weighs_values else "_", name]
            block.lets(names, _call(form, sweep, path, "forward", given))
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
    return _function(sweep, "forward", path, sign(sweep).forward, doc, top)


def lower_backward(sweep: LinearSweep, path: Path) -> Function:
    """`_backward_cpu(...)` or `_backward_triton(...)`: the gradients of all vectors."""
    top = Block()
    rest = _mask(top, sweep)
    with _where_tensors_are(top, path) as block:
        for form in sweep.forms:
            each: list[Expr] = [Var(f"dsum_{n}") for n in form.sums]
            dsums: Expr = reduce(Expr.__add__, each) if each else NOTHING
            dout: Expr = DOUT if form.weighs_values else DOUT[..., :0] if sweep.weighs_values else Q[..., :0]
            names = [_gradient(form.query), _gradient(form.key), "dv" if form.weighs_values else "_"]
            if form.mask.causal is not None:
                names.append(_gradient(form.steps) if form.steps else "_")
            given = [dout, dsums, *_tensors(form, sweep), *rest]
            block.lets(names, _call(form, sweep, path, "backward", given))
        if sweep.fold.divides:
            block.let(_gradient(ROW_LSE.name), Var("dlse").call("clone"))
        gradients = (Var(_gradient(name)).to(Var(name).attr("dtype")) for name in sweep.vectors)
        block.returns(*(gradient.call("contiguous") for gradient in gradients))
    doc = "The gradient of every float tensor, in order."
    return _function(sweep, "backward", path, sign(sweep).backward, doc, top)


def _function(
    sweep: LinearSweep, what: str, path: Path, given: Sequence[str], doc: str, block: Block
) -> Function:
    """What torch multiplies has the dtypes of its tensors; kernels know no autocast."""
    decorator = "_without_autocast" if path == "cpu" else ""
    return block.function(sweep.named(f"_{what}_{path}"), (), doc, decorator, tuple(map(Param, given)))


@contextmanager
def _where_tensors_are(top: Block, path: Path) -> Iterator[Block]:
    """Kernels are launched on the GPU that has them."""
    if path == "cpu":
        yield top
        return
    with top.within(function(torch.value("cuda").attr("device_of"))(Q)) as inside:
        yield inside


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


def _call(form: Form, sweep: LinearSweep, path: Path, what: str, given: Sequence[ExprLike]) -> Expr:
    """Support code: products of matrices, chunks, or chunks whose features fade each by its own steps."""
    if sweep.is_both_ways:
        return function(f"_both_ways_{what}")(*given)
    if form.mask.causal is None:
        return function(f"_products_{what}")(*given)
    has_own_kernels = path == "triton" and form.gates == "channels"
    return function(f"_{'channel' if has_own_kernels else 'chunked'}_{what}_{path}")(*given)


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
