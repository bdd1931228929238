"""What was measured.

Enters: measurements. Leaves: a `Report` for programs, a table for people, and JSON between processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from attnc.verify.cases import Case

COLUMNS = ("out", "lse", "dq", "dk", "dv")


@dataclass(frozen=True)
class Quantity:
    """The largest difference of a result from the interpreter's, and what rounding explains of it."""

    name: str
    error: float
    limit: float

    @property
    def holds(self) -> bool:
        return self.error <= self.limit

    def __str__(self) -> str:
        return f"{_short(self.error)}/{_short(self.limit)}" + "!" * (not self.holds)


@dataclass(frozen=True)
class Measurement:
    """One case. A `problem` says what kept it from being computed; it is a failure unless `is_skipped`."""

    case: Case
    quantities: tuple[Quantity, ...] = ()
    empty_rows: int = 0
    problem: str = ""
    is_skipped: bool = False

    @property
    def holds(self) -> bool:
        return self.is_skipped or (not self.problem and all(q.holds for q in self.quantities))

    @property
    def label(self) -> str:
        """The case in a few words."""
        c = self.case
        words = [f"N={c.N}", f"M={c.M}", f"D={c.D}/{c.DV}", f"H={c.H}/{c.HKV}", f"B={c.B}"]
        words += [c.layout] * (c.layout != "contiguous")
        words += [f"tile={c.tile[0]}x{c.tile[1]}", c.unit] * (c.backend != "cpu")
        words += [f"splits={c.splits}"] * bool(c.splits)
        words += [f"scale={c.scale}"] * (c.scale is not None)
        return " ".join([*words, *(f"{name}={value}" for name, value in c.numbers)])

    def __str__(self) -> str:
        mark = "skip" if self.is_skipped else "ok" if self.holds else "FAIL"
        said = self.problem or ", ".join(f"{q.name} {q}" for q in self.quantities)
        return f"{mark} {self.case.backend} {self.case.dtype} {self.label}: {said}"


@dataclass(frozen=True)
class Report:
    """All measurements of one attention. `no_kernel` says why there was no emitted code to compare."""

    name: str
    measurements: tuple[Measurement, ...]
    no_kernel: str = ""
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Was there something to compare, and did every comparison hold?"""
        compared = any(m.quantities for m in self.measurements)
        return compared and not self.no_kernel and all(m.holds for m in self.measurements)

    @property
    def failures(self) -> tuple[Measurement, ...]:
        return tuple(m for m in self.measurements if not m.holds)

    def __str__(self) -> str:
        lines = [*_table(self.measurements), ""] if self.measurements else []
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, self.summary])

    @property
    def summary(self) -> str:
        if self.no_kernel:
            return f"{self.name}: nothing to compare: {self.no_kernel}"
        compared = [m for m in self.measurements if m.quantities]
        by_dtype: dict[str, float] = {}
        for m in compared:
            key = f"{m.case.backend} {m.case.dtype}"
            shares = [q.error / q.limit for q in m.quantities if q.limit]
            by_dtype[key] = max([by_dtype.get(key, 0.0), *shares])
        worst = ", ".join(f"{key} {share:.0%}" for key, share in by_dtype.items())
        verdict = "all hold" if not self.failures else f"{len(self.failures)} FAIL"
        return (
            f"{self.name}: {len(self.measurements)} cases, {verdict}; the largest share of a limit: {worst}"
        )


def _table(measurements: Sequence[Measurement]) -> list[str]:
    rows = [["", "backend", "dtype", *COLUMNS, "arrays", "case"]]
    for m in measurements:
        cells = {q.name: str(q) for q in m.quantities if q.name in COLUMNS}
        arrays = " ".join(f"{q.name[2:]} {q}" for q in m.quantities if q.name not in COLUMNS)
        end = f"{m.label}: {m.problem}" if m.problem else m.label
        end += f" ({m.empty_rows} empty rows)" if m.empty_rows else ""
        mark = "skip" if m.is_skipped else "ok" if m.holds else "FAIL"
        results = [cells.get(name, "") for name in COLUMNS]
        rows.append([mark, m.case.backend, m.case.dtype, *results, arrays, end])
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short(x: float) -> str:
    return f"{x:.0e}".replace("e-0", "e-").replace("e+0", "e") if x else "0"


def to_json(measurement: Measurement) -> dict[str, Any]:
    """A measurement as JSON holds it."""
    return asdict(measurement)


def from_json(data: Mapping[str, Any]) -> Measurement:
    """The measurement that `to_json` wrote."""
    quantities = tuple(Quantity(**q) for q in data["quantities"])
    return Measurement(**{**data, "case": case_from_json(data["case"]), "quantities": quantities})


def case_from_json(data: Mapping[str, Any]) -> Case:
    """The case that `dataclasses.asdict` wrote; JSON has lists where it has tuples."""
    named = {f.name for f in fields(Case)}
    values = {name: _tuples(value) for name, value in data.items() if name in named}
    return Case(**values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
