"""Lists of tiles and places in arrays are never those of an array as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from in_place import SPECS, differences

HERE = Path(__file__).parent


def assert_right(found: dict[str, dict[str, float]], most: float) -> None:
    assert found.keys() == SPECS.keys()
    for name, said in found.items():
        assert max(said["before"], said["after"]) < most, (name, said)
        assert said["back"] == 0.0, (name, said)
        assert said["change"] > 0.1, f"{name}: nothing was changed"
        assert said["refused"] == 1.0, name


def test_on_the_cpu() -> None:
    assert_right(differences("cpu"), 1e-12)


def test_by_the_kernels() -> None:
    path = os.pathsep.join([str(HERE.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.run(
        [sys.executable, str(HERE / "in_place.py"), "triton"],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert_right(json.loads(process.stdout), 1e-4)
