"""Machine code of the examples for GPUs that are not there: it exists, fits, and the limits of the gate hold."""

from __future__ import annotations

import pytest
from emitted import NAMES, report

from attnc.inspect.targets import TARGETS

pytestmark = pytest.mark.compiles


# Masks that ask much of every pair: an element of a matrix, divisions on both sides. The fixed tiles are too large for
# them; tiles that are chosen by what the compiler makes of a kernel will not be.
TOO_LARGE = {(name, d) for name in ("swin", "tree_decoding") for d in (64, 128)} | {("mvpa", 128)}
COSTLY = pytest.mark.xfail(
    strict=True, reason="the tiles are too large for what this mask keeps in registers"
)
# A pair at the edge is looked for in a row of a table, slot by slot: Triton copies nothing ahead in a loop with a loop.
SEARCHED = pytest.mark.xfail(strict=True, reason="the search in a row keeps the loop from being pipelined")
# Weights that cost next to nothing: the compiler waits for each product before it starts the next.
WAITS = pytest.mark.xfail(strict=True, reason="products of matrices are not asynchronous in the forward pass")


def _known_on_hopper(name: str, d: int) -> tuple[pytest.MarkDecorator, ...]:
    match name:
        case "bigbird":
            return (SEARCHED,)
        case "relu_squared":
            return (WAITS,)
    return (COSTLY,) if (name, d) in TOO_LARGE else ()


ON_HOPPER = [pytest.param(name, d, marks=_known_on_hopper(name, d)) for name in NAMES for d in (64, 128)]


@pytest.mark.parametrize(("name", "d"), ON_HOPPER)
def test_hopper(name: str, d: int) -> None:
    assert report(name, d=d).failures == ()


def test_hopper_with_padded_heads() -> None:
    assert report("sliding_window", d=96, DV=64).failures == ()


# Triton 3.9 ends with "shared-memory element type bit width must be a multiple of 8; got 1" where a tile of bools, one
# for each pair, changes its layout.
NO_TILE_OF_BOOLS = pytest.mark.xfail(strict=True, reason="gfx942: Triton cannot move a tile of bools")
KNOWN_ON_OTHERS = {("tree_decoding", "gfx942"): NO_TILE_OF_BOOLS, ("bigbird", "sm_80"): SEARCHED}
ON_OTHERS = [
    pytest.param(name, target, marks=KNOWN_ON_OTHERS.get((name, target), ()))
    for name in NAMES
    for target in ("sm_80", "gfx942")
]


@pytest.mark.parametrize("d", [64, 128])
@pytest.mark.parametrize(("name", "target"), ON_OTHERS)
def test_other_gpus(name: str, target: str, d: int) -> None:
    """Some of the tiles for cards of any size spill; the rest of the gate holds."""
    assert {verdict.limit for verdict in report(name, TARGETS[target], d).failures} <= {"spills", "local"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["gemma2_local", "t5_bias"])
def test_wide_heads_fit(name: str, target: str) -> None:
    assert "shared" not in {verdict.limit for verdict in report(name, TARGETS[target], 256).failures}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("d", [64, 256])
def test_float32_fits(d: int, target: str) -> None:
    found = report("sliding_window", TARGETS[target], d, "float32").failures
    assert "shared" not in {verdict.limit for verdict in found}
