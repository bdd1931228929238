"""Mistakes that the word itself gives away: signs of other languages, Python's words, numbers, strange characters.

Enters: a sight. Leaves: a diagnostic, or None where the word is one of ours. `FOREIGN` is the table, tried in order.
"""

from __future__ import annotations

from collections.abc import Callable

from attnc.errors import Diagnostic, Label
from attnc.syntax.mistakes.words import NEVER_NAMES, Sight, quote

# A sign, and how it is written here.
SIGNS = {
    "&&": "and",
    "&": "and",
    "∧": "and",
    "||": "or",
    "|": "or",
    "∨": "or",
    "!": "not",
    "~": "not",
    "¬": "not",
    "^": "**",
    "<>": "!=",
    "≠": "!=",
    "=<": "<=",
    "≤": "<=",
    "=>": ">=",
    "≥": ">=",
    ":=": "=",
    "×": "*",
    "·": "*",
    "÷": "/",
    "−": "-",
    "–": "-",
    "∈": "in",
}

# A word where an operator is due, and how it is written here.
OPERATOR_WORDS = {
    "NOT": "not",
    "Not": "not",
    "AND": "and",
    "And": "and",
    "OR": "or",
    "Or": "or",
    "IN": "in",
    "In": "in",
    "IF": "if",
    "ELSE": "else",
    "is": "==",
    "xor": "!=",
    "mod": "%",
    "div": "//",
}

EXPRESSION_HELPS = {
    "lambda": "name it as a macro: `def name(x) = ...`",
    "for": "a reduction runs over all visible keys by itself: `sum(exp(s))`",
    "None": "a parameter always has a value: let a number switch it off, as in `window == 0 or i - j < window`",
    "pass": "every clause has a default: leave it away",
}
ARRAY_HELP = "an array is given in every call: pass zeros, or write a second attention without it"
PYTHON_ONLY = tuple(
    w for w in NEVER_NAMES if w not in ("and", "or", "not", "in", "if", "else", "true", "false")
)

# A character, and what to do instead.
CHARACTERS = {
    "{": "use parentheses",
    "}": "use parentheses",
    "@": "write a dot product as `dot(a, b)`",
    "?": "write a choice as `a if c else b`",
    "\\": "a line continues inside brackets, without a sign",
    "$": "names have no sign before them",
}


def find_foreign(sight: Sight) -> Diagnostic | None:
    """The first explanation that fits."""
    return next((found for explain in FOREIGN if (found := explain(sight)) is not None), None)


def _text_in_quotes(sight: Sight) -> Diagnostic | None:
    if sight.seen.kind != "string":
        return None
    if sight.seen.text.startswith('"""'):
        return sight.mistake(
            "misplaced-docstring",
            "a docstring cannot stand here",
            "",
            "put it on a line of its own, first in the file, the `attention` or the `def`",
        )
    return sight.mistake(
        "text-in-quotes",
        "text in quotes is not a value",
        "",
        "drop the quotes to use a name; a docstring has three quotes on each side",
    )


def _cut_comparison(sight: Sight) -> Diagnostic | None:
    if sight.seen.text != "=" or sight.before.text not in ("<", ">", "!", "="):
        return None
    sign = f"{sight.before.text}="
    return sight.mistake(
        "wrong-operator", f"{quote(sign)} has a space inside", "", f"write {quote(sign)}, as one sign"
    )


def _wrong_sign(sight: Sight) -> Diagnostic | None:
    word = SIGNS.get(sight.seen.text)
    if word is None:
        return None
    return sight.mistake(
        "wrong-operator",
        f"{quote(sight.seen.text)} is not an operator here",
        "",
        f"write `{word}`",
        repair=f"{word} " if word == "not" else word,
    )


def _wrong_operator_word(sight: Sight) -> Diagnostic | None:
    word, sign = sight.seen, OPERATOR_WORDS.get(sight.seen.text)
    if sight.before.text in ("NOT", "Not"):
        word, sign = sight.before, "not"  # it was taken for a name, and the parser stopped behind it
    elif word.text == "is" and sight.after.text == "not":
        sign = "!="
    if sign is None or not sight.operator_is_due:
        return None
    message, helps = f"`{word.text}` is not an operator here", (f"write `{sign}`",)
    repair = None if sight.after.text == "not" else sign
    return Diagnostic("wrong-operator", message, Label(word.span), helps=helps, repair=repair)


def _compared_with_none(sight: Sight) -> Diagnostic | None:
    """`window is None`, `window is not None`: nothing is ever None."""
    here = sight.words[sight.at : sight.at + 3]
    texts = [word.text for word in here]
    if not sight.operator_is_due or (texts[:2] != ["is", "None"] and texts != ["is", "not", "None"]):
        return None
    span = sight.seen.span.to(here[texts.index("None")].span)
    message = "nothing is `None`, and a spec is not Python"
    return Diagnostic("python-statement", message, Label(span), helps=(EXPRESSION_HELPS["None"],))


def _capital_truth(sight: Sight) -> Diagnostic | None:
    if sight.seen.text not in ("True", "False"):
        return None
    small = sight.seen.text.lower()
    return sight.mistake(
        "capital-truth",
        f"`{sight.seen.text}` is written with a small letter",
        "",
        f"write `{small}`",
        repair=small,
    )


def _python_word(sight: Sight) -> Diagnostic | None:
    word = sight.seen.text
    if word not in PYTHON_ONLY or sight.name_is_due or word == "import" or word == "as":
        return None
    helps = (EXPRESSION_HELPS[word],) if word in EXPRESSION_HELPS else ()
    if (
        word == "None"
        and sight.before.text == "="
        and "]" in (w.text for w in sight.words[sight.at - 2 : sight.at])
    ):
        helps = (ARRAY_HELP,)
    return sight.mistake(
        "python-statement", f"`{word}` is a word of Python, and a spec is not Python", "", *helps
    )


def _bad_number(sight: Sight) -> Diagnostic | None:
    word = sight.seen
    if word.kind != "number" or word.is_number or sight.name_is_due:
        return None
    helps, repair = [], None
    digits = word.text.lower().replace("_", "")
    if digits.isdecimal():
        repair = digits.lstrip("0") or "0"
        helps.append(f"write `{repair}`")
    elif digits[:2] in ("0x", "0b", "0o"):
        helps.append("write it in decimal digits")
    elif digits[:1].isdecimal() and digits.isalnum():
        helps.append("a name starts with a letter; a product needs its `*`")
    return sight.mistake("bad-number", f"{quote(word.text)} is not a number", "", *helps, repair=repair)


def _unknown_character(sight: Sight) -> Diagnostic | None:
    text = sight.seen.text
    if sight.seen.kind == "name":
        if text.isascii():
            return None
        letters = "names are made of the letters a to z, digits and `_`"
        return sight.mistake("unknown-character", f"{quote(text)} is not a name here", "", letters)
    if sight.seen.kind != "sign" or len(text) > 1 or text in "+-*/%<>=()[].,:;":
        return None
    helps: tuple[str, ...] = (CHARACTERS[text],) if text in CHARACTERS else ()
    if text.isspace():
        helps = ("write a plain space",)
    shown = quote(text) if text.isprintable() else f"the character U+{ord(text):04X}"
    return sight.mistake("unknown-character", f"{shown} has no meaning here", "", *helps)


FOREIGN: tuple[Callable[[Sight], Diagnostic | None], ...] = (
    _text_in_quotes,
    _cut_comparison,
    _wrong_sign,
    _compared_with_none,
    _wrong_operator_word,
    _capital_truth,
    _python_word,
    _bad_number,
    _unknown_character,
)
