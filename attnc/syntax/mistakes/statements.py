"""Mistakes in the frame of a line: its name, its parameters and their types, `=`, `:` and `import`.

Enters: a sight whose word is one of ours. Leaves: a diagnostic, or None. `STATEMENTS` is the table, tried in order.
"""

from __future__ import annotations

from collections.abc import Callable

from attnc.errors import Diagnostic, Label
from attnc.syntax.mistakes.words import (
    CLAUSE_WORDS,
    ITEM_WORDS,
    MAX_QUOTE,
    NEVER_NAMES,
    TYPE_WORDS,
    Sight,
    did_you_mean,
    quote,
)

TYPE_NAMES = {"integer": "int", "long": "int", "double": "float", "real": "float", "boolean": "bool"}
OPTIONAL = (
    "a parameter is given in every call: let a number switch it off, or write a second attention without it"
)
ARRAY_NAMES = ("array", "Array", "tensor", "Tensor", "list", "ndarray")

NAMED = {
    "attention": "the attention",
    "def": "the macro",
    "const": "the constant",
    "let": "the expression",
    "from": "the file to take from",
    "import": "what to take",
    "grid": "the axis",
    ".": "the axis",
}

# ---- names and types -------------------------------------------------------------------------------


def _type_before_name(sight: Sight) -> Diagnostic | None:
    first = sight.before.text
    is_type = first in TYPE_WORDS or first in ("const", "sorted")
    if sight.head != "attention" or not is_type or not sight.seen.is_operand or sight.due != {"COLON"}:
        return None
    return sight.mistake(
        "type-before-name",
        f"the type `{first}` comes before the name",
        "",
        f"write {quote(f'{sight.seen.text}: {first}')}",
    )


def _missing_name(sight: Sight) -> Diagnostic | None:
    if not sight.name_is_due:
        return None
    seen = sight.seen
    if seen.text in NEVER_NAMES:
        return sight.mistake(
            "reserved-name",
            f"`{seen.text}` is a reserved word and cannot be a name",
            "",
            "choose another name",
        )
    if seen.text == "," and sight.before.text in (",", "("):
        return None
    if seen.kind == "number":
        return sight.mistake(
            "missing-name", f"{quote(seen.text)} is not a name", "", "a name starts with a letter or `_`"
        )
    helps: tuple[str, ...] = ()
    if sight.head == "from":
        helps = ("write `from std import causal`, with the names of macros",)
    what = NAMED.get(sight.before.text, "the parameter" if sight.head in ("attention", "def") else "")
    of = f"of {what} " if what else ""
    return sight.mistake("missing-name", f"the name {of}is missing", "a name is due here", *helps)


def _unknown_type(sight: Sight) -> Diagnostic | None:
    if "SORT" not in sight.due:
        return None
    seen = sight.seen
    if seen.text in ("const", "sorted"):
        return sight.mistake(
            "unknown-type", f"`{seen.text}` stands in the wrong place", "", "write `const sorted int[...]`"
        )
    if seen.kind != "name":
        return _missing_type(sight)
    helps: tuple[str, ...]
    if seen.text in TYPE_NAMES:
        helps = (f"write `{TYPE_NAMES[seen.text]}`",)
    elif seen.text == "Optional":
        helps = (OPTIONAL,)
    elif seen.text in ARRAY_NAMES:
        helps = ("an array is written with its sizes: `float[H, N]`",)
    else:
        helps = did_you_mean(seen.text, TYPE_WORDS) or (
            "a type is `int`, `float`, `bool` or an array: `float[H, N]`",
        )
    repair = TYPE_NAMES.get(seen.text)
    return sight.mistake("unknown-type", f"{quote(seen.text)} is not a type", "", *helps, repair=repair)


def _missing_type(sight: Sight) -> Diagnostic | None:
    is_param = sight.head == "attention" and sight.opened is not None
    if not is_param or not ("SORT" in sight.due or sight.due == {"COLON"}):
        return None
    written = sight.words[: sight.at]
    if "SORT" in sight.due:  # the parser is past the colon, and maybe past `const` and `sorted`
        written = written[: max(n for n, word in enumerate(written) if word.text == ":")]
    name = written[-1]
    shown, default = name.text[:MAX_QUOTE], sight.after
    if shown in ("q", "k", "v", "scale"):
        return Diagnostic(
            "missing-type",
            f"{quote(shown)} is no parameter: every attention has it",
            Label(name.span),
            helps=("leave it away",),
        )
    types = "int`, or `float`, `bool`, or an array such as `float[H]"
    if sight.seen.text == "=" and default.is_number and not default.text.isdecimal():
        types = "float"
    return Diagnostic(
        "missing-type",
        f"the parameter {quote(name.text)} has no type",
        Label(name.span),
        helps=(f"write `{shown}: {types}`",),
    )


def _typed_macro(sight: Sight) -> Diagnostic | None:
    if sight.head != "def" or sight.seen.text != ":" or "RPAR" not in sight.due or sight.operator_is_due:
        return None
    return sight.mistake(
        "typed-argument", "the arguments of a macro have no types", "", "drop the `:` and the type"
    )


# ---- the signs of a line ---------------------------------------------------------------------------


def _clause_punctuation(sight: Sight) -> Diagnostic | None:
    if sight.at != 1 or sight.head not in CLAUSE_WORDS or sight.seen.text not in ("=", ":", "=="):
        return None
    return sight.mistake(
        "clause-punctuation",
        f"`{sight.head}` is followed by its expression, without `{sight.seen.text}`",
        "",
        f"drop the `{sight.seen.text}`",
        repair="",
    )


def _missing_equals(sight: Sight) -> Diagnostic | None:
    if "_EQUAL" not in sight.due or not sight.due <= {"_EQUAL", "LPAR"}:
        return None
    head = sight.head
    if sight.seen.text == "==":
        return sight.mistake(
            "missing-equals", "`==` compares, and here something is named", "", "write `=`", repair="="
        )
    helps = [f"write `{head} {sight.before.text[:MAX_QUOTE]} = ...`"]
    if head == "def":
        helps = ["a macro is one expression: `def name(x) = ...`"]
    elif head == "const" and sight.seen.text == ":":
        helps = ["a `const` has no type: `const name = ...`"]
    return sight.mistake("missing-equals", f"this `{head}` has no `=`", "`=` is due here", *helps)


def _missing_colon(sight: Sight) -> Diagnostic | None:
    if sight.due != {"COLON"}:
        return None
    if sight.head == "grid":
        helps = ("write `y: rows`, the name of an axis and its extent",)
        return sight.mistake("missing-colon", "this axis has no extent", "`:` is due here", *helps)
    return sight.mistake(
        "missing-colon",
        "this attention has no `:` at the end of its line",
        "`:` is due here",
        "add the `:`",
        repair=":" if sight.seen.kind == "end" else None,
    )


def _missing_parameters(sight: Sight) -> Diagnostic | None:
    if sight.due != {"LPAR"}:
        return None
    if sight.head == "attention":
        name = sight.before.text[:MAX_QUOTE]
        return sight.mistake(
            "missing-parameters",
            f"`{name}` has no list of parameters",
            "`(` is due here",
            f"write `attention {name}():`",
            repair="():" if sight.seen.text == ":" else None,
        )
    return sight.mistake(
        "missing-parameters",
        f"the axes of `{sight.before.text}` stand in parentheses",
        "`(` is due here",
        "write `grid query(y: rows) key(y: key_rows)`",
    )


def _missing_word(sight: Sight) -> Diagnostic | None:
    if "_IMPORT" in sight.due:
        return sight.mistake(
            "missing-import",
            "`import` is missing",
            "",
            "write `from std import causal`, with commas between names",
        )
    if "_KEY" in sight.due:
        return sight.mistake(
            "missing-grid", "the grid of the keys is missing", "", "write `grid query(y: a) key(y: b)`"
        )
    if sight.due == {"_IN"}:
        return sight.mistake(
            "missing-in", "`not` between two expressions needs `in`", "", "write `x not in table[b, h, :]`"
        )
    if "_ELSE" in sight.due and sight.is_over:
        return sight.mistake(
            "missing-else", "this conditional has no `else`", "`else` is due here", "write `a if c else b`"
        )
    if sight.seen.text == "else":
        return sight.mistake("missing-if", "this `else` belongs to no `if`", "", "write `a if c else b`")
    return None


def _two_statements(sight: Sight) -> Diagnostic | None:
    seen = sight.seen
    if seen.text == ";" and sight.after.kind == "end":
        return sight.mistake("two-statements", "`;` does not end a statement", "", "drop it", repair="")
    if seen.text == ";":
        return sight.mistake(
            "two-statements", "`;` does not separate statements", "", "write one statement a line"
        )
    if "_NEWLINE" not in sight.due or seen.text not in (*CLAUSE_WORDS, *ITEM_WORDS):
        return None
    return sight.mistake(
        "two-statements",
        f"{quote(seen.text)} starts a second statement on this line",
        "",
        "write it on a line of its own",
    )


STATEMENTS: tuple[Callable[[Sight], Diagnostic | None], ...] = (
    _type_before_name,
    _missing_name,
    _unknown_type,
    _missing_type,
    _typed_macro,
    _clause_punctuation,
    _missing_equals,
    _missing_colon,
    _missing_parameters,
    _two_statements,
    _missing_word,
)
