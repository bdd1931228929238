"""Machine code of the examples for GPUs that are not there: it exists, fits, and keeps nothing on the stack."""

from __future__ import annotations

import pytest
import torch
from cross import BF16, FP32, GFX942, SHARED_MEMORY, SM_80, SM_90, Code, compile_launch, find_launches
from emitted import NAMES, call_of, emit
from triton.backends.compiler import GPUTarget

pytestmark = pytest.mark.compiles
TARGETS = {"sm_90": SM_90, "sm_80": SM_80, "gfx942": GFX942}


def _compile(name: str, target: GPUTarget, dtype: torch.dtype, d: int, dv: int) -> list[Code]:
    launches = find_launches(emit(name), dtype, d, dv, target=target, **call_of(name))
    codes = [compile_launch(launch, target) for launch in launches]
    for code in codes:
        assert code.shared <= SHARED_MEMORY[target.arch], code.name
    return codes


def _assert_good_on_hopper(code: Code) -> None:
    """No number leaves its register, and every product of matrices runs on warp groups, fed by cp.async."""
    assert (code.name, code.spills) == (code.name, 0)
    assert not code.is_serialized, code.name
    if code.name == "delta":  # a sum of products, without matrices
        return
    assert code.loops, code.name
    for loop in code.loops:
        assert loop.count("HGMMA") > 0, code.name
        assert loop.count("HMMA", "LDL", "STL") == 0, code.name
        assert loop.count("LDGSTS") > 0, code.name


# Masks that ask much of every pair: a row of a table, an element of a matrix, divisions on both sides. The fixed tiles
# are too large for them; tiles that are chosen by what the compiler makes of a kernel will not be.
TOO_LARGE = {(name, d) for name in ("bigbird", "swin", "tree_decoding") for d in (64, 128)} | {("mvpa", 128)}
COSTLY = pytest.mark.xfail(
    strict=True, reason="the tiles are too large for what this mask keeps in registers"
)
# Weights that cost next to nothing: the compiler waits for each product before it starts the next.
NOT_ASYNCHRONOUS = {("relu_squared", 64), ("relu_squared", 128)}
WAITS = pytest.mark.xfail(strict=True, reason="products of matrices are not asynchronous in the forward pass")
ON_HOPPER = [
    pytest.param(
        name,
        d,
        marks=COSTLY if (name, d) in TOO_LARGE else WAITS if (name, d) in NOT_ASYNCHRONOUS else (),
    )
    for name in NAMES
    for d in (64, 128)
]


@pytest.mark.parametrize(("name", "d"), ON_HOPPER)
def test_hopper(name: str, d: int) -> None:
    for code in _compile(name, SM_90, BF16, d, d):
        _assert_good_on_hopper(code)


def test_hopper_with_padded_heads() -> None:
    for code in _compile("sliding_window", SM_90, BF16, 96, 64):
        _assert_good_on_hopper(code)


# Triton 3.9 ends with "shared-memory element type bit width must be a multiple of 8; got 1" where a tile of bools, one
# for each pair, changes its layout.
NO_TILE_OF_BOOLS = pytest.mark.xfail(strict=True, reason="gfx942: Triton cannot move a tile of bools")
ON_OTHERS = [
    pytest.param(
        name, target, marks=NO_TILE_OF_BOOLS if (name, target) == ("tree_decoding", "gfx942") else ()
    )
    for name in NAMES
    for target in ("sm_80", "gfx942")
]


@pytest.mark.parametrize("d", [64, 128])
@pytest.mark.parametrize(("name", "target"), ON_OTHERS)
def test_other_gpus(name: str, target: str, d: int) -> None:
    codes = _compile(name, TARGETS[target], BF16, d, d)
    products = "v_mfma" if target == "gfx942" else "HMMA"
    assert all(products in code.text for code in codes if code.name != "delta")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["gemma2_local", "t5_bias"])
def test_wide_heads_fit(name: str, target: str) -> None:
    assert _compile(name, TARGETS[target], BF16, 256, 256)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("d", [64, 256])
def test_float32_fits(d: int, target: str) -> None:
    assert _compile("sliding_window", TARGETS[target], FP32, d, d)
