"""The CPU path on a machine that others use: what busy processes beside it cost, by how much more than they cost torch.

Enters: options. Leaves: a table of how many times faster than torch's attention with the dense mask attnc is, alone and
beside busy processes, and the same as JSON in `bench/results/`. A pool of threads waits for its slowest: where torch
loses three times its speed, a path that loses four has lost 1.33 times its ratio.

    python bench/busy.py               # some minutes; nothing else may run
    python bench/busy.py --quick       # small sizes and few rounds: does it run?
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import torch
from cpu import RESULTS, Row, measure, window_cases

from attnc.bench.machine import find_versions, name_processor

TOKENS, WINDOW = (1024, 8192), 256


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that each want a processor for themselves."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_work, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work() -> None:
    number = 0
    while True:
        number = (number * 5 + 1) % 2**61


def rows_of(tokens: Sequence[int], window: int, rounds: int) -> list[Row]:
    return [row for case in window_cases(tokens, window, flex=False) for row in measure(case, rounds)]


def show(quiet: Row, busy: Row) -> str:
    """A line: how many times faster than the dense mask, alone and beside others, and what is lost of it."""
    alone, beside = quiet.faster["dense"], busy.faster["dense"]
    return (
        f"{quiet.case:24} {quiet.dtype:9} {quiet.direction:9} "
        f"alone {alone:6.2f}x  beside others {beside:6.2f}x  lost {alone / beside:5.2f}"
    )


def save(quiet: Sequence[Row], busy: Sequence[Row], processes: int, path: Path) -> None:
    """What was measured, and where."""
    found = {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": name_processor(),
        "threads": torch.get_num_threads(),
        "busy processes": processes,
        "versions": find_versions(),
        "rows": [
            {
                "case": alone.case,
                "dtype": alone.dtype,
                "direction": alone.direction,
                "alone": {"median": alone.median, "faster": alone.faster["dense"]},
                "beside others": {"median": beside.median, "faster": beside.faster["dense"]},
                "lost": alone.faster["dense"] / beside.faster["dense"],
            }
            for alone, beside in zip(quiet, busy, strict=True)
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="The CPU path beside busy processes, against torch's attention."
    )
    parser.add_argument("--processes", type=int, default=4, help="busy processes (default: 4)")
    parser.add_argument("--rounds", type=int, default=9, help="repeats of every call (default: 9)")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: does it run?")
    parser.add_argument("--output", type=Path, help="the JSON file (default: bench/results/busy.json)")
    options = parser.parse_args(arguments)
    tokens, window, rounds = ((256,), 64, 2) if options.quick else (TOKENS, WINDOW, options.rounds)
    quiet = rows_of(tokens, window, rounds)
    with busy_processes(options.processes):
        busy = rows_of(tokens, window, rounds)
    for alone, beside in zip(quiet, busy, strict=True):
        print(show(alone, beside), flush=True)
    if options.output or not options.quick:
        path = options.output or RESULTS / "busy.json"
        save(quiet, busy, options.processes, path)
        print(f"saved in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
