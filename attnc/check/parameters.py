"""Parameters of a call.

Enters: what stands between the parentheses of an attention. Leaves: the parameters of the IR, and an entry for each
name.
"""

from __future__ import annotations

from attnc.check.expressions import Elaborator
from attnc.check.names import Entry, Scope
from attnc.check.sorts import as_int
from attnc.check.values import Array, Slice, Value, kind, quote
from attnc.check.vocabulary import PLACES, Place
from attnc.errors import CompilerBug, Label
from attnc.ir import nodes as ir
from attnc.ir.walk import walk
from attnc.source import Span
from attnc.syntax import tree


def declare_parameters(
    params: tuple[tree.Param, ...], scope: Scope, elaborator: Elaborator
) -> list[tree.Param]:
    """Give every name an entry, so that a size may use any parameter; the parameters whose names are fine."""
    kept = []
    for param in params:
        value = array(param) if param.sizes else scalar(param, elaborator.span(param.name))
        if scope.declare(param.name.id, Entry("parameter", param.name.span, value), elaborator.report):
            kept.append(param)
    return kept


def array(param: tree.Param) -> Value:
    """The array whose sizes are not checked yet. No size may read one, so they are not missed."""
    return Array(ir.Param(param.name.id, param.sort, sizes=tuple(ir.IntConst(1) for _ in param.sizes or ())))


def scalar(param: tree.Param, span: Span) -> Value:
    """The term that reads a scalar parameter."""
    match param.sort:
        case "int":
            return ir.IntParam(param.name.id, span=span)
        case "float":
            return ir.RealParam(param.name.id, span=span)
        case "bool":
            return ir.BoolParam(param.name.id, span=span)
        case _:
            raise CompilerBug(f"unknown sort of parameter: {param}")


def check_parameters(kept: list[tree.Param], scope: Scope, elaborator: Elaborator) -> tuple[ir.Param, ...]:
    """The parameters of the IR, with their sizes and defaults."""
    found = []
    for param in kept:
        built = _check(param, scope, elaborator)
        found.append(built)
        if built.sizes:
            scope.entries[param.name.id].value = Array(built)
    return tuple(found)


def _check(param: tree.Param, scope: Scope, elaborator: Elaborator) -> ir.Param:
    name, span, report = param.name.id, elaborator.span(param.name), elaborator.report
    if param.sizes is None:
        if param.sorted:
            report.error(
                "sorted-scalar", f"`{name}` is one number, and `sorted` speaks of an array", span,
                helps=[f"give it sizes, as in `{name}: sorted {param.sort}[B, N]`"],
            )  # fmt: skip
        default = None if param.default is None else find_default(param, scope, elaborator)
        return ir.Param(name, param.sort, const=param.const, default=default, span=span)
    if param.const:
        report.error(
            "const-array", f"`{name}` is an array, and only a number can be `const`", span,
            helps=["drop `const`: arrays are read when the kernel runs"],
        )  # fmt: skip
    if param.sorted and param.sort == "bool":
        report.error("sorted-scalar", f"`{name}` is an array of bool, and bools have no order", span)
    if param.default is not None:
        at = elaborator.span(param.default)
        report.error(
            "array-default", f"`{name}` is an array, and arrays have no default", at,
            helps=["an array is given in every call: pass zeros, or write a second attention without it"],
        )  # fmt: skip
    sizes = check_sizes(param, scope, elaborator)
    return ir.Param(name, param.sort, sorted=param.sorted, sizes=sizes or (), span=span)


# ---- sizes -----------------------------------------------------------------------------------------


def check_sizes(param: tree.Param, scope: Scope, elaborator: Elaborator) -> tuple[ir.Int, ...] | None:
    """The sizes of an array."""
    if not param.sizes:
        elaborator.report.error(
            "wrong-size", f"`{param.name.id}` is an array of no axes", elaborator.span(param.name),
            helps=[f"give it sizes, as in `{param.sort}[H]`, or drop the brackets"],
        )  # fmt: skip
    found = [check_size(size, PLACES["size"], scope, elaborator) for size in param.sizes or ()]
    kept = tuple(size for size in found if size is not None)
    return kept if len(kept) == len(found) else None


def check_size(e: tree.Expr, place: Place, scope: Scope, elaborator: Elaborator) -> ir.Int | None:
    """A size: an integer of sizes, parameters and arithmetic on them."""
    report, span, what = elaborator.report, elaborator.span(e), place.title
    operand = elaborator.operand(e, scope, place)
    if isinstance(operand.value, ir.Real):
        report.error(
            "wrong-size",
            f"{what} must be an integer, and {quote(span)} is a real",
            span,
            helps=["`//` divides integers"],
        )
        return None
    size = as_int(operand, what, report)
    if size is None:
        return None
    for node in walk(size):
        if not isinstance(node, ir.IntConst | ir.Size | ir.IntParam | ir.IntOp | ir.IntAbs):
            report.error(
                "wrong-size",
                f"{what} is made of sizes, int parameters and integers, and {quote(span)} is more than that",
                span,
            )
            return None
    if isinstance(size, ir.IntConst) and size.value < 1:
        report.error("wrong-size", f"{what} must be at least 1, not {size.value}", span)
        return None
    return size


# ---- defaults --------------------------------------------------------------------------------------


def find_default(param: tree.Param, scope: Scope, elaborator: Elaborator) -> int | float | bool | None:
    """The default of a scalar, as a Python value."""
    if param.default is None:
        return None
    report, span = elaborator.report, elaborator.span(param.default)
    value = elaborator.value(param.default, scope, PLACES["default"])
    match param.sort, value:
        case "int", ir.IntConst(whole):
            return whole
        case "float", ir.IntConst(whole):
            return float(whole)
        case "float", ir.RealConst(real):
            return real
        case "bool", ir.Truth(truth):
            return truth
        case _, ir.IntConst() | ir.RealConst() | ir.Truth() | Array() | Slice():
            report.error(
                "wrong-default",
                f"`{param.name.id}` is of type {param.sort}, and its default is {kind(value)}",
                span,
                related=[Label(param.name.span, f"of type {param.sort}")] if param.name.span else [],
                helps=_fitting(param, value),
            )
        case _, ir.Node():
            report.error("not-constant", "this has no finite value", span)
    return None


def _fitting(param: tree.Param, value: Value) -> list[str]:
    match param.sort, value:
        case "int", ir.RealConst(real):
            whole = [f"write `{int(real)}`"] if real == int(real) else []
            return [
                *whole,
                f"or declare `{param.name.id}: float`" if whole else f"declare `{param.name.id}: float`",
            ]
        case "bool", (ir.IntConst() | ir.RealConst()):
            return ["a bool is `true` or `false`"]
        case _:
            return []
