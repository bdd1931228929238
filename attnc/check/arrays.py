"""Reads of arrays: indices, and membership in a row.

Enters: an array and its index, each item an operand or the `:`. Leaves: a load, or a membership test, with one index
per axis; or `BROKEN` and a diagnostic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnc.check.report import Report
from attnc.check.sorts import as_int, count
from attnc.check.values import BROKEN, Array, Broken, Operand, Value, quote
from attnc.errors import CompilerBug, Label
from attnc.ir import nodes as ir
from attnc.source import Span


@dataclass(frozen=True, slots=True)
class Whole:
    """The `:` of an index."""

    span: Span


Items = Sequence[Operand | Whole]


def load(array: Array, items: Items, span: Span, report: Report) -> Value:
    """`array[items]`."""
    param = array.param
    if not check_index_count(param, items, span, report):
        return BROKEN
    index = indices(param, items, report)
    if index is None:
        return BROKEN
    if isinstance(items[-1], Whole):
        if param.sort != "float":
            report.error(
                "no-such-vector",
                f"`:` takes a vector, and `{param.name}` is an array of {param.sort}",
                items[-1].span,
                related=_declared(param),
                helps=[f"`x in {param.name}[..., :]` asks whether a row of an int array holds `x`"]
                if param.sort == "int"
                else [],
            )
            return BROKEN
        return ir.VecLoad(param.name, index, span=span)
    match param.sort:
        case "int":
            return ir.IntLoad(param.name, index, span=span)
        case "float":
            return ir.RealLoad(param.name, index, span=span)
        case "bool":
            return ir.BoolLoad(param.name, index, span=span)
        case _:
            raise CompilerBug(f"unknown sort of array: {param}")


def member(item: Operand, array: Array, items: Items, span: Span, table: Span, report: Report) -> Value:
    """`item in array[items]`."""
    param = array.param
    wanted = as_int(item, "what `in` looks for", report)
    if param.sort != "int":
        report.error(
            "not-a-table",
            f"`in` looks into an int array, and `{param.name}` is an array of {param.sort}",
            table,
            related=_declared(param),
        )
        return BROKEN
    if not check_index_count(param, items, table, report):
        return BROKEN
    if not isinstance(items[-1], Whole):
        report.error(
            "not-a-table",
            f"`in` looks into a row, and {quote(table)} is one element",
            table,
            helps=["end the index with `:`, or compare with `==`"],
        )
        return BROKEN
    index = indices(param, items, report)
    if wanted is None or index is None:
        return BROKEN
    return ir.Member(wanted, param.name, index, span=span)


def check_index_count(param: ir.Param, items: Items, span: Span, report: Report) -> bool:
    """One index for every axis?"""
    if len(items) == len(param.sizes):
        return True
    report.error(
        "index-count",
        f"`{param.name}` has {count(len(param.sizes), 'axis', 'axes')} and is indexed by {len(items)}",
        span,
        related=_declared(param),
    )
    return False


def indices(param: ir.Param, items: Items, report: Report) -> tuple[ir.Int, ...] | None:
    """Every item but a final `:`, as integers inside the array as far as that is known."""
    found: list[ir.Int] = []
    is_fine = True
    for item, size in zip(items, param.sizes, strict=True):
        if isinstance(item, Whole):
            continue
        index = as_int(item, f"an index of `{param.name}`", report)
        if index is None or not is_inside(param, index, size, item.span, report):
            is_fine = False
        else:
            found.append(index)
    return tuple(found) if is_fine else None


def is_inside(param: ir.Param, index: ir.Int, size: ir.Int, span: Span, report: Report) -> bool:
    """False, and a diagnostic, where a constant index is outside for sure."""
    match index, size:
        case ir.IntConst(at), _ if at < 0:
            message, help_ = (
                f"an index counts from 0, and {quote(span)} is negative",
                "to count from the end, subtract from the size",
            )
        case ir.IntConst(at), ir.IntConst(extent) if at >= extent:
            message = f"index {at} is outside an axis of {extent} of `{param.name}`"
            help_ = f"the last one is {extent - 1}"
        case _:
            return True
    report.error("index-out-of-range", message, span, related=_declared(param), helps=[help_])
    return False


def find_array(name: str, value: Value, span: Span, report: Report) -> Array | None:
    """The array that `name[...]` reads; None, and a diagnostic, where the name is something else."""
    match value:
        case Array():
            return value
        case Broken():
            return None
        case _:
            report.error(
                "not-an-array",
                f"`{name}` is not an array and takes no index",
                span,
                helps=["an array is declared with its sizes, as in `bias: float[H, N, M]`"],
            )
            return None


def _declared(param: ir.Param) -> list[Label]:
    return [Label(param.span, "declared here")] if param.span else []
