"""The benchmark of packed documents runs, and its share is that of what it times."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent.parent.parent / "bench" / "documents.py"


def test_a_small_run(tmp_path: Path) -> None:
    output = tmp_path / "documents.json"
    options = ["--tokens", "512", "--rounds", "3", "--output", str(output)]
    found = subprocess.run(
        [sys.executable, str(PROGRAM), *options], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    saved = json.loads(output.read_text())
    pairs = list(zip(saved["bounds_ms"], saved["forward_ms"], strict=True))
    assert len(pairs) == 3 and all(b > 0 and f > 0 for b, f in pairs)
    assert saved["share"] == statistics.median(b / f for b, f in pairs)
    assert f"{100 * saved['share']:.2f} % of the forward call" in found.stdout
