"""Sorts: which may be used as which, and what the operators do with them.

Enters: operands. Leaves: terms built from them, or `BROKEN` and a diagnostic. An integer becomes a real where one is
needed and a real becomes a vector; a real never becomes an integer, and a bool never becomes anything.
"""

from __future__ import annotations

from typing import Literal

from attnc.check.report import Report
from attnc.check.values import BROKEN, Array, Broken, Operand, Slice, Value, kind, quote
from attnc.errors import CompilerBug
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.arithmetic import Comparison
from attnc.source import Span

Arithmetic = Literal["+", "-", "*", "/", "//", "%", "**"]
Rank = Literal["int", "real", "vec"]
RANKS: tuple[Rank, ...] = ("int", "real", "vec")


# ---- one operand -----------------------------------------------------------------------------------


def as_int(a: Operand, what: str, report: Report) -> ir.Int | None:
    """The operand as an integer; `what` says who needs it: "an array index"."""
    match a.value:
        case ir.Int():
            return a.value
        case ir.Real():
            divides = isinstance(a.value, ir.RealOp) and a.value.op == "/" and "/" in a.span.text
            report.error(
                "real-as-int",
                f"{what} must be an integer, and {quote(a.span)} is a real",
                a.span,
                helps=[f"`//` divides integers, and `floor({_short(a.span)})` rounds any real down"]
                if divides
                else [f"write `floor({_short(a.span)})` to round down"],
            )
            return None
        case other:
            wrong_sort(a.span, other, what, "an integer", report)
            return None


def as_real(a: Operand, what: str, report: Report) -> ir.Real | None:
    """The operand as a real."""
    match a.value:
        case ir.Real():
            return a.value
        case ir.Int():
            return build.from_int(a.value, span=a.span)
        case other:
            wrong_sort(a.span, other, what, "a real", report)
            return None


def as_bool(a: Operand, what: str, report: Report) -> ir.Bool | None:
    """The operand as a bool."""
    match a.value:
        case ir.Bool():
            return a.value
        case other:
            wrong_sort(a.span, other, what, "a bool", report)
            return None


def as_vec(a: Operand, what: str, report: Report) -> ir.Vec | None:
    """The operand as a vector. A number is not taken for one: a vector of one number is seldom meant."""
    match a.value:
        case ir.Vec() if has_width(a.value):
            return a.value
        case ir.Vec():
            report.error("wrong-sort", f"{what} must be a vector, and {quote(a.span)} is one number", a.span)
            return None
        case other:
            wrong_sort(a.span, other, what, "a vector", report)
            return None


def has_width(a: ir.Vec) -> bool:
    """Does a term know how many features it has? `1.0 if true else q` does not: it is 1.0."""
    match a:
        case ir.VecInput() | ir.VecLoad() | ir.VecTotal():
            return True
        case ir.VecCall(_, x) | ir.Rope(x):
            return has_width(x)
        case ir.VecOp(_, x, y) | ir.VecIf(_, x, y):
            return has_width(x) or has_width(y)
        case _:
            return False


def wrong_sort(span: Span, got: Value, what: str, needed: str, report: Report) -> None:
    """Say that `what` needs another sort than it got; silent where the operand is broken already."""
    text = _short(span)
    match got, needed:
        case Broken(), _:
            return
        case Array(param), _:
            array_without_index(param, span, report)
            return
        case Slice(), _:
            code, helps = "wrong-sort", [f"`total({text})` adds up its elements"]
        case ir.Bool(), ("an integer" | "a real" | "a number"):
            code, helps = "bool-and-number", [f"write `1 if {text} else 0` to count a bool as a number"]
        case ((ir.Int() | ir.Real()), "a bool"):
            code, helps = "bool-and-number", [f"compare it, as in `{text} != 0`"]
        case ir.Vec(), "a real":
            code = "wrong-sort"
            helps = ["`dot(a, b)` of two vectors and `sum_d(a)` over the features of one are reals"]
        case _:
            code, helps = "wrong-sort", []
    report.error(code, f"{what} must be {needed}, and {quote(span)} is {kind(got)}", span, helps=helps)


def array_without_index(param: ir.Param, span: Span, report: Report) -> None:
    """An array stands where one of its elements is needed."""
    index = ", ".join(_axis_hint(size) for size in param.sizes)
    report.error(
        "array-without-index",
        f"`{param.name}` is an array of {count(len(param.sizes), 'axis', 'axes')} and is used without an index",
        span,
        helps=[f"index it, as in `{param.name}[{index}]`"],
    )


def count(number: int, one: str, many: str) -> str:
    """`1 axis`, `2 axes`."""
    return f"{number} {one if number == 1 else many}"


def _axis_hint(size: ir.Int) -> str:
    match size:
        case ir.Size(name):
            return {"B": "b", "H": "h", "HKV": "h_kv", "N": "i", "M": "j"}.get(name, ":")
        case _:
            return "..."


def _short(span: Span) -> str:
    text = " ".join(span.text.split())
    return text if 0 < len(text) <= 40 else "..."


# ---- several operands ------------------------------------------------------------------------------


def rank(operands: list[Operand], what: str, report: Report) -> Rank | None:
    """The largest sort among numbers and vectors; None, and diagnostics, where one is neither."""
    highest = 0
    is_fine = True
    for a in operands:
        match a.value:
            case ir.Int():
                pass
            case ir.Real():
                highest = max(highest, 1)
            case ir.Vec():
                highest = 2
            case other:
                wrong_sort(a.span, other, what, "a number", report)
                is_fine = False
    return RANKS[highest] if is_fine else None


def as_vector_of(a: Operand) -> ir.Vec:
    """A vector as it is, a number as a vector of that number."""
    match a.value:
        case ir.Vec():
            return a.value
        case ir.Real():
            return ir.Splat(a.value, span=a.span)
        case ir.Int():
            return ir.Splat(build.from_int(a.value, span=a.span), span=a.span)
        case _:
            raise CompilerBug(f"not a number or a vector: {a.value!r}")


def as_real_of(a: Operand) -> ir.Real:
    """A number as a real."""
    match a.value:
        case ir.Real():
            return a.value
        case ir.Int():
            return build.from_int(a.value, span=a.span)
        case _:
            raise CompilerBug(f"not a number: {a.value!r}")


def arithmetic(op: Arithmetic, a: Operand, b: Operand, span: Span, report: Report) -> Value:
    """`a op b`."""
    if op in ("//", "%"):
        left, right = (as_int(x, f"each side of `{op}`", report) for x in (a, b))
        if left is None or right is None or is_zero_divisor(right, b.span, report):
            return BROKEN
        return build.integer(op, left, right, span=span)
    match rank([a, b], f"each side of `{op}`", report), op:
        case None, _:
            return BROKEN
        case "vec", ("+" | "-" | "*" | "/" | "**"):
            x, y = as_vector_of(a), as_vector_of(b)
            if op == "/" and is_zero_divisor(y, b.span, report):
                return BROKEN
            return build.vector(op, x, y, span=span)
        case "int", ("+" | "-" | "*"):
            assert isinstance(a.value, ir.Int) and isinstance(b.value, ir.Int)
            return build.integer(op, a.value, b.value, span=span)
        case _, ("+" | "-" | "*" | "/" | "**"):
            if op == "/" and is_zero_divisor(as_real_of(b), b.span, report):
                return BROKEN
            return build.real(op, as_real_of(a), as_real_of(b), span=span)
        case _:
            raise CompilerBug(f"unknown operator {op!r}")


def negative(a: Operand, span: Span, report: Report) -> Value:
    """`-a`."""
    if rank([a], "what follows `-`", report) is None:
        return BROKEN
    match a.value:
        case ir.Int() | ir.Real() | ir.Vec():
            return build.negative(a.value, span=span)
        case _:
            raise CompilerBug(f"no negative of {a.value!r}")


def compare(op: Comparison, a: Operand, b: Operand, span: Span, report: Report) -> Value:
    """`a op b`; bools can be equal or not, and have no order."""
    match a.value, b.value:
        case (Broken(), _) | (_, Broken()):
            return BROKEN
        case ir.Int(), ir.Int():
            return build.compare(op, a.value, b.value, span=span)
        case ((ir.Int() | ir.Real()), (ir.Int() | ir.Real())):
            return build.compare(op, as_real_of(a), as_real_of(b), span=span)
        case ir.Bool(), ir.Bool() if op in ("==", "!="):
            same, other = b.value, build.negate(b.value, span=span)
            if op == "!=":
                same, other = other, same
            return build.choose(a.value, same, other, span=span)
        case ir.Bool(), ir.Bool():
            report.error(
                "bool-and-number",
                f"bools have no order, and `{op}` compares two of them",
                span,
                helps=["join bools with `and`, `or` and `not`; `==` and `!=` compare them"],
            )
            return BROKEN
        case (ir.Bool(), (ir.Int() | ir.Real())) | ((ir.Int() | ir.Real()), ir.Bool()):
            report.error(
                "bool-and-number",
                f"`{op}` compares {kind(a.value)} with {kind(b.value)}",
                span,
                helps=["a bool is a condition already: join it with `and`, `or` and `not`"],
            )
            return BROKEN
        case _:
            for x in (a, b):
                if isinstance(x.value, ir.Vec | Array | Slice):
                    wrong_sort(x.span, x.value, f"each side of `{op}`", "a real", report)
            return BROKEN


def choose(cond: Operand, a: Operand, b: Operand, span: Span, report: Report) -> Value:
    """`a if cond else b`."""
    test = as_bool(cond, "the condition of `if`", report)
    match a.value, b.value:
        case (Broken(), _) | (_, Broken()):
            return BROKEN
        case ir.Bool(), ir.Bool():
            return BROKEN if test is None else build.choose(test, a.value, b.value, span=span)
        case (ir.Bool(), (ir.Int() | ir.Real())) | ((ir.Int() | ir.Real()), ir.Bool()):
            report.error(
                "bool-and-number",
                f"one side of `if` is {kind(a.value)} and the other is {kind(b.value)}",
                span,
                helps=["give both sides the same sort"],
            )
            return BROKEN
    highest = rank([a, b], "each side of `if`", report)
    if highest is None or test is None:
        return BROKEN
    match highest:
        case "int":
            assert isinstance(a.value, ir.Int) and isinstance(b.value, ir.Int)
            return build.choose(test, a.value, b.value, span=span)
        case "real":
            return build.choose(test, as_real_of(a), as_real_of(b), span=span)
        case "vec":
            return build.choose(test, as_vector_of(a), as_vector_of(b), span=span)


def is_zero_divisor(divisor: ir.Int | ir.Real | ir.Vec, span: Span, report: Report) -> bool:
    """True, and a diagnostic, where the divisor is the constant zero."""
    match divisor:
        case ir.IntConst(0) | ir.RealConst(0.0) | ir.Splat(ir.RealConst(0.0)):
            report.error("division-by-zero", f"{quote(span)} is zero, and nothing can be divided by it", span)
            return True
        case _:
            return False
