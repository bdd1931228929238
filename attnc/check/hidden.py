"""Scores that do the work of a mask.

Enters: the score of an attention and its place. Leaves: warnings in the report. A pair whose score is -1e9 is computed
all the same, and in a row that sees nothing every key gets the same weight, where a mask gives 0.
"""

from __future__ import annotations

from attnc.check.report import Report
from attnc.check.values import quote
from attnc.ir import build
from attnc.ir.nodes import Bool, Node, Real, RealConst, RealIf, RealOp, VecInput
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, holds, walk
from attnc.source import Span

HIDES = -9_999.0  # no score of anybody's is as low; -10000 stands for a mask in many a model
LONGEST = 60


def warn_of_hidden(score: Real, span: Span, report: Report) -> None:
    """Pairs that get a number so low that their weight is 0."""
    for part in walk(score):
        match part:
            case RealIf(condition, a, b) if axes_of(condition) & {"i", "j"}:
                if _hides(a) or _hides(b):
                    _warn(part, build.negate(condition) if _hides(a) else condition, span, report)
            case RealOp("*", a, b) if (_hides(a) and _is_of_positions(b)) or (
                _hides(b) and _is_of_positions(a)
            ):
                _warn(part, None, span, report)
            case _:
                pass


def _hides(term: Node) -> bool:
    return isinstance(term, RealConst) and term.value <= HIDES


def _is_of_positions(term: Node) -> bool:
    return bool(axes_of(term) & {"i", "j"}) and not holds(term, VecInput)


def _warn(part: Real, seen: Bool | None, span: Span, report: Report) -> None:
    at = part.span if part.span is not None and part.span.source == span.source else span
    mask = "" if seen is None else print_ir(seen)
    help_ = f"write `mask {mask}`" if 0 < len(mask) <= LONGEST else "say in `mask` which keys are seen"
    report.warning(
        "mask-in-score",
        f"{quote(at)} hides keys by their score, and they are computed all the same",
        at,
        helps=[f"{help_}: what it hides is skipped, and a row that sees no key is 0"],
    )
