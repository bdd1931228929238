"""For pytest, in a run of one mutant: the test that fails is written to the file that `FIRST_FAILURE` names.

What cannot be set up is no failure of a test here.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.failed:
        Path(os.environ["FIRST_FAILURE"]).write_text(report.nodeid, encoding="utf-8")
