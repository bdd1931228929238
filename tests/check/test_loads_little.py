"""A check loads none of the heavy libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

PROGRAM = """
import sys
from attnc.check import find_mistakes
from attnc.syntax.parser import parse_file
from attnc.syntax.reading import read_source

(found,) = find_mistakes(parse_file(read_source("examples/t5_bias.attn"))).attentions
heavy = {"torch", "triton", "sympy", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_check_loads_no_torch() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, check=True)
