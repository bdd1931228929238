"""The functions of the language.

Enters: the name of a function and its operands, bound to its signature. Leaves: the term, or `BROKEN` and a diagnostic.
"""

from __future__ import annotations

from typing import Any, cast

from attnc.check.report import Report
from attnc.check.sorts import (
    as_int,
    as_real,
    as_real_of,
    as_vec,
    as_vector_of,
    rank,
    wrong_sort,
)
from attnc.check.values import BROKEN, Operand, Slice, Value
from attnc.check.vocabulary import ELEMENTWISE, Place
from attnc.errors import CompilerBug
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.arithmetic import Function, IntOperator, RealOperator
from attnc.ir.signs import is_at_least_0
from attnc.ir.walk import replace_terms, walk
from attnc.source import Span

# Ends of a slice that are looked at one by one: as many sums as there are choices.
MOST_EXTREMES = 4


def apply_function(name: str, args: list[Operand], span: Span, place: Place, report: Report) -> Value:
    """`name(args)`, with as many arguments as the function takes."""
    match name, args:
        case ("sum" | "mean", [a]) | ("min" | "max", [a]):
            return _reduce(name, a, span, place, report)
        case "count", []:
            return ir.Count(span=span) if _can_reduce("count", span, place, report) else BROKEN
        case (("min" | "max"), [_, _, *_]):
            return _extreme(cast("RealOperator", name), args, span, report)
        case "abs", [Operand(ir.Int() as a)]:
            return build.int_abs(a, span=span)
        case _, [a] if name in ELEMENTWISE:
            return _elementwise(cast("Function", name), a, span, report)
        case "clamp", [_, _, _]:
            return _clamp(args, span, report)
        case "floor", [Operand(ir.Int() as a)]:
            return a
        case "floor", [a]:
            real = as_real(a, "what `floor` rounds", report)
            return BROKEN if real is None else build.floor(real, span=span)
        case "ispow2", [a]:
            number = as_int(a, "what `ispow2` tests", report)
            return BROKEN if number is None else build.is_pow2(number, span=span)
        case "dot", [a, b]:
            x, y = (as_vec(side, "each side of `dot`", report) for side in (a, b))
            return BROKEN if x is None or y is None else ir.Dot(x, y, span=span)
        case "sum_d", [a]:
            x = as_vec(a, "what `sum_d` adds up", report)
            return BROKEN if x is None else ir.SumD(x, span=span)
        case "total", [a]:
            return _total(a, span, report)
        case "l2", [a]:
            x = as_vec(a, "what `l2` scales", report)
            return BROKEN if x is None else build.vec_call("l2", x, span=span)
        case "rope", [a, at, base]:
            x = as_vec(a, "what `rope` turns", report)
            position = as_real(at, "the position of `rope`", report)
            theta = as_real(base, "the `theta` of `rope`", report)
            if x is None or position is None or theta is None:
                return BROKEN
            return ir.Rope(x, position, theta, span=span)
        case _:
            raise CompilerBug(f"no function {name!r} of {len(args)} arguments")


def _total(a: Operand, span: Span, report: Report) -> Value:
    """The sum of a slice: what stands in front of its end, less what stands in front of its beginning."""
    part = a.value
    if not isinstance(part, Slice):
        wrong_sort(
            a.span, part, "what `total` adds up", "a slice, as in `total(x[b, h, j + 1 : i + 1])`", report
        )
        return BROKEN
    to_end, to_first = (_in_front(part, end, span) for end in (part.end, part.first))
    nothing = _in_front(part, ir.IntConst(0), span)
    minus: Any = build.vector if part.is_row else build.real
    if part.first == ir.IntConst(0) and is_at_least_0(ir.FromInt(part.end)):
        return cast("Value", to_end)
    is_there = build.compare("<=", part.first, part.end, span=span)
    return cast("Value", build.choose(is_there, minus("-", to_end, to_first, span=span), nothing, span=span))


def _in_front(part: Slice, end: ir.Int, span: Span) -> Any:
    """The sum of all in front of `end`. An extreme of two ends chooses between two sums, each perhaps of one token."""
    zero = ir.RealConst(0.0)
    if end == ir.IntConst(0):
        return ir.Splat(zero) if part.is_row else zero
    extremes = [each for each in walk(end) if isinstance(each, ir.IntOp) and each.op in ("min", "max")]
    if extremes and len(extremes) <= MOST_EXTREMES:
        extreme = extremes[0]

        def with_end(chosen: ir.Int) -> Any:
            instead = replace_terms(end, lambda each: chosen if each == extreme else None)
            return _in_front(part, cast("ir.Int", instead), span)

        is_first = build.compare("<=" if extreme.op == "min" else ">=", extreme.a, extreme.b, span=span)
        return build.choose(is_first, with_end(extreme.a), with_end(extreme.b), span=span)
    kind = ir.VecTotal if part.is_row else ir.Total
    return kind(part.param.name, (*part.index, end), span=span)


def _elementwise(fn: Function, a: Operand, span: Span, report: Report) -> Value:
    match a.value:
        case ir.Vec():
            return build.vec_call(fn, a.value, span=span)
        case ir.Int() | ir.Real():
            return build.call(fn, as_real_of(a), span=span)
        case other:
            wrong_sort(a.span, other, f"what `{fn}` takes", "a real", report)
            return BROKEN


def _extreme(op: RealOperator, args: list[Operand], span: Span, report: Report) -> Value:
    match rank(args, f"what `{op}` takes", report):
        case None:
            return BROKEN
        case "int":
            whole = [cast("ir.Int", a.value) for a in args]
            first = whole[0]
            for nxt in whole[1:]:
                first = build.integer(cast("IntOperator", op), first, nxt, span=span)
            return first
        case "real":
            real = as_real_of(args[0])
            for arg in args[1:]:
                real = build.real(op, real, as_real_of(arg), span=span)
            return real
        case "vec":
            vec = as_vector_of(args[0])
            for arg in args[1:]:
                vec = build.vector(op, vec, as_vector_of(arg), span=span)
            return vec


def _clamp(args: list[Operand], span: Span, report: Report) -> Value:
    a, lo, hi = args
    match rank(args, "what `clamp` takes", report):
        case None:
            return BROKEN
        case "int":
            x, y, z = (cast("ir.Int", arg.value) for arg in args)
            return build.clamp(x, y, z, span=span)
        case "real":
            return build.clamp(as_real_of(a), as_real_of(lo), as_real_of(hi), span=span)
        case "vec":
            return build.clamp(as_vector_of(a), as_vector_of(lo), as_vector_of(hi), span=span)


def _reduce(name: str, a: Operand, span: Span, place: Place, report: Report) -> Value:
    if not _can_reduce(name, span, place, report):
        return BROKEN
    real = as_real(a, f"what `{name}` reduces", report)
    match name:
        case _ if real is None:
            return BROKEN
        case "sum" | "max" | "min" | "mean":
            return ir.Row(name, real, span=span)
        case _:
            raise CompilerBug(f"no reduction {name!r}")


def _can_reduce(name: str, span: Span, place: Place, report: Report) -> bool:
    if place.has_reductions:
        return True
    match name:
        case "min" | "max":
            helps = [f"`{name}(a, b)` of two or more is the {name}imum of numbers, and may stand anywhere"]
        case "sum":
            helps = ["`sum_d(a)` adds up the features of a vector, and may stand anywhere"]
        case _:
            helps = ["move it to `normalize`"]
    report.error(
        "reduction-not-here",
        f"`{name}` over the keys of a row has a meaning in `normalize` alone, and this is {place.title}",
        span,
        helps=helps,
    )
    return False
