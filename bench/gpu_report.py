"""What `gpu.py` found, for people and for programs.

Enters: rows of cases. Leaves: lines of a table, JSON, and the rates of a GPU: operations and bytes in a second.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from gpu_cases import Case

from attnc.bench.call import Call
from attnc.bench.contenders import LeftOut
from attnc.bench.machine import find_versions, name_device
from attnc.bench.report import Row, say_milliseconds
from attnc.compiler import Compilation
from attnc.run.cost import Setting, find_cost

TILE = 128
# How far from float64, in the norm: bfloat16 rounds to 2^-9 of what it holds, inputs of products and results.
LIMIT = 1e-2


@dataclass(frozen=True)
class Work:
    """What a call has to do: visible pairs, pairs in tiles of 128 x 128 that hold one, bytes that are read at least."""

    pairs: float
    tile_pairs: float
    read: int
    widths: tuple[int, int]

    def operations(self, direction: str, pairs: float) -> float:
        """Two for each product: q k and p v; and dv, dp, dq, dk with q k once more."""
        d, dv = self.widths
        return 2 * pairs * (d + dv if direction == "forward" else 3 * d + 2 * dv)


@dataclass
class Result:
    """One case: its rows, how far attnc is from double precision, and what went wrong."""

    case: Case
    numbers: Mapping[str, Any]
    work: Work | None = None
    errors: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    problem: str = ""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return not self.problem and all(x <= LIMIT for x in self.errors.values()) and all(
            row.agrees for row in self.rows
        )  # fmt: skip


def find_work(compilation: Compilation, call: Call) -> Work:
    """The masks here are the same for every head and batch entry."""
    sizes = call.sizes
    values = {name: x[:1].cpu() if isinstance(x, torch.Tensor) else x for name, x in call.values.items()}
    cost = find_cost(compilation.facts, values | {"b": 0, "h": 0}, Setting({}, (TILE, TILE)))
    heads = sizes["B"] * sizes["H"]
    every = heads * sizes["N"] * sizes["M"]
    read = sum(x.numel() * x.element_size() for x in (call.q, call.k, call.v))
    return Work(cost.density[1] * every, cost.work * every, read, (sizes["D"], sizes["DV"]))


def show(result: Result) -> Iterator[str]:
    """The lines of a case."""
    errors = ", ".join(f"{name} {x:.0e}" for name, x in result.errors.items())
    yield f"{result.case.name}  ({result.seconds:.0f} s; against float64: {errors or 'not reached'})"
    if result.problem:
        yield f"    FAIL: {result.problem}"
    for name, x in result.errors.items():
        if x > LIMIT:
            yield f"    FAIL: {name} differs from float64 by {x:.0e} of its norm (limit {LIMIT:.0e})"
    for row in result.rows:
        yield f"    {row.direction:9} {row.contender:12} {_cells(result, row)}".rstrip()
    for each in result.left_out:
        yield f"    left out: {each.contender}, {each.direction}: {each.why}"


def _cells(result: Result, row: Row) -> str:
    if not row.agrees:
        return f"FAIL: differs from attnc by {row.difference:.0e} of the largest number, and is not timed"
    found = figures(result, row)
    cells = [f"{say_milliseconds(row.median):>8} ms"]
    cells += [f"{found['ratio']:6.2f}x"] if found["ratio"] is not None else [7 * " "]
    for name, unit in (("tflops", "TFLOP/s"), ("tile_tflops", "by tiles"), ("read_tb_s", "TB/s")):
        if found[name] is not None:
            cells.append(f"{found[name]:7.2f} {unit}" if unit == "TB/s" else f"{found[name]:6.0f} {unit}")
    return "  ".join(cells)


def figures(result: Result, row: Row) -> dict[str, float | None]:
    """Ratio to attnc's time; where it goes by pairs, rates: of visible ones, of pairs in tiles, of what is read."""
    own = next(
        (r.median for r in result.rows if (r.direction, r.contender) == (row.direction, "attnc")), None
    )
    found = dict[str, float | None].fromkeys(("ratio", "tflops", "tile_tflops", "read_tb_s"))
    if row.median is None:
        return found
    found["ratio"] = row.median / own if own else None
    if result.work is None:
        return found
    work, tera_per_ms = result.work, 1e-9 / row.median
    return found | {
        "tflops": work.operations(row.direction, work.pairs) * tera_per_ms,
        "tile_tflops": work.operations(row.direction, work.tile_pairs) * tera_per_ms,
        "read_tb_s": work.read * tera_per_ms,
    }


def save(results: Sequence[Result], not_reached: Sequence[str], device: torch.device, path: Path) -> None:
    """What was measured, and where: JSON, and the table beside it."""
    head = {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": name_device(device),
        "versions": find_versions() | {"cuda": torch.version.cuda},
        "limit": LIMIT,
        "no_time_for": list(not_reached),
    }
    cases = [
        {
            "case": result.case.name,
            "spec": result.case.spec,
            "numbers": dict(result.numbers),
            "work": asdict(result.work) if result.work else None,
            "against_float64": {n: x if x < float("inf") else None for n, x in result.errors.items()},
            "holds": result.holds,
            "problem": result.problem,
            "seconds": result.seconds,
            "rows": [
                {"direction": row.direction, "contender": row.contender, "agrees": row.agrees,
                 "rounds": row.rounds, "median": row.median, **figures(result, row)}
                for row in result.rows
            ],
            "left_out": [asdict(each) for each in result.left_out],
        }
        for result in results
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**head, "cases": cases}, indent=2) + "\n")
    lines = [f"{name}: {value}" for name, value in head.items()]
    lines += ["", *(line for result in results for line in show(result))]
    path.with_suffix(".txt").write_text("\n".join(lines) + "\n")
