"""The benchmark beside busy processes runs, ends them, and writes what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent.parent / "bench" / "busy.py"


def test_a_small_run(tmp_path: Path) -> None:
    output = tmp_path / "busy.json"
    options = ["--quick", "--processes", "1", "--output", str(output)]
    found = subprocess.run([sys.executable, str(PROGRAM), *options], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    *lines, last = found.stdout.splitlines()
    assert last == f"saved in {output}"
    saved = json.loads(output.read_text())
    assert len(saved["rows"]) == len(lines) == 2 * 2
    for line, row in zip(lines, saved["rows"], strict=True):
        assert line.startswith(row["case"]) and f"lost {row['lost']:5.2f}" in line
        assert row["lost"] == pytest.approx(row["alone"]["faster"] / row["beside others"]["faster"])
