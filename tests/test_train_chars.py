"""The example that trains a model: the compiled module and the interpreter agree, and the model learns."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent / "examples" / "train_chars.py"
ROW = re.compile(r" *(\d+) +([\d.]+)(?: +([\d.]+) +([\d.e+-]+))? +[\d.]+$")


@pytest.mark.slow
def test_both_losses_fall_and_agree(tmp_path: Path) -> None:
    options = "--steps 30 --reference-steps 3 --context 40 --batch 4 --characters 100000 --seed 1"
    found = subprocess.run(
        [sys.executable, str(PROGRAM), *options.split()], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    *_, verdict = found.stdout.splitlines()
    rows = {int(row[1]): row for row in map(ROW.match, found.stdout.splitlines()) if row}
    assert sorted(rows) == [1, 2, 3, 25, 30]
    for step in (1, 2, 3):
        assert abs(float(rows[step][2]) - float(rows[step][3])) < 1e-5
        assert 0 < float(rows[step][4]) < 1e-5  # two computations, not one
    losses = [float(row[2]) for row in rows.values()]
    assert losses[0] > losses[1] > losses[3] > 0
    assert losses[-1] < losses[0] - 1
    assert verdict.startswith("the compiled module and the interpreter agree: their losses differ by ")
