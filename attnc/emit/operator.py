"""The operator that torch sees: forward, its shapes without data, and its gradient.

Enters: the kernels of a plan. Leaves: two operators with fake implementations and autograd, the form that works in
eager mode, under `torch.compile`, in `opcheck` and in `torch.export`. Their namespace is the module's own name, so that
copies of a module do not meet.
"""

from __future__ import annotations

from attnc.emit.launch import arrays_with_gradient
from attnc.emit.support import text_of, whole
from attnc.emit.writer import Writer
from attnc.errors import AttncError, Diagnostic
from attnc.ir.nodes import Param
from attnc.kernel.build import function
from attnc.kernel.nodes import Do, Lit, Tuple, Var
from attnc.lower.collect import needs_of
from attnc.lower.cpu import backward_params, floats_of, scalars_of, tensors_of, vectors_of
from attnc.lower.entries import entries_of
from attnc.lower.kernels import Kernels
from attnc.lower.names import variable
from attnc.lower.schedule import SweepKernels
from attnc.lower.sweep import Sweep, said_results
from attnc.options import Options

MOST_ARGUMENTS = 64  # of an operator, to torch


def write_operators(writer: Writer, kernels: Kernels, options: Options) -> None:
    """The library of a module, and the operators of every sweep; the first checks what only data say."""
    ordered = [p.name for p in kernels.plan.spec.params if p.sorted and options.check_sorted]
    for text in [whole("library"), *([text_of("checks", "_check_sorted")] if ordered else [])]:
        writer.lines(text)
        _gap(writer)
    for number, each in enumerate(kernels.sweeps):
        _write_operator(writer, each, [] if number else ordered)


def _write_operator(writer: Writer, kernels: SweepKernels, ordered: list[str]) -> None:
    """Forward and backward as operators of torch."""
    sweep = kernels.sweep
    tensors, scalars = tensors_of(sweep), scalars_of(sweep)
    results = [*vectors_of(sweep), *map(variable, arrays_with_gradient(sweep))]
    tail, typed_tail = _tail(kernels)
    name = operator_of(sweep)
    _refuse_too_many(sweep, "forward", len(tensors) + len(tail))
    writer.line("@_operator")
    outputs = sweep.results
    kinds = f"tuple[{', '.join(['Tensor'] * len(outputs))}]" if outputs[1:] else "Tensor"
    writer.items(f"def {name}(", [*(f"{n}: Tensor" for n in tensors), *typed_tail], f") -> {kinds}:")
    with writer.indent():
        writer.line(f'"""{_said(sweep)}."""')
        for array in ordered:
            writer.line(f'_check_sorted("{array}", {variable(array)})')
        _unpack(writer, sweep)
        forward = _choice(writer, kernels, "forward")
        writer.items(f"return {forward}(", [*tensors, *scalars], ")")
    _gap(writer)
    writer.line(f"@torch.library.register_fake({name}, lib=_LIBRARY)")
    writer.items("def _(", [*tensors, *tail], "):")
    with writer.indent():
        writer.line("wide = torch.promote_types(q.dtype, torch.float32)")
        dtypes = ["torch.int32" if dtype == "int32" else "wide" for _, dtype in sweep.fold.left]
        rows = [f"q.new_empty(q.shape[:3], dtype={dtype})" for dtype in dtypes]
        if sweep.weighs_values:
            dtype = "" if sweep.fold.divides else ", dtype=wide"
            writer.line(f"out = q.new_empty(*q.shape[:3], v.shape[3]{dtype})")
            rows.insert(0, "out")
        writer.items("return ", rows, "")
    _gap(writer)
    _write_flops(writer, sweep, name, 1, 1)
    entries = list(entries_of(sweep))
    if not sweep.has_gradient:
        _write_derivative(writer, name, "_refuse", "_keep_nothing", entries)
        return

    gradients = [f"d{each}" for each in outputs]
    needs = needs_of(sweep)
    backward = [f"{n}: Tensor" for n in [*gradients, *tensors, *sweep.saved]]
    backward += [*(f"{n}: bool" for n in needs), *typed_tail]
    _refuse_too_many(sweep, "backward", len(backward))
    writer.line("@_operator")
    kinds = ", ".join(["Tensor"] * len(results))
    writer.items(f"def {name}_backward(", backward, f") -> tuple[{kinds}]:")
    with writer.indent():
        writer.line('"""The gradient of every float tensor, in order."""')
        _unpack(writer, sweep)
        function = _choice(writer, kernels, "backward")
        writer.items(f"return {function}(", backward_params(sweep), ")")
    _gap(writer)
    writer.line(f"@torch.library.register_fake({name}_backward, lib=_LIBRARY)")
    writer.items("def _(", [*gradients, *tensors, *sweep.saved, *needs, *tail], "):")
    with writer.indent():
        shapes = [f"{name}.new_empty({name}.shape)" for name in results]
        writer.items("return ", shapes, "")
    _gap(writer)
    # The gradient of an array without batch entries is a sum over them, and each sample has its own.
    has_sums = not set(results) <= set(entries)
    of_backward = [] if has_sums or not entries else [*gradients, *entries, *sweep.saved]
    _write_derivative(writer, f"{name}_backward", "_refuse", "_keep_nothing", of_backward)
    _write_flops(writer, sweep, f"{name}_backward", 3, 2)
    save, turn = _write_autograd(writer, sweep, tensors, needs, results, len(tail))
    _write_derivative(writer, name, turn, save, entries)


def _refuse_too_many(sweep: Sweep, which: str, count: int) -> None:
    if count <= MOST_ARGUMENTS:
        return
    what = f"its {which} pass takes {count} arguments, and an operator of torch {MOST_ARGUMENTS} at most"
    raise AttncError(
        Diagnostic(
            "no-kernel",
            f"`{sweep.spec.name}` has no kernel yet: {what}",
            helps=(
                "keep arrays of the same sizes in one, with one axis more: `bias[2, h]` for `bias_2[h]`",
                '`backend="reference"` runs it on the interpreter',
            ),
        )
    )


def _tail(kernels: SweepKernels) -> tuple[list[str], list[str]]:
    """What an operator takes behind its tensors, and the same with types; floats are last."""
    sweep = kernels.sweep
    whole = {variable(p.name): p.sort for p in _scalars(sweep) if p.sort != "float"}
    typed = whole | ({"backend": "str"} if kernels.triton else {})
    typed |= {"floats": "list[float]", "changing": "Tensor | None"}
    return list(typed), [f"{name}: {sort}" for name, sort in typed.items()]


def _write_flops(writer: Writer, sweep: Sweep, name: str, of_score: int, of_values: int) -> None:
    """What a pair costs: so many products of the vectors of the score, and of its value."""
    times = [f'"{pair.query}": {of_score}' for pair in sweep.dots]
    times += [f'"v": {of_values}'] if sweep.weighs_values else []
    writer.statement(Do(function("_count_flops")(Var(name), Var(f"{{{', '.join(times)}}}"))))
    _gap(writer)


def _unpack(writer: Writer, sweep: Sweep) -> None:
    names = floats_of(sweep)
    target = ", ".join(names) if names[1:] else f"({names[0]},)"
    writer.line(f"{target} = floats if changing is None else changing.tolist()")


def _write_derivative(writer: Writer, name: str, differentiate: str, save: str, entries: list[str]) -> None:
    call = function("_derive")(*map(Var, (name, differentiate, save)), Tuple(tuple(map(Lit, entries))))
    writer.statement(Do(call))
    _gap(writer)


def _write_autograd(
    writer: Writer, sweep: Sweep, tensors: list[str], needs: list[str], results: list[str], others: int
) -> tuple[str, str]:
    """The functions that keep what the backward pass reads, and that make it; their names."""
    name, save, turn = operator_of(sweep), sweep.named("_save"), sweep.named("_differentiate")
    writer.line(f"def {save}(ctx, inputs, output):")
    with writer.indent():
        also = ", the output and the log-sum-exp" if sweep.weighs_values else " and the log-sum-exp"
        also = also if sweep.saved else ""
        writer.line(f'"""Keep what the backward pass reads: all inputs{also}."""')
        saved = ", *output" if sweep.saved[1:] else ", output" if sweep.saved else ""
        writer.line(f"ctx.save_for_backward(*inputs[:{len(tensors)}]{saved})")
        writer.line(f"ctx.arguments = inputs[{len(tensors)}:]")
    _gap(writer)
    gradients = [f"d{name}" for name in sweep.results]
    writer.line(f"def {turn}(ctx, {', '.join(gradients)}):")
    with writer.indent():
        writer.line(f'"""The gradient of every input of `{name}`."""')
        arrays = dict.fromkeys(gradient.load.array for gradient in sweep.home("pair"))
        flags = [f"ctx.needs_input_grad[{tensors.index(variable(array))}]" for array in arrays]
        call = [*gradients, "*ctx.saved_tensors", *flags, "*ctx.arguments"]
        names = [f"d_{n}" if n not in ("q", "k", "v") else f"d{n}" for n in results]
        writer.items(f"{', '.join(names)} = {name}_backward(", call, ")")
        given = [names[results.index(n)] if n in results else "None" for n in tensors]
        given += ["None"] * others
        writer.items("return ", given, "")
    _gap(writer)
    return save, turn


def operator_of(sweep: Sweep) -> str:
    """The name of a pass as an operator."""
    return "_attention" if sweep.weighs_values else sweep.named("_rows")


def _choice(writer: Writer, kernels: SweepKernels, what: str) -> str:
    """The name of what computes it."""
    on_gpu, on_cpu = (kernels.sweep.named(f"_{what}_{path}") for path in ("triton", "cpu"))
    if not kernels.triton:
        return on_cpu
    writer.line(f'{what} = {on_gpu} if backend == "triton" else {on_cpu}')
    return what


def _said(sweep: Sweep) -> str:
    if not sweep.weighs_values:
        return f"Pass {sweep.number}, which weighs no values: {said_results(sweep)}"
    return "Output and log-sum-exp" if sweep.fold.divides else "Weighted values, and sums of each row"


def _scalars(sweep: Sweep) -> list[Param]:
    return [p for p in sweep.attention.params if not p.sizes]


def _gap(writer: Writer) -> None:
    writer.line()
    writer.line()
