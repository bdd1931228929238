"""A schedule is a room: one more line in the table, and the compiler builds, explains and verifies with it."""

from __future__ import annotations

import re

import pytest
from compilations import EXAMPLES
from every_tile import EVERY_TILE
from kernel_checks import Measure, assert_holds

from attnc.compiler import Compilation
from attnc.lower import schedules
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
    monkeypatch.setattr(schedules, "SCHEDULES", (EVERY_TILE, *schedules.SCHEDULES))


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


def test_the_table_chooses_the_first_that_fits() -> None:
    assert [each.name for each in schedules.SCHEDULES] == ["tiled"]
    assert compiled("causal").plan.schedule is schedules.TILED
