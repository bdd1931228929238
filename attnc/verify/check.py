"""All cases of an attention, on all backends.

Enters: a compilation, or the function of one. Leaves: a `Report`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import Queue
from typing import TYPE_CHECKING, cast

from attnc.errors import AttncError
from attnc.verify.cases import Backend, Case, plan_cases
from attnc.verify.report import Measurement, Report

if TYPE_CHECKING:
    from attnc.compiler import Compilation
    from attnc.run.function import AttentionFunction

BACKENDS: tuple[Backend, ...] = ("cpu", "triton")
Progress = Callable[[int, int], None]


def verify(
    what: Compilation | AttentionFunction,
    backends: Sequence[Backend] = BACKENDS,
    *,
    quick: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Compare emitted code with the interpreter; `progress(done, of)` is told after every case."""
    from attnc.compiler import Compilation
    from attnc.verify.inputs import is_square

    # A function keeps the compilation it was made of; that it is a whole one is known here, where both are.
    compilation = what if isinstance(what, Compilation) else cast(Compilation, what._compilation)
    square = is_square(compilation.attention)
    cases = [case for backend in backends for case in plan_cases(backend, square, quick)]
    name = compilation.attention.name
    try:
        _ = compilation.module
    except AttncError as refused:
        return _check_meaning_alone(compilation, refused, plan_cases("cpu", square, quick))
    found: list[Measurement] = []
    for measurement in _measure_all(compilation, cases):
        found.append(measurement)
        if progress:
            progress(len(found), len(cases))
    return Report(name, tuple(found), notes=_notes(compilation, backends, found))


def _measure_all(compilation: Compilation, cases: Sequence[Case]) -> Iterator[Measurement]:
    """In the order of the cases, by as many processes as there are processors, up to four."""
    from attnc.verify.worker import Worker

    with ExitStack() as stack:
        workers: Queue[Worker] = Queue()
        for _ in range(min(os.cpu_count() or 1, 4, len(cases))):
            workers.put(stack.enter_context(Worker()))

        def measure_one(case: Case) -> Measurement:
            worker = workers.get()
            try:
                return worker.measure(compilation, case)
            finally:
                workers.put(worker)

        pool = stack.enter_context(ThreadPoolExecutor(workers.qsize()))
        yield from pool.map(measure_one, cases)


def _check_meaning_alone(compilation: Compilation, refused: AttncError, cases: Sequence[Case]) -> Report:
    """Without a kernel there is only the interpreter: are its results finite, and of the right shapes?"""
    from attnc.verify.measure import find_calls

    found = [next(find_calls(compilation, case), None) for case in cases]
    computed = sum(each is not None for each in found)
    note = f"the interpreter computed {computed} of {len(cases)} calls, all finite"
    return Report(compilation.attention.name, (), refused.diagnostics[0].message, (note,))


def _notes(
    compilation: Compilation, backends: Sequence[Backend], found: Sequence[Measurement]
) -> tuple[str, ...]:
    notes = [
        "each cell is the largest error and its limit; limits are what rounding explains, replayed in float64"
    ]
    if "triton" in backends:
        notes.append(
            "bfloat16 is measured on the CPU path alone: Triton's interpreter multiplies its bits as integers"
        )
    if compilation.facts.rows.can_be_empty and not any(m.empty_rows for m in found):
        notes.append("a row may be empty, and none of the cases had one")
    if skipped := sum(m.is_skipped for m in found):
        notes.append(f"{skipped} cases were skipped: no values were found that the spec allows there")
    return tuple(notes)
