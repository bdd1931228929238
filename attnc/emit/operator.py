"""The operator that torch sees: forward, its shapes without data, and its gradient.

Enters: the kernels of a plan. Leaves: two `torch.library.custom_op`s with fake implementations and autograd, the form
that works in eager mode, under `torch.compile`, in `opcheck` and in `torch.export`. Its namespace is the module's own
name, so that copies of a module do not meet.
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


def write_operator(writer: Writer, kernels: Kernels) -> None:
    """Forward and backward as operators of torch."""
    plan = kernels.plan
    tensors, scalars = tensors_of(plan), scalars_of(plan)
    needs = needs_of(plan)
    results = [*vectors_of(plan), *map(variable, arrays_with_gradient(plan))]
    typed = [f"{n}: Tensor" for n in tensors] + _typed_scalars(plan) + ["backend: str"]
    name = operator_of(plan)
    _write_head(writer, name)
    outputs = plan.results
    kinds = f"tuple[{', '.join(['Tensor'] * len(outputs))}]" if outputs[1:] else "Tensor"
    writer.items(f"def {name}(", typed, f") -> {kinds}:")
    with writer.indent():
        writer.line(f'"""{_said(plan)}."""')
        _write_choice(writer, plan, "forward")
        writer.items("return forward(", [*tensors, *scalars], ")")
    _gap(writer)
    writer.line(f"@{name}.register_fake")
    writer.items("def _(", [*tensors, *scalars, "backend"], "):")
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
        return

    gradients = [f"d{each}" for each in outputs]
    backward = [f"{n}: Tensor" for n in [*gradients, *tensors, *plan.saved]]
    backward += [*_typed_scalars(plan), *(f"{n}: bool" for n in needs), "backend: str"]
    plain = backward_params(plan)
    _write_head(writer, f"{name}_backward")
    kinds = ", ".join(["Tensor"] * len(results))
    writer.items(f"def {name}_backward(", backward, f") -> tuple[{kinds}]:")
    with writer.indent():
        writer.line('"""The gradient of every float tensor, in order."""')
        _write_choice(writer, plan, "backward")
        writer.items("return backward(", plain, ")")
    _gap(writer)
    writer.line(f"@{name}_backward.register_fake")
    writer.items("def _(", [*plain, "backend"], "):")
    with writer.indent():
        shapes = [f"{name}.new_empty({name}.shape)" for name in results]
        writer.items("return ", shapes, "")
    _gap(writer)
    _write_autograd(writer, plan, tensors, scalars, needs, results)
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
        writer.line("*arguments, backend = ctx.arguments")
        call = [*gradients, "*ctx.saved_tensors", "*arguments", *flags, "backend"]
        names = [f"d_{n}" if n not in ("q", "k", "v") else f"d{n}" for n in results]
        writer.items(f"{', '.join(names)} = {name}_backward(", call, ")")
        given = [names[results.index(n)] if n in results else "None" for n in tensors]
        given += ["None"] * (len(scalars) + 1)
        writer.items("return ", given, "")
    _gap(writer)
    writer.line(f"{name}.register_autograd({turn}, setup_context={save})")


def operator_of(plan: Plan) -> str:
    """The name of a pass as an operator."""
    return "_attention" if plan.weighs_values else plan.named("_rows")


def _write_head(writer: Writer, name: str) -> None:
    writer.line(f'@torch.library.custom_op(f"{{_NAMESPACE}}::{name.lstrip("_")}", mutates_args=())')


def _write_choice(writer: Writer, plan: Plan, what: str) -> None:
    names = plan.named(f"_{what}_triton"), plan.named(f"_{what}_cpu")
    writer.line(f'{what} = {names[0]} if backend == "triton" else {names[1]}')


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
