"""The function that people call.

Enters: the kernels of a plan. Leaves: `def NAME(q, k, v, *, ...)`: it checks its arguments, chooses the path by the
device of the tensors, and calls the operator.
"""

from __future__ import annotations

from attnc.emit.checks import write_checks
from attnc.emit.expression import emit_literal
from attnc.emit.library import FLOATS
from attnc.emit.operator import operator_of
from attnc.emit.writer import Writer
from attnc.ir.nodes import Param
from attnc.ir.text import print_ir
from attnc.lower.cpu import floats_of, tensors_of, wholes_of
from attnc.lower.kernels import Kernels
from attnc.lower.names import variable
from attnc.lower.per_token import mapped_tensors
from attnc.lower.schedule import SweepKernels
from attnc.lower.sweep import Sweep

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

AUTOCAST = '''
def _as_autocast(x):
    """q, k or v in the dtype that autocast has for torch's own attention; float64 stays."""
    if not isinstance(x, Tensor) or not torch.amp.is_autocast_available(x.device.type):
        return x
    is_cast = torch.is_autocast_enabled(x.device.type) and x.is_floating_point()
    is_cast = is_cast and x.dtype != torch.float64
    return x.to(torch.get_autocast_dtype(x.device.type)) if is_cast else x
'''.strip()

REFUSED = '''
@_operator
def _refusal(message: str, is_of_type: bool, q: Tensor, width: int) -> Tensor:
    """A wrong call in a graph of torch.compile, which raises it when it is run."""
    raise (TypeError if is_of_type else ValueError)(message)


@torch.library.register_fake(_refusal, lib=_LIBRARY)
def _(message, is_of_type, q, width):
    return q.new_empty(*q.shape[:-1], width)


def _refused(mistake, q, v, return_lse):
    """Raise a mistake. torch.compile would say that there is one, and not which: the graph does."""
    is_traced = torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting()
    if not is_traced or not isinstance(q, Tensor):
        raise mistake
    width = v.shape[-1] if isinstance(v, Tensor) and v.ndim else 1
    out = _refusal(str(mistake), isinstance(mistake, TypeError), q, width)
    return (out, out[..., 0]) if return_lse else out
'''.strip()

NO_LSE = "`return_lse` needs a normalization by sum(exp(s)): this one has no log-sum-exp"


def write_public(writer: Writer, kernels: Kernels) -> None:
    """The choice of a backend, the checks, and the function."""
    plan, sweep = kernels.plan, kernels.plan.last
    spec = plan.spec
    for text in (BACKEND if kernels.has_triton else NO_KERNELS, FLOATS, AUTOCAST, REFUSED):
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
        sizes = f"[{', '.join(map(print_ir, p.sizes))}]" if p.sizes else ""
        extra = ", sorted along its last axis" if p.sorted else ""
        writer.line(f"{p.name}: {p.sort}{sizes}{extra}")
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
