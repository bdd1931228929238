"""The function that people call.

Enters: the kernels of a plan. Leaves: `def NAME(q, k, v, *, ...)`: it checks its arguments, chooses the path by the
device of the tensors, and calls the operator.
"""

from __future__ import annotations

from attnc.emit.checks import write_checks
from attnc.emit.expression import emit_literal
from attnc.emit.operator import operator_of
from attnc.emit.writer import Writer
from attnc.ir.nodes import Param
from attnc.ir.text import print_ir
from attnc.lower.cpu import scalars_of, tensors_of
from attnc.lower.kernels import Kernels
from attnc.lower.names import variable
from attnc.lower.per_token import mapped_tensors
from attnc.options import Options

BACKEND = '''
def _choose(backend, q):
    """The path of a call: by the device of its tensors, unless the caller says otherwise."""
    if backend == "auto":
        return "triton" if q.is_cuda else "cpu"
    if backend not in ("triton", "cpu"):
        raise ValueError(f'`backend` needs "auto", "triton" or "cpu", got {backend!r}')
    if backend == "cpu" and q.device.type != "cpu":
        raise ValueError(f'`backend="cpu"` needs tensors on the CPU, got {q.device}')
    if backend == "triton" and not q.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(f'`backend="triton"` needs tensors on a GPU, got {q.device}')
    if backend == "triton" and q.is_cuda and q.dtype == torch.float64:
        raise ValueError("`q` needs dtype float16, bfloat16 or float32 on a GPU, got float64")
    return backend
'''.strip()


NO_KERNELS = '''
def _check_device(q):
    """Raise unless the tensors are on the CPU."""
    if q.device.type != "cpu":
        raise ValueError(f"`q` needs the CPU, since this module has no kernels, got {q.device}")
'''.strip()

NO_LSE = "`return_lse` needs a normalization by sum(exp(s)): this one has no log-sum-exp"


def write_public(writer: Writer, kernels: Kernels, options: Options) -> None:
    """The choice of a backend, the checks, and the function."""
    plan = kernels.plan
    spec = plan.spec
    writer.lines(BACKEND if kernels.triton else NO_KERNELS)
    writer.line()
    writer.line()
    write_checks(writer, plan, options)
    params = [_declared(p) for p in spec.params]
    tail = ["scale=None", "return_lse=False", *(['backend="auto"'] if kernels.triton else [])]
    writer.items(f"def {spec.name}(", ["q", "k", "v", "*", *params, *tail], "):")
    with writer.indent():
        _write_doc(writer, kernels)
        checked = ["scale", *(variable(p.name) for p in spec.params)]
        _write_call(writer, checked, "_check", ["q", "k", "v", "scale", *(p.name for p in spec.params)])
        if not plan.weights.has_lse:
            with writer.block("if return_lse:"):
                writer.items("raise ValueError(", [f'"{NO_LSE}"'], ")")
        if plan.key_heads:
            writer.line(f"{plan.key_heads} = k.shape[1]")
        if kernels.per_token:
            given = [p.name for p in kernels.per_token.params]
            _write_call(writer, mapped_tensors(plan), "_per_token", given)
        chosen = ["_choose(backend, q)"] if kernels.triton else []
        if not kernels.triton:
            writer.line("_check_device(q)")
        elif kernels.before:
            writer.line(f"backend = {chosen[0]}")
            chosen = ["backend"]
        for each in kernels.before:
            _write_rows(writer, each)
        arguments = [*tensors_of(plan), *scalars_of(plan), *chosen]
        results = plan.results
        writer.items(f"{', '.join(results)} = _attention(", arguments, ")")
        if kernels.output:
            given = ["out" if p.name == "o" else p.name for p in kernels.output.params]
            if plan.rows.can_be_empty:
                _write_call(writer, ["out"], "_output", given)
            else:
                with writer.block("if k.shape[2] > 0:  # without a key the output is 0"):
                    _write_call(writer, ["out"], "_output", given)
                if plan.weights.kind == "sums":
                    with writer.block("else:"):
                        writer.line("out = out.to(q.dtype)")
        writer.line("return (out, lse) if return_lse else out" if plan.weights.has_lse else "return out")


def _write_rows(writer: Writer, kernels: Kernels) -> None:
    """A pass that comes first, and what later ones read of it."""
    plan = kernels.plan
    assert kernels.numbers is not None
    call = f"{', '.join(plan.results)} = {operator_of(plan)}("
    arguments = [*tensors_of(plan), *scalars_of(plan), *(["backend"] if kernels.triton else [])]
    if plan.has_gradient:
        writer.items(call, arguments, ")")
    else:
        with writer.block("with torch.no_grad():  # a count or a place has no gradient"):
            writer.items(call, arguments, ")")
    names = [variable(name) for name, _ in plan.numbers]
    _write_call(writer, names, kernels.numbers.name, [p.name for p in kernels.numbers.params])


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
        sizes = f"[{', '.join(map(print_ir, p.sizes))}]" if p.sizes else ""
        extra = ", sorted along its last axis" if p.sorted else ""
        writer.line(f"{p.name}: {p.sort}{sizes}{extra}")
    writer.line(
        "scale: what `dot(q, k)` is multiplied with where the spec says `scale`; D ** -0.5 if not given"
    )
    if kernels.plan.weights.has_lse:
        writer.line("return_lse: also return the log-sum-exp of each row, [B, H, N]")
    if kernels.triton:
        writer.line('backend: "auto" (by the device of the tensors), "triton" or "cpu"')
    writer.line('"""')
