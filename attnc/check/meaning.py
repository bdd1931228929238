"""What a name means.

Enters: a name, the place it stands in and, where it was defined, its entry. Leaves: its value, or `BROKEN` and a
diagnostic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from attnc.check import vocabulary
from attnc.check.lookup import report_misplaced
from attnc.check.names import Entry, did_you_mean
from attnc.check.report import Report
from attnc.check.terms import find_needs
from attnc.check.values import BROKEN, Array, Broken, Slice, Value
from attnc.check.vocabulary import Place
from attnc.errors import CompilerBug
from attnc.ir import nodes as ir
from attnc.source import Span
from attnc.syntax import tree


def built_in(name: str, place: Place, span: Span, report: Report) -> Value:
    """A built-in name."""
    is_size = name in vocabulary.SIZES
    if not (place.has_sizes if is_size else name in place.names):
        report_misplaced(name, place, span, report)
        return BROKEN
    match name:
        case "b" | "h" | "i" | "j":
            return ir.Index(name, span=span)
        case "h_kv":
            return replace(ir.KEY_HEAD, span=span)
        case "q" | "k" | "v" | "v_i" | "o":
            return ir.VecInput(name, span=span)
        case "s":
            return ir.Score(span=span)
        case "scale":
            return ir.Scale(span=span)
        case "B" | "H" | "HKV" | "N" | "M" | "D" | "DV":
            return ir.Size(name, span=span)
        case _:
            raise CompilerBug(f"unknown built-in name {name!r}")


def stored(name: str, entry: Entry, place: Place, span: Span, report: Report) -> Value:
    """What was defined under a name. A `let` is checked here: it may use what this place does not have."""
    value = entry.value
    if value is None:
        report.error("not-a-value", f"`{name}` is an attention, and stands for no value", span)
        return BROKEN
    if entry.kind in ("parameter", "let") and not place.has_parameters:
        why = "is known at the call"
        report.error(
            "not-constant", f"{place.title} must be known when the file is read, and `{name}` {why}", span
        )
        return BROKEN
    if isinstance(value, Broken | Array | Slice):
        return value
    match entry.kind:
        case "parameter" | "const":
            return replace(value, span=span)
        case "let" if lacking := find_needs(value) - place.needs:
            report_misplaced(min(lacking), place, span, report, through=name)
            return BROKEN
        case _:
            return value


def coordinate(
    position: Value,
    base: tree.Name,
    axis: tree.Name,
    grids: Mapping[str, Mapping[str, ir.Int]],
    span: Span,
    report: Report,
) -> Value:
    """`i.y`."""
    if isinstance(position, Broken):
        return BROKEN
    if not isinstance(position, ir.Index) or position.axis not in ("i", "j"):
        report.error(
            "unknown-axis",
            f"`{base.id}` has no axes: only the positions `i` and `j` have them",
            base.span or span,
        )
        return BROKEN
    axes = grids.get(position.axis, {})
    if (term := axes.get(axis.id)) is not None:
        return replace(term, span=span)
    if not axes:
        message = f"`{base.id}.{axis.id}` needs a grid, and this attention has none"
        helps: tuple[str, ...] = ("say which axes the tokens have, as in `grid y: rows, x: cols`",)
    else:
        message = f"the grid has no axis `{axis.id}`"
        helps = did_you_mean(axis.id, axes, report) or (f"its axes are {', '.join(f'`{a}`' for a in axes)}",)
    report.error("unknown-axis", message, axis.span or span, helps=helps)
    return BROKEN
