"""One mutant: a mistake that somebody could make in the compiler, as a replacement of text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`before` stands once in `file`, and `after` in its place is wrong, or slower where a `reason` says so.

    One of `tests` has to fail then: they are what pytest is given, and `only` is its `-k`.
    """

    name: str
    breaks: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    only: str = ""
    reason: str = ""

    def arguments(self) -> list[str]:
        """Of pytest."""
        return [*self.tests, *(("-k", self.only) if self.only else ())]

    def applied(self, text: str) -> str | None:
        """The text of the file with the mistake in it; None where it does not apply."""
        return text.replace(self.before, self.after) if text.count(self.before) == 1 else None
