"""All syntax mistakes of a text that the grammar refuses.

Enters: a source and its lines. Leaves: the lines that cannot be parsed, each with a diagnostic. Each is read alone, as
what its first word and its indentation say it is, so a mistake in one line hides none in another. A line that can only
be understood through a broken one (the body of a misspelled statement) is passed over: it has no diagnostic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lark import UnexpectedInput

from attnc.errors import Diagnostic, Label
from attnc.source import Source, Span
from attnc.syntax.build import Builder
from attnc.syntax.comments import CommentReader
from attnc.syntax.grammar import parse_text
from attnc.syntax.layout import Layout, Line
from attnc.syntax.mistakes.explain import explain_sight
from attnc.syntax.mistakes.foreign import find_foreign
from attnc.syntax.mistakes.words import (
    CLAUSE_WORDS,
    ITEM_WORDS,
    LATER_WORDS,
    PYTHON_STATEMENTS,
    Sight,
    did_you_mean,
    find_near,
    find_sight,
    find_words,
    listed,
    quote,
)

Owner = Literal["nothing", "attention", "def", "const", "from", "unknown"]

PYTHON_HELPS = {
    "import": "take macros from another file: `from std import causal`",
    "if": "write a choice as `a if c else b`, or a condition on keys as `mask ...`",
    "return": "write what it gives as a clause, as in `normalize softmax`, or as a macro: `def name(x) = ...`",
    "lambda": "name it as a macro: `def name(x) = ...`",
    "for": "a mask is written for one query `i` and one key `j`",
    "while": "a mask is written for one query `i` and one key `j`",
    "class": "start an attention: `attention name():`",
    "pass": "every clause has a default: leave it away",
}
CLAUSES_HELP = f"the clauses are {listed(CLAUSE_WORDS, 'and')}"
JOINING = ("and", "or", "in", "if", "else", *"+-*/%<>=)],.", "**", "//", "<=", ">=", "==", "!=", "&&", "||")


@dataclass(frozen=True)
class BrokenLine:
    """A line that means nothing, and why; a line that hangs on such a one has no mistake of its own."""

    line: Line
    mistakes: tuple[Diagnostic, ...]


def find_broken(source: Source, layout: Layout) -> list[BrokenLine]:
    """The lines that mean nothing."""
    reader = _LineReader(source)
    for line in layout.lines:
        reader.read(line)
    return reader.found


def explain_error(source: Source, error: UnexpectedInput) -> Diagnostic:
    """What stopped the parser in a text whose lines are all well alone."""
    return explain_sight(find_sight(source, 0, len(source.text), error))


class _LineReader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[BrokenLine] = []
        self.owner: Owner = "nothing"  # what indented lines belong to
        self.may_document = True  # may a docstring come next?
        self.is_broken = False  # was there a mistake in the line above?
        self.opens_block = False  # and did it end as Python's blocks start?

    def read(self, line: Line) -> None:
        is_passed_over = not line.problem and self._hangs_on_a_broken_one(line)
        mistakes = [line.problem] if line.problem else [] if is_passed_over else self._mistakes(line)
        first = self._sight(line).seen
        if not line.indent:
            self.owner = self._owner(first.text, line, bool(mistakes))
        self.may_document = not line.indent and first.text in ("attention", "def")
        self.is_broken = bool(mistakes)
        self.opens_block = self.is_broken and self._ends_with_colon(line)
        if mistakes or is_passed_over:
            self.found.append(BrokenLine(line, tuple(mistakes)))

    def _owner(self, first: str, line: Line, is_broken: bool) -> Owner:
        match first:
            case "attention":
                return "attention"
            case "def" | "const" | "from":
                return "unknown" if is_broken else first
            case _ if did_you_mean(first, ["attention"]) or self._ends_with_colon(line):
                return "unknown"
            case _:
                return self.owner

    def _hangs_on_a_broken_one(self, line: Line) -> bool:
        if line.indent and self.owner == "unknown":
            return True
        goes_on = self.is_broken and self._sight(line).seen.text not in (*CLAUSE_WORDS, *ITEM_WORDS)
        return line.indent > line.block and (goes_on or self.opens_block)

    def _mistakes(self, line: Line) -> list[Diagnostic]:
        sight = self._sight(line)
        first = sight.seen.text
        if line.indent != line.block or (line.indent and self.owner not in ("attention", "def")):
            return [self._bad_indent(line, sight)]
        if sight.seen.kind == "string" and sight.after.kind == "end":
            return [] if self._is_docstring(first) else _explained(find_foreign(sight))
        if line.indent and self.owner == "def":
            return [self._bad_indent(line, sight)]
        if first in (CLAUSE_WORDS if line.indent else ITEM_WORDS):
            return self._parsed(line)
        explained = self._clause_start(sight) if line.indent else self._item_start(sight)
        return [explained]

    def _ends_with_colon(self, line: Line) -> bool:
        return self.source.text[line.end - 1] == ":"

    def _is_docstring(self, first: str) -> bool:
        return self.may_document and first.startswith('"""')

    def _parsed(self, line: Line) -> list[Diagnostic]:
        """The mistakes of a line whose first word is right."""
        try:
            branch = parse_text(self.source.text[line.start : line.end], "line")
        except UnexpectedInput as error:
            return [explain_sight(find_sight(self.source, line.start, line.end, error))]
        builder = Builder(self.source, CommentReader(self.source, ()), line.start)
        builder.line(branch)
        return builder.found

    def _sight(self, line: Line) -> Sight:
        return Sight(find_words(self.source, line.start, line.end), 0, frozenset())

    # ---- the first word of a line ------------------------------------------------------------------

    def _item_start(self, sight: Sight) -> Diagnostic:
        word, after = sight.seen.text, sight.after.text
        if word in CLAUSE_WORDS:
            return self._clause_outside(sight)
        if (common := _any_start(sight)) is not None:
            return common
        helps = did_you_mean(word, ITEM_WORDS)
        if after == "=":
            helps = (f"write `const {word} = ...`",)
        helps = helps or (f"a line here starts with {listed(ITEM_WORDS)}",)
        return sight.mistake("unknown-statement", f"{quote(word)} does not start a statement", "", *helps)

    def _clause_start(self, sight: Sight) -> Diagnostic:
        word, after = sight.seen.text, sight.after.text
        if word in ITEM_WORDS:
            return sight.mistake(
                "bad-indent", f"`{word}` starts at the left edge", "", "take away the spaces before it"
            )
        if (common := _any_start(sight)) is not None:
            return common
        helps, near = did_you_mean(word, CLAUSE_WORDS), find_near(word, CLAUSE_WORDS)
        repair = near[0] if len(near) == 1 else None
        if after == "=":
            helps, repair = (f"write `let {quote(word)[1:-1]} = ...`",), f"let {word}"
        helps = helps or (CLAUSES_HELP,)
        return sight.mistake("unknown-clause", f"{quote(word)} is not a clause", "", *helps, repair=repair)

    def _clause_outside(self, sight: Sight) -> Diagnostic:
        word = sight.seen.text
        if word == "let" and self.owner != "attention":
            helps = ("at the left edge, write `const name = ...` or `def name = ...`",)
        elif self.owner == "attention":
            helps = ("indent it by four spaces, under its attention",)
        else:
            helps = ("write `attention name():` above it, and indent it by four spaces",)
        return sight.mistake("clause-outside-attention", f"`{word}` stands outside an attention", "", *helps)

    def _bad_indent(self, line: Line, sight: Sight) -> Diagnostic:
        word = sight.seen.text
        blanks = Span(self.source, max(0, line.start - line.indent), line.start)
        if word in CLAUSE_WORDS and self.owner != "attention":
            return self._clause_outside(sight)
        if line.indent and word in JOINING:
            return _broken_line(sight)
        if self.owner == "attention":
            message = f"this line is indented by {line.indent}, and those above by {line.block}"
            helps = (f"indent it by {line.block} spaces",)
        elif self.owner == "def":
            message = "only a docstring is indented under a `def`"
            helps = ("a macro is one expression; it goes on in the next line inside parentheses",)
        else:
            message = "this line is indented, and no attention is above it"
            helps = ("take away the spaces before it",)
        return Diagnostic("bad-indent", message, Label(blanks), helps=helps)


def _any_start(sight: Sight) -> Diagnostic | None:
    """What is wrong with a first word, wherever it stands."""
    word, after = sight.seen.text, sight.after.text
    if word in LATER_WORDS and after != "=":
        return sight.mistake("reserved-word", f"`{word}` is reserved for a later version", "", CLAUSES_HELP)
    if word in PYTHON_STATEMENTS and after != "=":
        helps = (PYTHON_HELPS[word],) if word in PYTHON_HELPS else ()
        return sight.mistake(
            "python-statement", f"`{word}` is a statement of Python, and a spec is not Python", "", *helps
        )
    if word in JOINING:
        return _broken_line(sight)
    return find_foreign(sight)


def _broken_line(sight: Sight) -> Diagnostic:
    return sight.mistake(
        "broken-line",
        f"a line cannot start with {quote(sight.seen.text)}",
        "",
        "to go on from the line above, put the whole expression in parentheses",
    )


def _explained(diagnostic: Diagnostic | None) -> list[Diagnostic]:
    return [] if diagnostic is None else [diagnostic]
