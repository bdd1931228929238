"""A schedule is a room: one more line in the table, and the compiler builds, explains and verifies with it."""

from __future__ import annotations

import re

import pytest
import torch
from compilations import EXAMPLES
from every_tile import EVERY_TILE
from keeps_more import KEEPS_MORE
from kernel_checks import Measure, assert_holds
from torch import Tensor

from attnc.compiler import Compilation
from attnc.lower import schedules
from attnc.run.loader import load_module
from attnc.source import Source
from attnc.syntax.reading import read_source
from attnc.verify.cases import Case

CASES = [
    Case("cpu", "float64", 37, 37, 16, 8, 4, 2, 2, variant=1),
    Case("numpy", "float32", 37, 37, 16, 16, 4, 2, 1, variant=1, tile=(16, 16)),
]
MASKED = ["sliding_window", "packed_documents", "bigbird", "block_diffusion", "lssar"]


def compiled(name: str) -> Compilation:
    """A compilation of its own: stages are kept."""
    return Compilation(read_source(EXAMPLES / f"{name}.attn"))


@pytest.fixture
def _with_every_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schedules.SCHEDULES, "auto", (EVERY_TILE, *schedules.SCHEDULES["auto"]))


@pytest.mark.usefixtures("_with_every_tile")
@pytest.mark.parametrize("name", MASKED)
def test_a_schedule_of_a_few_lines(measure: Measure, name: str) -> None:
    compilation = compiled(name)
    assert compilation.plan.schedule is EVERY_TILE
    assert re.search(
        r"^plan +every_tile: the tiled kernels, over every tile$", compilation.explain(), re.MULTILINE
    )
    assert "EDGE=False" not in compilation.show("kernel")
    for case in CASES:
        assert_holds(measure(compilation, case))


@pytest.mark.usefixtures("_with_every_tile")
def test_who_refuses_says_why() -> None:
    plan = compiled("t5_bias").plan
    assert plan.schedule.name == "tiled"
    assert plan.because[0].text == "not every_tile: there is no mask"


SPEC = """
attention near(slope: float[H], w: int = 9):
    mask   j <= i and i - j < w
    score  dot(q, k) * scale - slope[h] * (i - j)
"""


def results_of(compilation: Compilation) -> list[Tensor]:
    """Result, log-sum-exp and gradients of one call."""
    torch.manual_seed(0)
    shapes = ((2, 4, 37, 16), (2, 2, 41, 16), (2, 2, 41, 8), (4,))
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    near = vars(load_module("near", compilation.module))["near"]
    out, lse = near(*given[:3], slope=given[3], return_lse=True)
    return [out, lse, *torch.autograd.grad(out.square().sum() + lse.sin().sum(), given)]


def test_a_schedule_brings_its_own_results_and_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator leaves and saves is said by the schedule: nothing that prints or registers knows of it."""
    expected = results_of(Compilation(Source("near.attn", SPEC)))
    monkeypatch.setitem(schedules.SCHEDULES, "auto", (KEEPS_MORE, *schedules.SCHEDULES["auto"]))
    compilation = Compilation(Source("near.attn", SPEC))
    text = compilation.module
    assert compilation.plan.schedule is KEEPS_MORE
    assert "out, lse, kept, *_ = _attention(" in text
    assert "    out, _, kept, row_max, row_weight = output\n" in text
    assert "    ctx.save_for_backward(*inputs[:4], out, kept, row_weight)\n" in text
    assert "triton" not in text.split("\nimport torch\n")[1]
    for found, known in zip(results_of(compilation), expected, strict=True):
        assert torch.equal(found, known)


def test_the_table_chooses_the_first_that_fits() -> None:
    assert [each.name for each in schedules.SCHEDULES["auto"]] == ["products", "chunked", "tiled"]
    assert compiled("causal").plan.schedule is schedules.TILED
