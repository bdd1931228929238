"""One case: emitted code against the interpreter.

Enters: a compilation and a case. Leaves: a `Measurement`. Nothing here knows which process it runs in. The CPU path
and the kernels are run by the evaluator's module, without Triton; kernels in Triton's interpreter need a process where
TRITON_INTERPRET was 1 before triton was imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attnc.errors import AttncError
from attnc.evaluate import load_evaluated
from attnc.ir.nodes import Real, Score
from attnc.run.interpreter import interpret
from attnc.run.loader import load_module
from attnc.verify.cases import Case
from attnc.verify.inputs import Inputs, candidates
from attnc.verify.precision import finite_part
from attnc.verify.replay import Results
from attnc.verify.report import Measurement, Quantity
from attnc.verify.rounding import find_limits

if TYPE_CHECKING:
    from attnc.compiler import Compilation

Attend = Callable[..., Any]


def measure(compilation: Compilation, case: Case) -> Measurement:
    """How far emitted code is from the interpreter in this case, and how far it may be."""
    lost, tried = _find_lost(compilation), []
    in_base_2 = any(sweep.is_in_base_2 for sweep in compilation.plan.sweeps)
    for inputs, expected in find_calls(compilation, case):
        limits = find_limits(compilation.attention, inputs, expected, lost, in_base_2)
        share = max(_hides(expected[name], limits[name], case.dtype) for name in limits)
        tried.append((share, inputs, expected, limits))
        if share < 1:
            break
    if not tried:
        return Measurement(case, problem="no values were found that the spec allows here", is_skipped=True)
    return _measure_call(compilation, *min(tried, key=lambda each: each[0])[1:])


def _hides(expected: Tensor, limit: float, dtype: str) -> float:
    """How much rounding may hide: beyond 1 a case shows little, and others are tried.

    It is the largest number that rounding may make of a result, by the largest of the dtype; or by a thousand times
    the result, as at a place where a slope is infinite.
    """
    largest = float(finite_part(expected).abs().max()) if expected.numel() else 0.0
    return max((largest + limit) / torch.finfo(getattr(torch, dtype)).max, limit / (1e3 * (1 + largest)))


def _measure_call(
    compilation: Compilation, inputs: Inputs, expected: Results, limits: dict[str, float]
) -> Measurement:
    try:
        got = run(emitted(compilation, inputs.case), inputs)
    except Exception as problem:
        return Measurement(inputs.case, problem=f"{type(problem).__name__}: {problem}")
    quantities = tuple(_compare(name, got[name], expected[name], limits[name], inputs) for name in got)
    empty = expected["lse"].isneginf()
    return Measurement(inputs.case, quantities, empty_rows=int(empty.sum()))


def _find_lost(compilation: Compilation) -> dict[Real, Real]:
    """The readings whose gradient the plan takes from the log-sum-exp of the score, with their slopes."""
    plan, names = compilation.plan, {param.name for param in compilation.attention.params}
    if plan.before or plan.last.fold.score != Score():
        return {}
    return {load: slope for load, slope in plan.last.lost.items() if load.array in names}


def find_calls(compilation: Compilation, case: Case) -> Iterator[tuple[Inputs, Results]]:
    """Inputs that the interpreter takes, and what it computes from them in float64, the most telling first."""
    empty = None
    for inputs in candidates(compilation, case):
        try:
            expected = reference(compilation, inputs)
        except AttncError:
            continue
        if not all(is_regular(name, x) for name, x in expected.items()):
            continue
        if case.variant == 0 or not expected["lse"].isneginf().all():
            yield inputs, expected
        elif empty is None:  # that no row sees a key is worth a case or two, if there are others
            empty = inputs, expected
    if empty is not None:
        yield empty


def reference(compilation: Compilation, inputs: Inputs) -> Results:
    """What the call means."""

    def meaning(q: Tensor, k: Tensor, v: Tensor, scale: float | None, **arguments: Any) -> Any:
        out, lse = interpret(compilation.attention, q, k, v, arguments, scale, True)
        return out, lse if has_lse(compilation) else lse.detach()

    return run(meaning, inputs, torch.float64)


def emitted(compilation: Compilation, case: Case) -> Attend:
    """The emitted function with the backend, the tiles, the shares and the matrix unit of a case."""
    name = compilation.attention.name
    load = load_module if case.backend == "triton" else load_evaluated
    module = load(name, compilation.module)
    if case.backend != "cpu":
        vars(module)["_choose"] = lambda backend, q: backend
        _set_tiles(module, *case.tile)
        if hasattr(module, "_splits"):
            vars(module)["_splits"] = lambda *sizes: case.splits
        if hasattr(module, "_shares"):
            vars(module)["_shares"] = lambda *sizes: max(1, case.splits)
        if hasattr(module, "_ahead"):
            vars(module)["_ahead"] = lambda q, tiles: 2 if case.unit == "wgmma" else None
            vars(module)["_generation"] = lambda q: 9 if case.unit == "wgmma" else 0

    path = "cpu" if case.backend == "cpu" else "triton"

    def attend(q: Tensor, k: Tensor, v: Tensor, scale: float | None, **arguments: Any) -> Any:
        function = getattr(module, name)
        if not has_lse(compilation):
            return function(q, k, v, **arguments, scale=scale, backend=path), None
        return function(q, k, v, **arguments, scale=scale, return_lse=True, backend=path)

    return attend


def _set_tiles(module: ModuleType, block_q: int, block_k: int) -> None:
    """Queries and keys of a tile; where chunks have kernels, their tokens, and features and values of a block."""
    for kernels in getattr(module, "TILES", {}).values():
        for kernel, widths in kernels.items():
            tile = (block_k, block_q) if kernel == "backward_keys" else (block_q, block_k)
            kernels[kernel] = dict.fromkeys(widths, (*tile, 4, 1))
    for kernels in getattr(module, "CHUNKS", {}).values():
        for kernel, widths in kernels.items():
            kernels[kernel] = dict.fromkeys(widths, (block_q, block_k, 16, 4, 1))


def has_lse(compilation: Compilation) -> bool:
    """Does the emitted function return the log-sum-exp of its rows?"""
    return compilation.facts.weights.has_lse


def run(attend: Attend, inputs: Inputs, dtype: torch.dtype | None = None) -> Results:
    """Output, log-sum-exp and all gradients of a call, computed in `dtype` or as the inputs are, as doubles."""
    tensors, arguments = inputs.leaves(dtype)
    out, lse = attend(*tensors.values(), inputs.case.scale, **arguments)
    floats = {**tensors, **{name: x for name, x in arguments.items() if name in inputs.floats}}
    results = (
        {"out": (out, inputs.dout), "lse": (lse, inputs.dlse)}
        if lse is not None
        else {"out": (out, inputs.dout)}
    )
    if dtype is None:
        _check_kinds(inputs, out, lse)
    backward = [(x, g.to(x.dtype)) for x, g in results.values() if x.requires_grad]
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
        [x for x, _ in backward], list(floats.values()), [g for _, g in backward], allow_unused=True
    )
    found = {name: x.detach().double() for name, (x, _) in results.items()}
    for (name, x), g in zip(floats.items(), gradients, strict=True):
        if g is not None and (g.dtype, g.shape) != (x.dtype, x.shape):
            raise TypeError(f"the gradient of {name} is a {g.dtype} of shape {list(g.shape)}")
        found[name] = torch.zeros(x.shape, dtype=torch.float64) if g is None else g.double()
    return found


def _check_kinds(inputs: Inputs, out: Tensor, lse: Tensor | None) -> None:
    for name, x, like in (("output", out, inputs.dout), ("lse", lse, inputs.dlse)):
        if x is not None and (x.dtype, x.shape) != (like.dtype, like.shape):
            raise TypeError(f"the {name} is a {x.dtype} of shape {list(x.shape)}")


def _compare(name: str, got: Tensor, expected: Tensor, limit: float, inputs: Inputs) -> Quantity:
    called = f"d{name}" if name in ("q", "k", "v") else f"d_{name}" if name in inputs.floats else name
    if not got.numel():
        return Quantity(called, 0.0, limit)
    if not torch.equal(got.isneginf(), expected.isneginf()) or not is_regular(name, got):
        return Quantity(called, inf, limit)
    return Quantity(called, float((finite_part(got) - finite_part(expected)).abs().max()), limit)


def is_regular(name: str, x: Tensor) -> bool:
    """Is every element a number? Only the log-sum-exp of an empty row may be -inf."""
    return bool((x.isfinite() | (x.isneginf() & (name == "lse"))).all())
