"""A launch: the call of a Triton kernel over a grid.

Enters: a kernel, and options. Leaves: an expression. What a kernel is given stands in the order of its signature, since
its parameters say what they are; constants come by name.
"""

from __future__ import annotations

from attnc.kernel.arguments import Argument, arguments_of
from attnc.kernel.build import Namespace, unpacked
from attnc.kernel.expressions import Call, Expr, Lit, Var
from attnc.kernel.nodes import Function

triton = Namespace("triton")
Option = tuple[str, Expr]
FUSION: Option = ("enable_fp_fusion", Lit(True))


def call_kernel(kernel: Function, grid: Expr, *options: Option) -> Expr:
    """The launch, with the numbers of the spec that it is compiled for before the options."""
    arguments = arguments_of(kernel)
    named = [(each.name, Var(each.of)) for each in arguments if each.kind == "number" and each.is_constant]
    return Call(Var(kernel.name)[grid], tuple(_given(arguments)), (*named, *options))


def padded_widths(kernel: Function) -> list[Option]:
    """Widths that a tile has in one, as the power of two that holds them."""
    widths = (each for each in arguments_of(kernel) if each.kind == "padded")
    return [(each.name, triton.next_power_of_2(Var(each.of))) for each in widths]


def _given(arguments: list[Argument]) -> list[Expr]:
    """What is no constant, in order."""
    taken: dict[str, list[int]] = {}
    for each in arguments:
        if each.kind == "stride":
            taken.setdefault(each.of, []).append(each.axis)
    given: list[Expr] = []
    for each in arguments:
        if each.kind == "stride":
            given += _stride(each, taken[each.of])
        elif not each.is_constant:
            given.append(Var(each.of))
    return given


def _stride(stride: Argument, taken: list[int]) -> list[Expr]:
    """A stride; of a tensor whose first strides are taken, all of them with the first."""
    of = Var(stride.of)
    if taken != list(range(len(taken))):
        return [of.call("stride", stride.axis)]
    if stride.axis:
        return []
    strides = of.call("stride")
    return [unpacked(strides[: len(taken)] if len(taken) < stride.rank else strides)]
