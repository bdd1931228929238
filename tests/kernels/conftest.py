"""What measures a case: this process, and for Triton's interpreter one in which Triton interprets.

`triton.jit` decides when it is imported, so this process must not be one. The other starts with the first case that
needs it, and serves all tests of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from kernel_checks import Measure

from attnc.compiler import Compilation
from attnc.verify.cases import Case
from attnc.verify.measure import measure as measure_here
from attnc.verify.report import Measurement
from attnc.verify.worker import Worker


@pytest.fixture(scope="session")
def measure() -> Iterator[Measure]:
    workers: list[Worker] = []
    with ExitStack() as stack:

        def by_backend(compilation: Compilation, case: Case) -> Measurement:
            if case.backend != "triton":
                return measure_here(compilation, case)
            if not workers:
                workers.append(stack.enter_context(Worker()))
            return workers[0].measure(compilation, case)

        yield by_backend
