"""Names: what may be one, what stands behind one, and which one was meant.

Enters: names as they are declared and used. Leaves: `Scope`s, and diagnostics with at most three suggestions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from attnc.check import vocabulary
from attnc.check.report import Report, Search
from attnc.check.values import BROKEN, Value
from attnc.errors import Label
from attnc.source import Span
from attnc.syntax import tree

EntryKind = Literal["parameter", "let", "const", "macro", "argument", "attention"]

KIND_TITLES: dict[EntryKind, str] = {
    "parameter": "a parameter",
    "let": "a `let`",
    "const": "a `const`",
    "macro": "a macro",
    "argument": "an argument of this macro",
    "attention": "an attention",
}


@dataclass
class Entry:
    """What a name stands for: a value, or a macro with the file scope in which its body is read."""

    kind: EntryKind
    span: Span | None
    value: Value | None = None
    macro: tree.Macro | None = None
    home: Scope | None = None
    is_imported: bool = False
    is_used: bool = False


@dataclass
class Scope:
    """A scope: names, and the names around them.

    `later` are names which a line further down defines; `told` are names that mean nothing, as the reader knows by now.
    """

    outer: Scope | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    later: dict[str, Span] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def find(self, name: str) -> Entry | None:
        """The entry of a name, marked as used."""
        scope: Scope | None = self
        while scope is not None:
            if (entry := scope.entries.get(name)) is not None:
                entry.is_used = True
                return entry
            scope = scope.outer
        return None

    def find_later(self, name: str) -> Span | None:
        """Where a name will be defined, if it will."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.later:
                return scope.later[name]
            scope = scope.outer
        return None

    def names(self) -> Iterator[str]:
        """Every name that can be seen from here, nearest scope first."""
        yield from (name for name in self.entries if name not in self.told)
        yield from (name for name in (self.outer.names() if self.outer else ()) if name not in self.entries)

    def declare(self, name: str, entry: Entry, report: Report) -> bool:
        """Add a name; False, and a diagnostic, where it is taken or may not be one."""
        span = entry.span or Span(report.source, 0, 0)
        if not check_new_name(name, span, entry.kind, report):
            self.leave_broken(name, span)
            return False
        if (first := self.entries.get(name)) is not None:
            related = [Label(first.span, "first defined here")] if first.span else []
            report.error("duplicate-name", f"`{name}` is defined twice", span, related=related)
            return False
        self.entries[name] = entry
        return True

    def leave_broken(self, name: str, span: Span) -> None:
        """Let a name stand for a mistake that was told already, so that its uses are no further mistakes."""
        self.told.add(name)
        self.entries.setdefault(name, Entry("const", span, BROKEN))


def check_new_name(name: str, span: Span, kind: str, report: Report) -> bool:
    """May this name be given to something?"""
    if name in vocabulary.BUILT_IN:
        report.error(
            "redefined-builtin",
            f"`{name}` is a built-in name and cannot be redefined",
            span,
            helps=["leave it away: every attention has it"]
            if kind == "parameter" and name in ("q", "k", "v", "scale")
            else [f"choose another name, as `my_{name}`"],
        )
    elif name in vocabulary.RESERVED:
        why = "a word of the language" if name in LANGUAGE_WORDS else "a reserved word"
        report.error(
            "reserved-name", f"`{name}` is {why}", span, helps=[f"choose another name, as `my_{name}`"]
        )
    elif name.startswith("_"):
        report.error(
            "reserved-name", f"`{name}` starts with `_`, and such names are kept for emitted code", span
        )
    elif kind == "parameter" and name in vocabulary.CALL_WORDS:
        report.error(
            "reserved-name", f"`{name}` is an argument that every compiled attention has already", span
        )
    elif kind == "attention" and name in vocabulary.MODULE_WORDS:
        report.error("reserved-name", f"`{name}` is a name that every emitted module has already", span)
    else:
        return True
    return False


LANGUAGE_WORDS = frozenset((*vocabulary.CLAUSES, *vocabulary.TYPES, *vocabulary.GRAMMAR))


# ---- which one was meant ---------------------------------------------------------------------------


def did_you_mean(name: str, candidates: Iterable[str], report: Report) -> tuple[str, ...]:
    """A help line with the nearest names, if any is near and not too many were looked for in this file."""
    near = find_near(name, candidates, report.search)
    if not near:
        return ()
    ticked = [f"`{n}`" for n in near]
    listed = ticked[0] if len(ticked) == 1 else f"{', '.join(ticked[:-1])} or {ticked[-1]}"
    return (f"did you mean {listed}?",)


def find_near(name: str, candidates: Iterable[str], search: Search) -> tuple[str, ...]:
    """At most three candidates within a third of the name's length, nearest first."""
    reach = max(1, len(name) // 3)
    ranked: dict[str, int] = {}
    for candidate in candidates if search.goes_on else ():
        is_alike = abs(len(candidate) - len(name)) <= reach and len(candidate) <= 64
        if not search.spend(len(name) * len(candidate) if is_alike else 1):
            return ()
        if is_alike and candidate not in ranked:
            distance = 0 if candidate.lower() == name.lower() else edit_distance(name, candidate)
            if distance <= reach and (len(name) > 1 or distance == 0):
                ranked[candidate] = distance
    return tuple(sorted(ranked, key=lambda near: (ranked[near], near))[:3])


def edit_distance(a: str, b: str) -> int:
    """How many letters must be added, dropped, changed or swapped with their neighbor."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for m, x in enumerate(a, 1):
        last, row = row, [m] + [0] * len(b)
        for n, y in enumerate(b, 1):
            row[n] = min(last[n] + 1, row[n - 1] + 1, last[n - 1] + (x != y))
            if m > 1 and n > 1 and x == b[n - 2] and a[m - 2] == y:
                row[n] = min(row[n], before[n - 2] + 1)
        before = last
    return row[-1]
