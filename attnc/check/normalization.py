"""Formulas of a normalization that compile and cannot be right for every row.

Enters: the formula of `normalize` and its place. Leaves: warnings in the report, which say when it fails.
"""

from __future__ import annotations

from attnc.check.report import Report
from attnc.check.values import quote
from attnc.ir.compose import with_score
from attnc.ir.nodes import Count, Node, Real, RealCall, RealConst, RealOp, Row
from attnc.ir.signs import grows, is_at_least_0, is_positive, is_small
from attnc.ir.text import print_ir
from attnc.ir.walk import holds, replace_terms, walk
from attnc.source import Span

LONGEST = 40


def warn_of_formula(formula: Real, score: Real, span: Span, report: Report) -> None:
    """What may be divided by 0, and what grows without bound where the score is what `score` says."""
    divisors = (part.b for part in walk(formula) if isinstance(part, RealOp) and part.op == "/")
    for divisor in dict.fromkeys(divisors):
        if holds(divisor, Row, Count) and not is_positive(divisor):
            whole = with_score(divisor, score)
            if not is_positive(whole):
                _warn_of_zero(divisor, is_at_least_0(whole), span, report)
    rest = _without_small(formula, score)
    if grows(rest) and not any(isinstance(part, Row) and grows(part) for part in walk(rest)):
        report.warning(
            "normalize-grows",
            f"{quote(span)} overflows where a score is large: float32 ends at exp(88)",
            span,
            helps=["divide by a sum over the row, as in `exp(s) / sum(exp(s))`"],
        )


def _without_small(formula: Real, score: Real) -> Node:
    """The formula without exponentials of what is small for every score that there is."""

    def is_small_of(term: Real) -> bool:
        return is_small(with_score(term, score))

    def drop(part: Node) -> Node | None:
        match part:
            case RealCall("exp", a) if is_small_of(a):
                return RealConst(1.0)
        return None

    return replace_terms(formula, drop)


def _warn_of_zero(divisor: Real, is_never_negative: bool, span: Span, report: Report) -> None:
    at, text = span, print_ir(divisor)
    if divisor.span is not None and divisor.span.source == span.source and divisor.span != span:
        at, text = divisor.span, " ".join(divisor.span.text.split())
    text = f"`{text}`" if len(text) <= LONGEST else "this divisor"
    if is_never_negative:
        when, helps = "where nothing in it is above 0", ["keep it away from 0: `1e-6 + x` for this `x`"]
    else:
        when, helps = "where its terms cancel", ["keep it away from 0: `max(abs(x), 1e-6)` for this `x`"]
    report.warning(
        "normalize-by-zero",
        f"{text} may be 0 in a row that sees keys, {when}: such a row has no weights",
        at,
        helps=helps,
    )
