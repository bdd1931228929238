"""What to say about a name that means nothing where it stands.

Enters: the name and the place. Leaves: a diagnostic with the nearest names, or with the words of this language for what
other languages call it.
"""

from __future__ import annotations

from itertools import chain

from attnc.check import vocabulary
from attnc.check.calls import Signature, macro_signature
from attnc.check.names import Scope, did_you_mean
from attnc.check.report import Report
from attnc.check.standard import standard_modules, standard_names
from attnc.check.vocabulary import Place
from attnc.errors import Label
from attnc.source import Span
from attnc.syntax import tree

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

# What people look for that is another thing here, and what to do.
ADVICE: dict[str, str] = {
    "dropout": "nothing is random here: pass the pairs that are kept, as in `normalize softmax * keep[b, h, i, j]`",
    "topk": "choose the keys in torch and pass their places: `mask j in chosen[b, h, i, :]`",
    "sparsemax": "find the threshold of each row in torch and pass it: `normalize relu(s - threshold[b, h, i])`",
    "inf": "what is not to be seen belongs into `mask`, and needs no score",
    "logsumexp": "write `log(sum(exp(s)))`",
    "tril": "write `mask j <= i`",
    "triu": "write `mask i <= j`",
    "norm": "write `sqrt(dot(a, a))`",
    "cumsum": "write `total(steps[b, h, j + 1 : i + 1])`: what stands in the slice is added up",
    "round": "write `floor(x + 0.5)`",
    "ceil": "write `-floor(-x)`",
    "var": "write `mean((s - mean(s)) ** 2)`",
    "std": "write `sqrt(mean((s - mean(s)) ** 2))`",
}
# Other names of these.
ALSO = {
    "dropout_p": "dropout",
    "top_k": "topk",
    "kthvalue": "topk",
    "argmax": "topk",
    "entmax": "sparsemax",
    "entmax15": "sparsemax",
    "infinity": "inf",
    "INF": "inf",
    "Infinity": "inf",
    "NEG_INF": "inf",
    "neg_inf": "inf",
    "MINUS_INF": "inf",
    "lse": "logsumexp",
}
SIZES_HELP = (
    "the sizes are `B`, `H`, `HKV`, `N` queries, `M` keys, `D` and `DV`; any other is a parameter: `{}: int`"
)


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
    elif (known := ALSO.get(name, name)) in ADVICE:
        helps = (ADVICE[known],)
    elif (standard := find_standard(name)) is not None:
        helps = (f"add `from std import {name}` at the top of the file",)
        if standard.required and not is_call:
            helps = (
                f"declare it as a parameter, as in `{name}: int`; `{standard.text}` is a macro of `std`",
            )
    elif place is not None and place.word in ("size", "grid"):
        helps = did_you_mean(name, chain(scope.names(), words), report) or (SIZES_HELP.format(name),)
    else:
        helps = did_you_mean(name, chain(scope.names(), words), report)
    what = "a function or a macro" if is_call else "defined"
    report.error(
        "unknown-function" if is_call else "unknown-name", f"`{name}` is not {what}", span, helps=helps
    )


def find_standard(name: str) -> Signature | None:
    """How a macro of the standard library is called."""
    module = standard_names().get(name)
    items = standard_modules()[module].file.items if module else ()
    macros = (item for item in items if isinstance(item, tree.Macro) and item.name.id == name)
    return next(map(macro_signature, macros), None)


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
