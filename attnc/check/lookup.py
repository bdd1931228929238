"""What to say about a name that means nothing where it stands.

Enters: the name and the place. Leaves: a diagnostic with the nearest names, or with the words of this language for what
other languages call it.
"""

from __future__ import annotations

from itertools import chain

from attnc.check import vocabulary
from attnc.check.names import Scope, did_you_mean
from attnc.check.report import Report
from attnc.check.standard import standard_names
from attnc.check.vocabulary import Place
from attnc.errors import Label
from attnc.source import Span

# What people who come from elsewhere write.
FOREIGN: dict[str, str] = {
    "True": "true",
    "False": "false",
    "q_idx": "i",
    "kv_idx": "j",
    "qi": "i",
    "ki": "j",
    "batch": "b",
    "head": "h",
    "seq_len": "N",
    "seqlen": "N",
    "where": "a if c else b",
    "pow": "a ** b",
    "int": "floor(x)",
    "float": "1.0 * x",
    "matmul": "dot(a, b)",
    "maximum": "max(a, b)",
    "minimum": "min(a, b)",
    "exp2": "2 ** x",
    "log2": "log(x) / log(2)",
}


def report_unknown(
    name: str,
    span: Span,
    report: Report,
    *,
    scope: Scope,
    place: Place | None,
    later: Span | None,
    is_call: bool,
) -> None:
    """Nothing has this name here. `place` is None in the body of a macro, which may be used in any place."""
    if later is not None:
        report.error(
            "used-before-definition",
            f"`{name}` is used before it is defined",
            span,
            related=[Label(later, "defined here")],
            helps=["move the definition up"],
        )
        return
    words = ["true", "false"]
    if place is None or place.has_sizes:
        words += vocabulary.SIZES
    words += sorted(vocabulary.NAMES - set(vocabulary.SIZES)) if place is None else sorted(place.names)
    if is_call:
        words += vocabulary.SIGNATURES
    if name in FOREIGN:
        helps: tuple[str, ...] = (f"in this language it is `{FOREIGN[name]}`",)
    elif name in standard_names():
        helps = (f"add `from std import {name}` at the top of the file",)
    else:
        helps = did_you_mean(name, chain(scope.names(), words), report)
    what = "a function or a macro" if is_call else "defined"
    report.error(
        "unknown-function" if is_call else "unknown-name", f"`{name}` is not {what}", span, helps=helps
    )


def report_misplaced(
    name: str, place: Place, span: Span, report: Report, *, through: str | None = None
) -> None:
    """A built-in name stands, or is used by the `let` called `through`, where it has no meaning."""
    if place.word in ("const", "default"):
        report.error(
            "not-constant",
            f"{place.title} must be known when the file is read, and `{name}` is known at the call",
            span,
        )
        return
    hint = vocabulary.INSTEAD.get((place.word, name)) or vocabulary.BELONGS.get(name)
    if name == "sum":
        what, hint = (
            f"`{through}` reduces over the row, which",
            "reductions have a meaning in `normalize` alone",
        )
    elif through is not None:
        what = f"`{through}` uses `{name}`, which"
    else:
        what = f"`{name}`"
    report.error(
        "name-not-here", f"{what} has no meaning in {place.title}", span, helps=[hint] if hint else ()
    )
