"""All cases of an attention, on all backends.

Enters: a compilation, or the function of one. Leaves: a `Report`. The evaluator runs kernels some twenty times as fast
as Triton's interpreter does, so it takes the whole grid, and the interpreter a share, or what it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from queue import Queue
from typing import TYPE_CHECKING, cast

from attnc.errors import AttncError
from attnc.verify.cases import Backend, Case, plan_cases
from attnc.verify.report import Measurement, Report

if TYPE_CHECKING:
    from attnc.compiler import Compilation
    from attnc.run.function import AttentionFunction

BACKENDS: tuple[Backend, ...] = ("cpu", "numpy", "triton")
SHARE = 8  # of the cases of Triton's interpreter one in so many, unless it is asked for
FEW = 20  # so many cases take less time than processes to start
Progress = Callable[[int, int, Measurement], None]


def verify(
    what: Compilation | AttentionFunction,
    backends: Sequence[Backend] = (),
    *,
    quick: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Compare emitted code with the interpreter; `progress(done, of, last)` is told after every case.

    Without `backends`: the CPU path and the kernels by the evaluator, and unless `quick` a share of the cases of
    Triton's interpreter.
    """
    from attnc.compiler import Compilation
    from attnc.verify.inputs import is_square

    # A function keeps the compilation it was made of; that it is a whole one is known here, where both are.
    compilation = what if isinstance(what, Compilation) else cast(Compilation, what._compilation)
    square = is_square(compilation.attention)
    name = compilation.attention.name
    try:
        _ = compilation.module
    except AttncError as refused:
        return _check_meaning_alone(compilation, refused, plan_cases("cpu", square, quick))
    asked = backends or BACKENDS[:2]
    if not compilation.kernels.has_triton:
        asked = ("cpu",)
    cases = [case for backend in asked for case in plan_cases(backend, square, quick)]
    if not backends and not quick and "numpy" in asked:
        cases += plan_cases("triton", square)[::SHARE]
    is_here = len(cases) <= FEW and all(case.backend != "triton" for case in cases)
    found: list[Measurement] = []
    for measurement in _measure_here(compilation, cases) if is_here else _measure_all(compilation, cases):
        found.append(measurement)
        if progress:
            progress(len(found), len(cases), measurement)
    return Report(name, tuple(found), notes=_notes(compilation, not backends and not quick, found))


def _measure_here(compilation: Compilation, cases: Sequence[Case]) -> Iterator[Measurement]:
    from attnc.verify.measure import measure

    with _one_thread():
        yield from (measure(compilation, case) for case in cases)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small tensors on many threads wait for each other more than they compute."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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


def _notes(compilation: Compilation, has_share: bool, found: Sequence[Measurement]) -> tuple[str, ...]:
    notes = [
        "each cell is the largest error and its limit; limits are what rounding explains, replayed in float64"
    ]
    backends = {m.case.backend for m in found}
    if "numpy" in backends:
        notes.append("numpy: the kernels, run by attnc's own evaluator of their language")
    if has_share:
        notes.append(
            f"triton: one in {SHARE} of its cases, in Triton's interpreter; `--backend triton` takes all of them"
        )
    if "triton" in backends and "numpy" not in backends:
        notes.append(
            "Triton's interpreter multiplies bits of bfloat16 as integers: `--backend numpy` measures it"
        )
    if compilation.facts.rows.can_be_empty and not any(m.empty_rows for m in found):
        notes.append("a row may be empty, and none of the cases had one")
    if skipped := sum(m.is_skipped for m in found):
        notes.append(f"{skipped} cases were skipped: no values were found that the spec allows there")
    return tuple(notes)
