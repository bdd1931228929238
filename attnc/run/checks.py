"""Does a condition of a call hold?

Enters: a `CallCheck`, and a value for every size and number that it speaks of. Leaves: nothing, or an `AttncError` in
its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import eq, ge, ne
from typing import Any

from attnc.analyze.call_check import CallCheck
from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir.nodes import Int
from attnc.run.values import int_value, real_value

HOLDS = {"==": eq, "!=": ne, ">=": ge}


def check_condition(check: CallCheck, values: Mapping[str, Any]) -> None:
    """Refuse a call of these values where it does not hold."""
    a = int_value(check.a, values) if isinstance(check.a, Int) else real_value(check.a, values)
    if not HOLDS[check.op](a, int_value(check.b, values)):
        parts = (part if isinstance(part, str) else int_value(part, values) for part in check.words)
        label = Label(check.span) if check.span else None
        message = "".join(map(str, parts))
        raise AttncError(Diagnostic(check.code, message, label, notes=check.notes, helps=check.helps))
