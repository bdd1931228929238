"""The benchmark of the CPU path runs, compares what it times, and writes what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent.parent.parent / "bench" / "cpu.py"


def test_a_small_run(tmp_path: Path) -> None:
    output = tmp_path / "cpu.json"
    options = ["--quick", "--no-flex", "--tokens", "96", "--output", str(output)]
    found = subprocess.run([sys.executable, str(PROGRAM), *options], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    *lines, last = found.stdout.splitlines()
    assert last == f"saved in {output}"
    saved = json.loads(output.read_text())
    assert len(saved["rows"]) == len(lines) == 2 * 2 + 4 * 2 + 4
    for line, row in zip(lines, saved["rows"], strict=True):
        assert line.startswith(row["case"]) and f" {row['dtype']} " in line
        assert all(len(times) == 2 and min(times) > 0 for times in row["rounds"].values())
        assert set(row["median"]) == {"attnc", *row["faster"]}
    assert {row["direction"] for row in saved["rows"]} == {"forward", "backward"}
