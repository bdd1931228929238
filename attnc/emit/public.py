"""The function that people call.

Enters: the kernels of a plan. Leaves: `def NAME(q, k, v, *, ...)`: it checks its arguments, chooses the path by the
device of the tensors, and calls the operator.
"""

from __future__ import annotations

from attnc.emit.checks import write_checks
from attnc.emit.expression import emit_literal
from attnc.emit.operator import operator_of
from attnc.emit.support import text_of, whole
from attnc.emit.writer import Writer
from attnc.ir.nodes import Param
from attnc.ir.text import print_sizes
from attnc.lower.cpu import floats_of, tensors_of, wholes_of
from attnc.lower.kernels import Kernels
from attnc.lower.names import variable
from attnc.lower.per_token import mapped_tensors
from attnc.lower.schedule import SweepKernels
from attnc.lower.sweep import Sweep

NO_LSE = "`return_lse` needs a normalization by sum(exp(s)): this one has no log-sum-exp"


def write_public(writer: Writer, kernels: Kernels) -> None:
    """The choice of a backend, the checks, and the function."""
    plan, sweep = kernels.plan, kernels.plan.last
    spec = plan.spec
    device = "_choose" if kernels.has_triton else "_check_device"
    for text in (text_of("call", device, "_floats", "_as_autocast"), whole("refused")):
        writer.lines(text)
        writer.line()
        writer.line()
    write_checks(writer, plan)
    params = [_declared(p) for p in spec.params]
    tail = ["scale=None", "return_lse=False", *(['backend="auto"'] if kernels.has_triton else [])]
    writer.items(f"def {spec.name}(", ["q", "k", "v", "*", *params, *tail], "):")
    with writer.indent():
        _write_doc(writer, kernels)
        checked = ["scale", *(variable(p.name) for p in spec.params)]
        writer.line("q, k, v = map(_as_autocast, (q, k, v))")
        with writer.block("try:"):
            _write_call(writer, checked, "_check", ["q", "k", "v", "scale", *(p.name for p in spec.params)])
        with writer.block("except (TypeError, ValueError) as mistake:"):
            writer.line("return _refused(mistake, q, v, return_lse)")
        if not sweep.fold.has_lse:
            with writer.block("if return_lse:"):
                writer.items("raise ValueError(", [f'"{NO_LSE}"'], ")")
        if sweep.key_heads:
            writer.line(f"{sweep.key_heads} = k.shape[1]")
        if kernels.per_token:
            given = [p.name for p in kernels.per_token.params]
            _write_call(writer, mapped_tensors(sweep), "_per_token", given)
        chosen = ["_choose(backend, q)"] if kernels.has_triton else []
        if not kernels.has_triton:
            writer.line("_check_device(q)")
        elif kernels.before:
            writer.line(f"backend = {chosen[0]}")
            chosen = ["backend"]
        writer.line("_tell_counters()")
        for each in kernels.before:
            _write_rows(writer, each, chosen)
        arguments = [*tensors_of(sweep), *wholes_of(sweep), *chosen, _floats(sweep)]
        results = sweep.results
        writer.items(f"{', '.join(results)} = _attention(", arguments, ")")
        if kernels.output:
            given = ["out" if p.name == "o" else p.name for p in kernels.output.params]
            if sweep.rows.can_be_empty:
                _write_call(writer, ["out"], "_output", given)
            else:
                with writer.block("if k.shape[2] > 0:  # without a key the output is 0"):
                    _write_call(writer, ["out"], "_output", given)
                if not sweep.fold.divides:
                    with writer.block("else:"):
                        writer.line("out = out.to(q.dtype)")
        writer.line("return (out, lse) if return_lse else out" if sweep.fold.has_lse else "return out")


def _write_rows(writer: Writer, kernels: SweepKernels, chosen: list[str]) -> None:
    """A pass that comes first, and what later ones read of it."""
    sweep = kernels.sweep
    assert kernels.numbers is not None
    call = f"{', '.join(sweep.results)} = {operator_of(sweep)}("
    arguments = [*tensors_of(sweep), *wholes_of(sweep), *chosen, _floats(sweep)]
    if sweep.has_gradient:
        writer.items(call, arguments, ")")
    else:
        with writer.block("with torch.no_grad():  # a count or a place has no gradient"):
            writer.items(call, arguments, ")")
    names = [variable(name) for name, _ in sweep.numbers]
    _write_call(writer, names, kernels.numbers.name, [p.name for p in kernels.numbers.params])


def _floats(sweep: Sweep) -> str:
    return f"*_floats({', '.join(floats_of(sweep))})"


def _write_call(writer: Writer, targets: list[str], function: str, given: list[str]) -> None:
    """`targets = function(given)`, on several lines where one is too short for it."""
    head = f"{', '.join(targets)} = {function}("
    if writer.fits(head):
        writer.items(head, given, ")")
        return
    writer.line("(")
    with writer.indent():
        writer.fill([f"{target}," for target in targets])
    writer.items(f") = {function}(", given, ")")


def _declared(param: Param) -> str:
    return param.name if param.default is None else f"{param.name}={emit_literal(param.default)}"


def _write_doc(writer: Writer, kernels: Kernels) -> None:
    writer.line('"""Attention of q [B, H, N, D] over k [B, HKV, M, D] and v [B, HKV, M, DV]: [B, H, N, DV].')
    writer.line()
    for p in kernels.plan.spec.params:
        extra = ", sorted along its last axis" if p.sorted else ""
        writer.line(f"{p.name}: {p.sort}{print_sizes(p.sizes)}{extra}")
    writer.line(
        "scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given"
    )
    if kernels.plan.last.fold.has_lse:
        writer.line("return_lse: also return the log-sum-exp of each row, [B, H, N]")
    if kernels.has_triton:
        writer.line('backend: "auto" (by the device of the tensors), "triton" or "cpu"')
    if kernels.has_triton and kernels.plan.last.listed:
        writer.line()
        writer.line(
            "The tiles that the mask shows are listed once for the same arrays. On a GPU those are the same"
        )
        writer.line("tensors, unchanged as far as torch knows: it knows of no change through `.data`.")
    writer.line('"""')
