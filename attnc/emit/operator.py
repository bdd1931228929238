"""The operator that torch sees: forward, its shapes without data, and its gradient.

Enters: the kernels of a plan. Leaves: two operators with fake implementations and autograd, the form that works in
eager mode, under `torch.compile`, in `opcheck` and in `torch.export`. Their namespace is the module's own name, so that
copies of a module do not meet.
"""

from __future__ import annotations

from attnc.emit.launch import arrays_with_gradient
from attnc.emit.writer import Writer
from attnc.ir.nodes import Param
from attnc.lower.collect import needs_of
from attnc.lower.cpu import backward_params, scalars_of, tensors_of, vectors_of
from attnc.lower.kernels import Kernels
from attnc.lower.names import variable
from attnc.lower.plan import Plan, said_results

LIBRARY = '''
def _library():
    """The operators of this module, under its name; a copy of it has a `_` behind."""
    name = "".join(c if c.isalnum() else "_" for c in __name__)
    while hasattr(getattr(torch.ops, name), "attention"):
        name += "_"
    return torch.library.Library(name, "FRAGMENT")


_LIBRARY = _library()


def _operator(function):
    """The function as an operator of torch, which does not look inside.

    `torch.library.custom_op` does so too, but its first call loads all of torch.compile.
    """
    name = function.__name__.lstrip("_")
    schema = torch.library.infer_schema(function, mutates_args=())
    _LIBRARY.define(name + schema, tags=torch.Tag.pt2_compliant_tag)
    _LIBRARY.impl(name, function, "CompositeExplicitAutograd")
    return getattr(getattr(torch.ops, _LIBRARY.ns), name).default


def _refuse(ctx, *gradients):
    """The gradient of what has none that is known: zero would be wrong."""
    raise RuntimeError(f"a second derivative of `{_LIBRARY.ns}` was asked for, and there is none")
'''.strip()


def write_library(writer: Writer) -> None:
    """Where the operators of a module are registered."""
    writer.lines(LIBRARY)
    _gap(writer)


def write_operator(writer: Writer, kernels: Kernels) -> None:
    """Forward and backward as operators of torch."""
    plan = kernels.plan
    tensors, scalars = tensors_of(plan), scalars_of(plan)
    needs = needs_of(plan)
    results = [*vectors_of(plan), *map(variable, arrays_with_gradient(plan))]
    backend = ["backend"] if kernels.triton else []
    typed = [f"{n}: Tensor" for n in tensors] + _typed_scalars(plan) + [f"{n}: str" for n in backend]
    name = operator_of(plan)
    writer.line("@_operator")
    outputs = plan.results
    kinds = f"tuple[{', '.join(['Tensor'] * len(outputs))}]" if outputs[1:] else "Tensor"
    writer.items(f"def {name}(", typed, f") -> {kinds}:")
    with writer.indent():
        writer.line(f'"""{_said(plan)}."""')
        forward = _choice(writer, kernels, "forward")
        writer.items(f"return {forward}(", [*tensors, *scalars], ")")
    _gap(writer)
    writer.line(f"@torch.library.register_fake({name}, lib=_LIBRARY)")
    writer.items("def _(", [*tensors, *scalars, *backend], "):")
    with writer.indent():
        writer.line("wide = torch.promote_types(q.dtype, torch.float32)")
        dtype = "torch.int32" if plan.weights.kind == "largest" else "wide"
        rows = [f"q.new_empty(q.shape[:3], dtype={dtype})"] * len(plan.row_results)
        if plan.weighs_values:
            is_wide = plan.weights.kind == "sums"
            writer.line(f"out = q.new_empty(*q.shape[:3], v.shape[3]{', dtype=wide' if is_wide else ''})")
            rows.insert(0, "out")
        writer.items("return ", rows, "")
    _gap(writer)
    if not plan.has_gradient:
        writer.line(f"torch.library.register_autograd({name}, _refuse, lib=_LIBRARY)")
        _gap(writer)
        return

    gradients = [f"d{each}" for each in outputs]
    backward = [f"{n}: Tensor" for n in [*gradients, *tensors, *plan.saved]]
    backward += [*_typed_scalars(plan), *(f"{n}: bool" for n in needs), *(f"{n}: str" for n in backend)]
    plain = backward_params(plan)
    writer.line("@_operator")
    kinds = ", ".join(["Tensor"] * len(results))
    writer.items(f"def {name}_backward(", backward, f") -> tuple[{kinds}]:")
    with writer.indent():
        writer.line('"""The gradient of every float tensor, in order."""')
        function = _choice(writer, kernels, "backward")
        writer.items(f"return {function}(", plain, ")")
    _gap(writer)
    writer.line(f"@torch.library.register_fake({name}_backward, lib=_LIBRARY)")
    writer.items("def _(", [*plain, *backend], "):")
    with writer.indent():
        shapes = [f"{name}.new_empty({name}.shape)" for name in results]
        writer.items("return ", shapes, "")
    _gap(writer)
    writer.line(f"torch.library.register_autograd({name}_backward, _refuse, lib=_LIBRARY)")
    _gap(writer)
    _write_autograd(writer, plan, tensors, [*scalars, *backend], needs, results)
    _gap(writer)


def _write_autograd(
    writer: Writer, plan: Plan, tensors: list[str], scalars: list[str], needs: list[str], results: list[str]
) -> None:
    name, save, turn = operator_of(plan), plan.named("_save"), plan.named("_differentiate")
    writer.line(f"def {save}(ctx, inputs, output):")
    with writer.indent():
        also = ", the output and the log-sum-exp" if plan.weighs_values else " and the log-sum-exp"
        also = also if plan.saved else ""
        writer.line(f'"""Keep what the backward pass reads: all inputs{also}."""')
        saved = ", *output" if plan.saved[1:] else ", output" if plan.saved else ""
        writer.line(f"ctx.save_for_backward(*inputs[:{len(tensors)}]{saved})")
        writer.line(f"ctx.arguments = inputs[{len(tensors)}:]")
    _gap(writer)
    gradients = [f"d{name}" for name in plan.results]
    writer.line(f"def {turn}(ctx, {', '.join(gradients)}):")
    with writer.indent():
        writer.line(f'"""The gradient of every input of `{name}`."""')
        flags = [f"ctx.needs_input_grad[{tensors.index(variable(n.removeprefix('need_')))}]" for n in needs]
        if not flags:
            given = ["*ctx.arguments"]
        elif "backend" in scalars:
            writer.line("*arguments, backend = ctx.arguments")
            given = ["*arguments", *flags, "backend"]
        else:
            given = ["*ctx.arguments", *flags]
        call = [*gradients, "*ctx.saved_tensors", *given]
        names = [f"d_{n}" if n not in ("q", "k", "v") else f"d{n}" for n in results]
        writer.items(f"{', '.join(names)} = {name}_backward(", call, ")")
        given = [names[results.index(n)] if n in results else "None" for n in tensors]
        given += ["None"] * len(scalars)
        writer.items("return ", given, "")
    _gap(writer)
    writer.items(
        "torch.library.register_autograd(", [name, turn, f"setup_context={save}", "lib=_LIBRARY"], ")"
    )


def operator_of(plan: Plan) -> str:
    """The name of a pass as an operator."""
    return "_attention" if plan.weighs_values else plan.named("_rows")


def _choice(writer: Writer, kernels: Kernels, what: str) -> str:
    """The name of what computes it."""
    on_gpu, on_cpu = (kernels.plan.named(f"_{what}_{path}") for path in ("triton", "cpu"))
    if not kernels.triton:
        return on_cpu
    writer.line(f'{what} = {on_gpu} if backend == "triton" else {on_cpu}')
    return what


def _said(plan: Plan) -> str:
    if not plan.weighs_values:
        return f"Pass {plan.number}, which weighs no values: {said_results(plan)}"
    return (
        "Output and log-sum-exp"
        if plan.weights.kind == "softmax"
        else "Weighted values, and sums of each row"
    )


def _typed_scalars(plan: Plan) -> list[str]:
    return ["scale: float", *(f"{variable(p.name)}: {p.sort}" for p in _scalars(plan))]


def _scalars(plan: Plan) -> list[Param]:
    return [p for p in plan.attention.params if not p.sizes]


def _gap(writer: Writer) -> None:
    writer.line()
    writer.line()
