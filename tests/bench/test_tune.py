"""Tiles by the clock: the fastest that was seen, each timed with its own tile in its own direction."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from attnc.bench import check_card
from attnc.cli import main
from attnc.errors import AttncError

PROGRAM = """
import sys
import torch
from attnc.bench import make_call, refine
from attnc.compiler import Compilation
from attnc.options import DEFAULTS
from attnc.run.loader import load_module
from attnc.source import Source
from attnc.tiles import ChosenTile, ChosenTiles, Tile

text = "attention near(window: int = 9):\\n    mask j <= i and i - j < window\\n"
compilation = Compilation(Source("near.attn", text), DEFAULTS)
module = load_module("near", compilation.module)
usual, cpu, seen = module._table, torch.device("cpu"), []
one, two, three = Tile(16, 16, 4, 1), Tile(32, 16, 4, 1), Tile(16, 32, 4, 2)
rows = tuple(ChosenTile(kernel, 64, one) for kernel in ("forward", "backward_keys", "backward_queries"))
candidates = {("forward", 64): (one, two), ("backward_keys", 64): (two, one, three), ("backward_queries", 64): (one,)}
costs = {one: 3.0, two: 1.0, three: 2.0}


def call_of(width):
    given = {"N": 20, "M": 20, "D": width, "DV": width, "H": 1}
    return make_call(compilation.attention, compilation.facts, cpu, torch.float32, given)


def clock(call):
    table = module._table(call_of(64).q)
    result = call()
    direction = "forward" if isinstance(result, torch.Tensor) else "backward"
    seen.append((direction, table["forward"][64], table["backward_keys"][64], table["backward_queries"][64]))
    kernel = "forward" if direction == "forward" else "backward_keys"
    return costs[table[kernel][64]]


tiles, timed = refine(compilation, ChosenTiles("sm_90", "0", rows), candidates, call_of, clock)
assert [(row.kernel, row.tile) for row in tiles.rows] == [
    ("forward", two), ("backward_keys", two), ("backward_queries", one),
]
assert [(each.kernel, each.milliseconds) for each in timed] == [
    ("forward", {one: 3.0, two: 1.0}), ("backward_keys", {two: 1.0, one: 3.0, three: 2.0}),
]
assert str(timed[0]) == (
    "forward, heads 64 wide: 16 x 16, 4 warps, 1 stages: 3.000 ms, 32 x 16, 4 warps, 1 stages: 1.000 ms"
)
assert seen[:2] == [("forward", one, one, one), ("forward", two, one, one)]
assert seen[-3:] == [("backward", two, tile, one) for tile in (two, one, three)]
assert module._table is usual
print("done")
"""


def test_the_fastest_is_taken() -> None:
    """With kernels in Triton's interpreter, and a clock that knows what each tile takes."""
    command = [sys.executable, "-c", PROGRAM]
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr


def test_the_card_is_the_one_that_tiles_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    check_card("sm_80", device)
    with pytest.raises(AttncError, match="the GPU here is sm_80, not sm_90"):
        check_card("sm_90", device)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    card = SimpleNamespace(gcnArchName="gfx942:sramecc+:xnack-")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    check_card("gfx942", device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    path = f"{tmp_path}/near.attn"
    with open(path, "w") as file:
        file.write("attention near():\n    mask j <= i\n")
    assert main(["build", path, "-o", "-", "--arch", "sm_90", "--time"]) == 1
    assert capsys.readouterr().err == "error[wrong-device]: there is no GPU here that torch can use\n"
    assert main(["build", path, "-o", "-", "--time"]) == 2
    assert "--time is for the tiles that --arch chooses" in capsys.readouterr().err
