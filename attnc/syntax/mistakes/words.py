"""The words of a line, read forgivingly, and what the parser would have taken.

Enters: a line that the grammar refuses. Leaves: a `Sight`: the words of the line, which of them was one too many, and
which terminals were due in its place. Mistakes are told apart by sights, never by the names of terminals alone.
"""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lark import UnexpectedInput, UnexpectedToken

from attnc.errors import Diagnostic, Label
from attnc.source import Source, Span

ITEM_WORDS = ("attention", "def", "const", "from")
CLAUSE_WORDS = ("grid", "let", "query", "key", "value", "mask", "score", "normalize", "output")
LATER_WORDS = ("source", "stage", "select", "state", "quant", "where", "over")
TYPE_WORDS = ("int", "float", "bool")

# Words that are never names: Python's, because emitted modules take names as arguments, and two of ours.
NEVER_NAMES = (*keyword.kwlist, "true", "false")
_IN_EXPRESSIONS = ("False", "None", "True", "and", "as", "def", "from", "in", "is", "not", "or")
PYTHON_STATEMENTS = (*(w for w in keyword.kwlist if w not in _IN_EXPRESSIONS), "match", "print", "type")
MAX_QUOTE = 40

WORD = re.compile(
    r"""(?P<string>\"{3}[\s\S]*?\"{3} | \"[^"\n]*\" | '[^'\n]*')
      | (?P<number>\.?\d(?:[eE][+-]\d|[\w.])*)
      | (?P<name>[^\W\d]\w*)
      | (?P<blank>[ \t\n]+ | \#[^\n]*)
      | (?P<sign>\*\*|//|<=|>=|==|!=|<>|=<|=>|->|:=|&&|\|\||[\s\S])""",
    re.VERBOSE,
)
NUMBER = re.compile(
    r"""0(_?0)* | [1-9](_?\d)*
      | ((\d(_?\d)*)?\.\d(_?\d)* | \d(_?\d)*\.?) ([eE][+-]?\d(_?\d)*) | (\d(_?\d)*)?\.\d(_?\d)* | \d(_?\d)*\.""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of a line; the one of kind `end` is empty and stands behind the last."""

    kind: Literal["string", "number", "name", "sign", "end"]
    text: str
    span: Span

    @property
    def is_number(self) -> bool:
        """Is it a number as the language writes numbers?"""
        return self.kind == "number" and NUMBER.fullmatch(self.text) is not None

    @property
    def is_operand(self) -> bool:
        """Could an expression start with it?"""
        is_name = self.kind == "name" and (self.text not in NEVER_NAMES or self.text in ("true", "false"))
        return is_name or self.kind == "number"


def find_words(source: Source, start: int, end: int) -> list[Word]:
    """The words of `[start, end)`, with an empty one at the end."""
    words = []
    for piece in WORD.finditer(source.text, start, end):
        match piece.lastgroup:
            case "string" | "number" | "name" | "sign" as kind:
                words.append(Word(kind, piece[0], Span(source, piece.start(), piece.end())))
    return [*words, Word("end", "", Span(source, end, end))]


@dataclass(frozen=True)
class Sight:
    """Where the parser stopped: at `words[at]`, where only `due` was allowed."""

    words: list[Word]
    at: int
    due: frozenset[str]

    @property
    def seen(self) -> Word:
        return self.words[self.at]

    @property
    def before(self) -> Word:
        """The word before the one seen; of the first word, itself."""
        return self.words[max(0, self.at - 1)]

    @property
    def after(self) -> Word:
        return self.words[min(self.at + 1, len(self.words) - 1)]

    @property
    def head(self) -> str:
        """The word that the line starts with."""
        return self.words[0].text

    @property
    def opened(self) -> Word | None:
        """The innermost bracket that is open."""
        brackets: list[Word] = []
        for word in self.words[: self.at]:
            if word.text in ("(", "["):
                brackets.append(word)
            elif word.text in (")", "]") and brackets:
                brackets.pop()
        return brackets[-1] if brackets else None

    @property
    def is_over(self) -> bool:
        """Is an operand, a bracket or the line at its end here?"""
        return self.seen.kind == "end" or self.seen.text in (")", "]", ",")

    @property
    def operand_is_due(self) -> bool:
        return {"NAME", "INT"} <= self.due

    @property
    def operator_is_due(self) -> bool:
        return "PLUS" in self.due

    @property
    def name_is_due(self) -> bool:
        return "NAME" in self.due and "INT" not in self.due

    def mistake(
        self, code: str, message: str, label: str = "", *helps: str, repair: str | None = None
    ) -> Diagnostic:
        """A diagnostic about the word seen."""
        return Diagnostic(code, message, Label(self.seen.span, label), helps=helps, repair=repair)


def find_sight(source: Source, start: int, end: int, error: UnexpectedInput) -> Sight:
    """What stood, in the line `[start, end)`, where the parser gave up."""
    words = find_words(source, start, end)
    at = len(words) - 1
    if not (isinstance(error, UnexpectedToken) and error.token.type in ("_NEWLINE", "$END")):
        offset = start + (error.pos_in_stream or 0)
        at = next(n for n, word in enumerate(words) if word.span.end > offset or word.kind == "end")
    due = error.interactive_parser.accepts()  # type: ignore[no-untyped-call]  # lark does not type it
    return Sight(words, at, frozenset(due))


# ---- for messages ----------------------------------------------------------------------------------


def quote(text: str) -> str:
    """A text in backticks, cut where it is long."""
    text = " ".join(text.split())
    return f"`{text if len(text) <= MAX_QUOTE else text[: MAX_QUOTE - 3] + '...'}`"


def listed(words: Iterable[str], last: str = "or") -> str:
    """`a`, `b` or `c`."""
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def did_you_mean(word: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """A help that names the nearest candidates, if any is near."""
    near = find_near(word, candidates)
    return (f"did you mean {listed(near)}?",) if near else ()


def find_near(word: str, candidates: Iterable[str]) -> list[str]:
    """At most three."""
    return difflib.get_close_matches(word.lower()[:MAX_QUOTE], list(candidates), n=3, cutoff=0.6)
