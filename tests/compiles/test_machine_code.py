"""Machine code of the examples for GPUs that are not there: it exists, fits, and the limits of the gate hold."""

from __future__ import annotations

import pytest
from compilations import WITH_KERNELS
from emitted import report
from turns import in_turn

from attnc.inspect.targets import SM_100, TARGETS

pytestmark = pytest.mark.compiles


@pytest.mark.parametrize("d", [64, 128])
@pytest.mark.parametrize("name", WITH_KERNELS)
def test_hopper(name: str, d: int) -> None:
    assert report(name, d=d).failures == ()


def test_hopper_with_padded_heads() -> None:
    assert report("sliding_window", d=96, DV=64).failures == ()


@pytest.mark.parametrize("name", ["causal", "gemma2_local"])
def test_blackwell(name: str) -> None:
    """Its registers are less crowded: accumulators have a memory of their own."""
    assert report(name, SM_100, d=128).failures == ()


# Triton 3.9 ends with "shared-memory element type bit width must be a multiple of 8; got 1" where a tile of bools, one
# for each pair, changes its layout.
NO_TILE_OF_BOOLS = pytest.mark.xfail(strict=True, reason="gfx942: Triton cannot move a tile of bools")
KNOWN_ON_OTHERS = {("tree_decoding", "gfx942", 64): NO_TILE_OF_BOOLS}
ON_OTHERS = [
    pytest.param(name, target, d, marks=KNOWN_ON_OTHERS.get((name, target, d), ()))
    for d in (64, 128)
    for name in WITH_KERNELS
    for target in ("sm_80", "gfx942")
]


@pytest.mark.parametrize(("name", "target", "d"), in_turn(ON_OTHERS))
def test_other_gpus(name: str, target: str, d: int) -> None:
    """Some of the tiles for cards of any size spill; the rest of the gate holds."""
    assert {verdict.limit for verdict in report(name, TARGETS[target], d).failures} <= {"spills", "local"}


# The other targets are built for as one of these.
EACH = ("sm_90", "sm_100", "sm_80", "gfx942")


@pytest.mark.parametrize("target", EACH)
@pytest.mark.parametrize("name", ["gemma2_local", "t5_bias"])
def test_wide_heads_fit(name: str, target: str) -> None:
    found = report(name, TARGETS[target], 256).failures
    assert {"shared", "tensor"}.isdisjoint(verdict.limit for verdict in found)


@pytest.mark.parametrize("target", EACH)
@pytest.mark.parametrize("d", [128, 256])
def test_float32_fits(d: int, target: str) -> None:
    found = report("sliding_window", TARGETS[target], d, "float32").failures
    assert "shared" not in {verdict.limit for verdict in found}
