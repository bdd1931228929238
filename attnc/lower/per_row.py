"""The maps of single tokens as torch operations around the kernel.

Enters: a sweep. Leaves: `_per_token`, which computes what `query`, `key`, `value` and vectors in the score ask of one
token, and `_output`, which maps the result. Neither is there where the spec asks for nothing. Torch differentiates.
"""

from __future__ import annotations

from attnc.ir.nodes import (
    Count,
    Node,
    Real,
    RealIf,
    RealLoad,
    Row,
    RowLog,
    RowMax,
    RowSum,
    Total,
    VecInput,
)
from attnc.ir.walk import holds, walk
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Unary, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.choices import SEES_A_KEY, is_finite, is_steep, read_where
from attnc.lower.scope import note_of
from attnc.lower.sweep import Sweep
from attnc.lower.torch_terms import torch
from attnc.lower.vectors import Vectors


def lower_output(sweep: Sweep) -> Function | None:
    """`_output(o, lse, ...)`; None where the output is the softmax."""
    is_mapped, gate = sweep.spec.output != VecInput("o"), sweep.gate
    if not is_mapped and gate is None and sweep.fold.divides:
        return None
    block, vectors = Block(), Vectors(sweep, places=sweep.places)
    vectors.enter(block)
    is_finished = is_mapped or gate is not None
    output: Node = sweep.spec.output
    if is_finished and sweep.rows.can_be_empty:
        _name_empty_rows(block, sweep)
        vectors.terms.named[SEES_A_KEY] = Unary("~", Var("nothing")).call("unsqueeze", -1)
        output = read_where(SEES_A_KEY, output)
        if gate is not None and holds(gate, RealLoad, Total):
            gate = read_where(SEES_A_KEY, gate)
    if gate is not None:
        factor = block.let("row_factor", vectors.of_row(gate), note_of(sweep.spec.normalize))
        block.let("o", (Var("o") * factor).to(Var("dtype")))
    elif not sweep.fold.divides:
        block.let("o", Var("o").to(Var("dtype")))
    result = vectors.mapped(output)
    if is_finished and sweep.rows.can_be_empty:
        if not isinstance(result, Var):
            result = block.let("result", result)
        result = result.call("masked_fill", Var("nothing").call("unsqueeze", -1), 0.0)
    block.returns(result)
    names = ["o", *sweep.row_results, "q", "k", "v", "scale", *map(sweep.spec.variable, vectors.params)]
    doc = "The result of the kernel, mapped as the spec says."
    return block.function("_output", map(Param, names), doc, "_without_autocast")


def _name_empty_rows(block: Block, sweep: Sweep) -> None:
    """`nothing`: which rows see no key. Their numbers are changed, so that nothing is made of infinite ones."""
    empty = Var(sweep.count).equals(0.0) if sweep.count else Var("lse").equals(function("float")("-inf"))
    block.let("nothing", empty)
    weights = [name for name in sweep.remembered if name == "row_weight" and sweep.number]
    for name in (*sweep.row_results, *weights):
        block.let(name, Var(name).call("masked_fill", Var("nothing"), 1.0), "no key: any number will do")


def lower_numbers(sweep: Sweep) -> Function:
    """`_numbers_1(sum_1, ...)`: what a pass leaves for later ones, [B, H, N] each."""
    block, vectors = Block(), Vectors(sweep, places=sweep.places)
    vectors.enter(block)
    if sweep.rows.can_be_empty:
        _name_empty_rows(block, sweep)
    row_log: Expr = function("_row_log")(Var("lse"), Var("row_weight"))
    if any(holds(term, RowLog) and term != RowLog() for _, term in sweep.numbers):
        row_log = block.let("row_log", row_log)
    is_chosen = _chooses_between_numbers(sweep.spec.normalize)
    for name, term in sweep.numbers:
        match term:
            case RowSum(number):
                value: Expr = Var(f"sum_{number}")
            case RowMax():
                value = Var("row_max")
            case RowLog():
                value = row_log
            case _:
                value = vectors.of_row(term).call("squeeze", -1)
        found = block.let(sweep.spec.variable(name), value, note_of(term))
        if is_chosen and is_steep(term):
            finite = block.let("finite", found.call("isfinite"), "others are not used, and have no slope")
            vectors.terms.named[is_finite(term)] = finite.call("unsqueeze", -1)
            value = vectors.of_row(read_where(is_finite(term), term)).call("squeeze", -1)
            block.let(sweep.spec.variable(name), torch.where(finite, value, found.call("detach")))
    block.returns(*(Var(sweep.spec.variable(name)) for name, _ in sweep.numbers))
    names = [*sweep.outputs, "q", "k", "scale", *map(sweep.spec.variable, vectors.params)]
    doc = "What later passes read of each row."
    return block.function(sweep.named("_numbers"), map(Param, names), doc, "_without_autocast")


def _chooses_between_numbers(normalize: Real) -> bool:
    """Is there a number of a row that is used for some keys alone?"""
    choices = (part for part in walk(normalize) if isinstance(part, RealIf))
    return any(holds(side, Row, Count) for choice in choices for side in (choice.a, choice.b))
