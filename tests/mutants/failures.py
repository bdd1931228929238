"""For pytest, in a run of one mutant: the tests that fail are written to the file that `FAILURES` names, one a line.

What cannot be set up is no failure of a test here.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.failed:
        with Path(os.environ["FAILURES"]).open("a", encoding="utf-8") as file:
            print(report.nodeid, file=file)
