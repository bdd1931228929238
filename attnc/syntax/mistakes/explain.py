"""Why the parser stopped.

Enters: a sight. Leaves: one diagnostic: by the word itself, by what was due in its place, or, where no table knows the
mistake, by naming both.
"""

from __future__ import annotations

from attnc.errors import Diagnostic
from attnc.syntax.mistakes.expressions import EXPRESSIONS
from attnc.syntax.mistakes.foreign import FOREIGN
from attnc.syntax.mistakes.statements import STATEMENTS
from attnc.syntax.mistakes.words import Sight, quote

# What a terminal is called in a message, in the order of the message.
TITLES = (
    ("NAME", "a name"),
    ("INT", "a number"),
    ("SORT", "a type"),
    ("PLUS", "an operator"),
    ("_EQUAL", "`=`"),
    ("COLON", "`:`"),
    ("COMMA", "`,`"),
    ("LPAR", "`(`"),
    ("RPAR", "`)`"),
    ("RSQB", "`]`"),
    ("_IMPORT", "`import`"),
    ("_IN", "`in`"),
    ("_ELSE", "`else`"),
    ("_KEY", "`key`"),
    ("_NEWLINE", "the end of the line"),
)


def explain_sight(sight: Sight) -> Diagnostic:
    """The first explanation of the tables that fits."""
    for explain in (*FOREIGN, *STATEMENTS, *EXPRESSIONS):
        if (found := explain(sight)) is not None:
            return found
    return _unexpected(sight)


def _unexpected(sight: Sight) -> Diagnostic:
    due = [title for terminal, title in TITLES if terminal in sight.due]
    what = (
        "the line ends too early"
        if sight.seen.kind == "end"
        else f"{quote(sight.seen.text)} has no place here"
    )
    label = ""
    helps: tuple[str, ...] = ()
    if sight.seen.text == ":" and sight.opened is not None:
        helps = ("an argument is named with `=`: `alibi(slope, base=2)`",)
    if due:
        label = f"due here: {due[0]}" if len(due) == 1 else f"due here: {', '.join(due[:-1])} or {due[-1]}"
    return sight.mistake("unexpected-word", what, label, *helps)
