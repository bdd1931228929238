"""Reads of arrays: indices, and membership in a row.

Enters: an array and its index, each item an operand or the `:`. Leaves: a load, or a membership test, with one index
per axis; or `BROKEN` and a diagnostic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attnc.check.report import Report
from attnc.check.sorts import as_int, count
from attnc.check.values import BROKEN, Array, Broken, Operand, Slice, Value, quote
from attnc.errors import CompilerBug, Label
from attnc.ir import nodes as ir
from attnc.source import Span


@dataclass(frozen=True, slots=True)
class Whole:
    """The `:` of an index."""

    span: Span


@dataclass(frozen=True, slots=True)
class Between:
    """The `first : end` of an index."""

    first: Operand
    end: Operand
    span: Span


Items = Sequence[Operand | Whole | Between]


def load(array: Array, items: Items, span: Span, report: Report) -> Value:
    """`array[items]`."""
    param = array.param
    if not check_index_count(param, items, span, report):
        return BROKEN
    if any(isinstance(item, Between) for item in items):
        return _slice(param, items, report)
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


def _slice(param: ir.Param, items: Items, report: Report) -> Value:
    """`array[index, first : end]`, and perhaps a `:` behind it."""
    is_row = isinstance(items[-1], Whole)
    *before, last = items[:-1] if is_row else items
    for item in before:
        if isinstance(item, Between):
            report.error(
                "misplaced-slice",
                f"a slice stands last, or in front of the `:`, and {quote(item.span)} does not",
                item.span,
                related=_declared(param),
            )
            return BROKEN
    if not isinstance(last, Between):
        raise CompilerBug("no slice among these items")
    if param.sort != "float":
        report.error(
            "wrong-sort",
            f"a slice takes floats, and `{param.name}` is an array of {param.sort}",
            last.span,
            related=_declared(param),
        )
        return BROKEN
    index = indices(param, before, report)
    first, end = (
        as_int(each, f"an end of a slice of `{param.name}`", report) for each in (last.first, last.end)
    )
    if index is None or first is None or end is None:
        return BROKEN
    return Slice(param, index, first, end, is_row)


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
    for item, size in zip(items, param.sizes, strict=False):
        if isinstance(item, Whole | Between):
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
