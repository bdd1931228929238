"""The report of a benchmark, for people and for programs.

Enters: milliseconds, differences, reasons. Leaves: a `Report`, its table and its JSON.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite

from attnc.bench.contenders import LeftOut

Number = int | float | bool
COLUMNS = ("", "", "median", "fastest", "slowest", "to attnc's", "difference")


@dataclass(frozen=True)
class Row:
    """One contender in one direction: milliseconds of every round, and how far it is from what is expected.

    Who is farther than `limit` computes something else, and has no rounds.
    """

    direction: str
    contender: str
    difference: float
    limit: float
    rounds: tuple[float, ...] = ()

    @property
    def agrees(self) -> bool:
        return self.difference <= self.limit

    @property
    def median(self) -> float | None:
        return statistics.median(self.rounds) if self.rounds else None


@dataclass(frozen=True)
class Report:
    """All contenders of one call. `judge` is whose values the others are compared with."""

    name: str
    device: str
    versions: Mapping[str, str]
    dtype: str
    numbers: Mapping[str, Number]
    made_up: tuple[tuple[str, str], ...]
    judge: str
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...] = ()
    rounds: int = field(default=0)

    @property
    def holds(self) -> bool:
        """Do all contenders agree?"""
        return all(row.agrees for row in self.rows)

    def ratio(self, row: Row) -> float | None:
        """How many times as long as attnc it takes: above 1, attnc is faster."""
        own = next(
            (r.median for r in self.rows if (r.direction, r.contender) == (row.direction, "attnc")), None
        )
        return None if row.median is None or own is None else row.median / own

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        lines = [
            f"{self.name}: {self.dtype}, {say_numbers(self.numbers)}",
            f"{self.device}; {versions}",
            f"milliseconds, {self.rounds} round{'s' * (self.rounds != 1)}; values against those of {self.judge}",
            "",
            *_table(COLUMNS, [self._cells(n, row) for n, row in enumerate(self.rows)]),
            "",
            *(f"note: made up: `{name}`, {what}" for name, what in self.made_up),
        ]
        for row in self.rows:
            if not row.agrees:
                lines.append(
                    f"FAIL: {row.contender}, {row.direction}: differs by {row.difference:.0e} of the largest number "
                    f"(limit {row.limit:.0e}); it is not timed"
                )
        for each in self.left_out:
            where = "" if each.direction == "both" else f", {each.direction}"
            lines.append(f"left out: {each.contender}{where}: {each.why}")
        while not lines[-1]:
            lines.pop()
        return "\n".join(lines)

    def _cells(self, number: int, row: Row) -> list[str]:
        first = number == 0 or self.rows[number - 1].direction != row.direction
        times = [row.median, min(row.rounds), max(row.rounds)] if row.rounds else [None] * 3
        ratio = self.ratio(row)
        return [
            row.direction if first else "",
            row.contender,
            *map(say_milliseconds, times),
            "-" if ratio is None else f"{ratio:.2f}",
            "-" if row.contender == self.judge else f"{row.difference:.0e}",
        ]

    def to_json(self) -> str:
        """All of it, with medians and ratios."""
        rows = [
            {**asdict(row), "difference": _finite(row.difference), "agrees": row.agrees,
             "median": row.median, "ratio": self.ratio(row)}
            for row in self.rows
        ]  # fmt: skip
        found = {**asdict(self), "made_up": dict(self.made_up), "rows": rows, "holds": self.holds}
        return json.dumps(found, indent=2)


def say_numbers(numbers: Mapping[str, Number]) -> str:
    """Sizes and numbers, those that are equal and belong together as one: `N = M = 8192`."""
    left = dict(numbers)
    words: list[str] = []
    for a, b in (("N", "M"), ("B", ""), ("H", "HKV"), ("D", "DV")):
        value, other = left.pop(a), left.pop(b, None)
        if value == other:
            words.append(f"{a} = {b} = {value}")
        else:
            words += [f"{name} = {x}" for name, x in ((a, value), (b, other)) if x is not None]
    words += [f"{name} = {str(x).lower() if isinstance(x, bool) else x}" for name, x in left.items()]
    return ", ".join(words)


def say_milliseconds(milliseconds: float | None) -> str:
    """Three digits that mean something."""
    if milliseconds is None:
        return "-"
    digits = 3 if milliseconds < 1 else 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    return f"{milliseconds:.{digits}f}"


def _finite(x: float) -> float | None:
    """JSON has no infinity."""
    return x if isfinite(x) else None


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Words to the left, numbers to the right."""
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]
    return [
        "  ".join(
            f"{cell:<{w}}" if n < 2 else f"{cell:>{w}}"
            for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
