"""Tiles are chosen, and the module that was built with them launches them: a narrow example, for one GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import triton
from compilations import EXAMPLES, example

from attnc.cli import main
from attnc.compiler import Compilation
from attnc.inspect import Choices, choose, inspect
from attnc.inspect.candidates import find_candidates
from attnc.inspect.targets import SM_80, SM_90

pytestmark = pytest.mark.compiles


@pytest.fixture(scope="module")
def chosen() -> Choices:
    return choose(example("tree_decoding"), SM_90, widths=(64,))


def test_the_first_that_passes_is_chosen(chosen: Choices) -> None:
    """The forward pass of this mask is serialized or spills with larger tiles."""
    assert chosen.holds
    forward = chosen.choices[0]
    assert forward.kernel == "forward" and len(forward.trials) > 1
    assert all(trial.faults for trial in forward.trials[:-1])
    assert [trial.tile for trial in forward.trials] == find_candidates("forward", 64, SM_90)[
        : len(forward.trials)
    ]


def test_a_module_launches_what_was_chosen(chosen: Choices) -> None:
    compilation = example("tree_decoding")
    other = Compilation(compilation.source, replace(compilation.options, tiles=chosen.tiles))
    found = inspect(other, SM_90, head_dim=64)
    assert found.failures == ()
    tiles = {row.kernel: row.tile for row in chosen.tiles.rows}
    assert {k.kernel: (*k.tile, k.warps, k.stages) for k in found.kernels if k.tile} == tiles
    usual = inspect(compilation, SM_80, head_dim=64)
    on_another_card = inspect(other, SM_80, head_dim=64)
    assert on_another_card == usual


def test_choose_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(EXAMPLES / "causal.attn"), "--choose", "--head-dim", "64"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"causal for sm_90: bfloat16, Triton {triton.__version__}\n")
    assert out.count("passes: chosen") == 3
