"""Mistakes in an expression or a list: something is missing, twice there, or in the wrong place.

Enters: a sight whose word is one of ours. Leaves: a diagnostic, or None. `EXPRESSIONS` is the table, tried in order.
"""

from __future__ import annotations

from collections.abc import Callable

from attnc.errors import Diagnostic
from attnc.syntax.mistakes.words import Sight, quote

EXAMPLES = {
    "query": "l2(q)",
    "key": "l2(k)",
    "value": "gate[b, h, j, :] * v",
    "mask": "j <= i",
    "score": "dot(q, k) * scale",
    "normalize": "softmax",
    "output": "o * sigmoid(gate[b, h, i, :])",
}

# ---- commas and colons -----------------------------------------------------------------------------


def _extra_comma(sight: Sight) -> Diagnostic | None:
    if sight.seen.text != "," or sight.before.text not in (",", "(", "["):
        return None
    return sight.mistake("extra-comma", "nothing stands before this comma", "", "drop it", repair="")


def _misplaced_slice(sight: Sight) -> Diagnostic | None:
    is_index = sight.opened is not None and sight.opened.text == "["
    is_after = sight.seen.text != ":" and sight.before.text == ":" and sight.due == {"RSQB"}
    if not is_index or not (sight.seen.text == ":" or is_after):
        return None
    return sight.mistake(
        "misplaced-slice",
        "`:` takes the whole last axis, and stands alone there",
        "",
        "write `:` last, as in `gate[b, h, i, :]`; a slice has two ends, as in `total(gate[b, h, 0 : i + 1])`",
    )


def _missing_comma(sight: Sight) -> Diagnostic | None:
    if "COMMA" not in sight.due or sight.operator_is_due or not sight.seen.is_operand:
        return None
    text = sight.seen.text
    return sight.mistake(
        "missing-comma", f"no comma stands before {quote(text)}", "", "add `,`", repair=f", {text}"
    )


# ---- expressions -----------------------------------------------------------------------------------


def _wrong_conditional(sight: Sight) -> Diagnostic | None:
    if not sight.operand_is_due or sight.seen.text not in ("if", "else", "then"):
        return None
    if sight.before.text in ("if", "else") or sight.seen.text != "if":
        return None
    return sight.mistake(
        "wrong-conditional", "`if` stands between two values", "", "write `a if c else b`: the value first"
    )


def _missing_expression(sight: Sight) -> Diagnostic | None:
    if not sight.operand_is_due:
        return None
    seen, before = sight.seen, sight.before.text
    message = f"an expression is missing after {quote(before)}"
    helps: tuple[str, ...] = ()
    if before in EXAMPLES and sight.at == 1:
        helps = (f"write it as in `{before} {EXAMPLES[before]}`, or leave the line away",)
    elif seen.kind == "end":
        helps = ("to go on in the next line, put the whole expression in parentheses",)
    elif seen.text == "+":
        helps = ("a number needs no `+` before it",)
    elif seen.text == "[":
        helps = ("there are no lists; brackets follow the name of an array: `bias[h, i]`",)
    elif seen.text == "]" and sight.head in ("attention",):
        helps = ("a scalar has no brackets; an array has sizes: `int[N]`",)
    return sight.mistake("missing-expression", message, "an expression is due here", *helps)


def _single_equals(sight: Sight) -> Diagnostic | None:
    if sight.seen.text != "=" or not sight.operator_is_due:
        return None
    return sight.mistake("single-equals", "`=` does not compare", "", "write `==`", repair="==")


def _applied(sight: Sight) -> Diagnostic | None:
    seen, before = sight.seen.text, sight.before
    if not sight.operator_is_due or seen not in ("(", "[", "."):
        return None
    what = {"(": "called", "[": "indexed", ".": "asked for an axis"}[seen]
    helps: tuple[str, ...] = ()
    if seen == "[" and before.text == "]":
        helps = ("write all indices in one pair of brackets: `bias[h, i]`",)
    elif seen == "(":
        helps = ("a product needs its `*`",)
    return sight.mistake("not-a-name", f"only a name can be {what}", "", *helps)


def _chained_in(sight: Sight) -> Diagnostic | None:
    if not sight.operator_is_due or sight.seen.text not in ("in", "not", "<", "<=", ">", ">=", "==", "!="):
        return None
    return sight.mistake(
        "chained-in",
        "`in` does not chain with other comparisons",
        "",
        "join the two with `and`, or put one in parentheses",
    )


def _missing_operator(sight: Sight) -> Diagnostic | None:
    seen = sight.seen
    if not sight.operator_is_due or not seen.is_operand:
        return None
    helps = (
        ["add a comma, or an operator"] if "COMMA" in sight.due else ["add an operator, such as `*` or `and`"]
    )
    return sight.mistake(
        "missing-operator",
        f"nothing joins {quote(sight.before.text)} and {quote(seen.text)}",
        "an operator is due before this",
        *helps,
    )


EXPRESSIONS: tuple[Callable[[Sight], Diagnostic | None], ...] = (
    _extra_comma,
    _misplaced_slice,
    _missing_comma,
    _wrong_conditional,
    _missing_expression,
    _single_equals,
    _applied,
    _chained_in,
    _missing_operator,
)
