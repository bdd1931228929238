"""Do the vectors that meet in a call have one width?

Enters: an attention and the sizes of a call. Leaves: nothing, or an `AttncError` that points at the operator.
"""

from __future__ import annotations

from collections.abc import Mapping

from attnc.analyze.widths import EvenWidth, ResultWidth, SameWidths, WidthRule, find_width_rules
from attnc.errors import AttncError, CompilerBug, Diagnostic, Label
from attnc.ir.nodes import Attention
from attnc.run import messages
from attnc.run.sizes import size_value


def check_widths(attention: Attention, numbers: Mapping[str, int]) -> None:
    """Check every vector of every clause; `numbers` holds the sizes and int parameters."""
    for rule in find_width_rules(attention):
        message = _broken(rule, numbers)
        if message is not None:
            label = None if rule.term.span is None else Label(rule.term.span)
            raise AttncError(Diagnostic("width-mismatch", message, label))


def _broken(rule: WidthRule, numbers: Mapping[str, int]) -> str | None:
    match rule:
        case SameWidths(_, what, a, b):
            x, y = size_value(a, numbers), size_value(b, numbers)
            return messages.two_widths(what, x, y) if x != y else None
        case ResultWidth(_, clause, needs, width):
            wanted, got = size_value(needs, numbers), size_value(width, numbers)
            return messages.wrong_width(clause, needs.name, wanted, got) if got != wanted else None
        case EvenWidth(_, width):
            got = size_value(width, numbers)
            return messages.odd_width(got) if got % 2 else None
        case _:
            raise CompilerBug(f"no meaning for {rule!r}")
