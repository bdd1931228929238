"""What Triton's front end makes of the kernels of every example: no GPU, no machine code, milliseconds."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import product

import pytest
import torch
from cross import GFX942, SM_80, SM_90, assert_builds, find_launches, specialize
from emitted import NAMES, call_of, emit
from triton.compiler import CompilationError

from attnc.run.loader import load_module

every_example = pytest.mark.parametrize("name", NAMES)


@every_example
def test_every_kernel_builds(name: str) -> None:
    assert_builds(emit(name), d=64, **call_of(name))
    assert_builds(emit(name), d=80, dv=48, **call_of(name))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_dtype_builds(dtype: torch.dtype) -> None:
    assert_builds(emit("sliding_window"), dtype=dtype)


def test_a_call_launches_every_kernel_once() -> None:
    launches = [launch.name for launch in find_launches(emit("causal"))]
    assert launches == ["forward", "delta", "backward_keys", "backward_queries"]
    with pytest.raises(ValueError, match="needs 256 or less"):
        find_launches(emit("causal"), d=512)


def test_a_kernel_that_the_front_end_refuses_is_noticed() -> None:
    text = inspect.getsource(emit("causal"))
    carried = "acc = tl.zeros([BLOCK_Q, BLOCK_DV]"
    assert carried in text
    with pytest.raises(CompilationError):
        assert_builds(
            load_module("broken", text.replace(carried, "acc = tl.zeros([BLOCK_DV, BLOCK_Q]")), d=32
        )


# ---- one compilation serves every call -------------------------------------------------------------


def _keys(name: str, calls: Iterator[dict[str, object]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for call in calls:
        for launch in find_launches(emit(name), d=64, **call):
            found.setdefault(launch.name, set()).add(specialize(launch, SM_90)[0])
    return found


def test_one_compilation_serves_all_lengths_windows_and_caps() -> None:
    """Triton's own key of every launch, for 1000 calls with contiguous tensors of 64-wide heads."""
    lengths = (1, 2, 16, 17, 64, 100, 128, 255, 256, 321)
    windows = (0, 1, 2, 16, 17, 64, 100, 128, 4096, 2**31 - 1)
    caps = (0.5, 1.0, 2.0, 16.0, 17.5, 30.0, 50.0, 64.0, 1e3, 1e30)
    calls = ({"n": n, "window": w, "cap": c} for n, w, c in product(lengths, windows, caps))
    assert {kernel: len(keys) for kernel, keys in _keys("gemma2_local", calls).items()} == {
        "forward": 1,
        "delta": 1,
        "backward_keys": 1,
        "backward_queries": 1,
    }


@every_example
def test_one_compilation_serves_all_lengths(name: str) -> None:
    """Triton asks of every stride whether 16 divides it, and those of an array follow the length.

    So there is one compilation for lengths that 16 divides and one for odd lengths. Between them some may share one.
    """
    keys = _keys(name, ({"n": n, **call_of(name, n)} for n in (17, 33, 101, 251)))
    assert {len(found) for found in keys.values()} == {1}
    keys = _keys(name, ({"n": n, **call_of(name, n)} for n in (32, 64, 128, 256)))
    assert {len(found) for found in keys.values()} == {1}


# ---- the table of tiles ----------------------------------------------------------------------------


def test_the_table_follows_the_card_and_the_dtype() -> None:
    def tile(target: object, dtype: torch.dtype) -> tuple[int, int]:
        forward = find_launches(emit("causal"), dtype=dtype, target=target)[0]
        return forward.options["BLOCK_Q"], forward.options["BLOCK_K"]

    tiles = emit("causal").TILES
    for target, dtype, table in (
        (SM_90, torch.bfloat16, "wgmma"),
        (SM_80, torch.bfloat16, "mma"),
        (GFX942, torch.float16, "mma"),
        (SM_90, torch.float32, "float32"),
    ):
        rows = tiles[table]["forward"]
        assert tile(target, dtype) == rows[min(rows)][:2]
