"""A process in which Triton kernels are interpreted, for all tests of a run: this process must not be one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from attnc.verify.worker import Worker


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    with Worker() as process:
        yield process
