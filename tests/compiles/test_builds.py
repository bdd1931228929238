"""What Triton's front end makes of the kernels of every example: no GPU, no machine code, milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from compilations import NAMES, example
from emitted import launches
from triton.compiler import CompilationError
from triton.runtime.jit import JITFunction
from turns import in_turn

from attnc.errors import AttncError
from attnc.inspect.build import build_ttir, specialize
from attnc.inspect.call import make_call
from attnc.inspect.launches import Launch, find_launches
from attnc.inspect.targets import GFX942, SM_80, SM_90, Target
from attnc.run.loader import load_module

every_example = pytest.mark.parametrize("name", NAMES)


def assert_builds(found: list[Launch]) -> None:
    for launch in found:
        assert "tt.func public" in build_ttir(launch, SM_90), launch.name


@pytest.mark.parametrize("name", in_turn(NAMES, turns=4))
def test_every_kernel_builds(name: str) -> None:
    assert_builds(launches(name))
    assert_builds(launches(name, d=80, DV=48))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_every_dtype_builds(dtype: str) -> None:
    assert_builds(launches("sliding_window", dtype=dtype))


def test_a_call_launches_every_kernel_once() -> None:
    names = [launch.name for launch in launches("causal")]
    assert names == ["forward", "forward_split", "combine", "delta", "backward_keys", "backward_queries"]


def test_heads_that_no_kernel_takes() -> None:
    with pytest.raises(AttncError, match="`D` needs 256 or less in a kernel, got 512"):
        launches("causal", d=512)
    call = {name: torch.zeros(1, 1, 16, 512, dtype=torch.bfloat16) for name in "qkv"}
    module = load_module("causal", example("causal").module)
    run, choose = JITFunction.run, module._choose
    with pytest.raises(ValueError, match="`D` needs 256 or less in a kernel, got 512"):
        find_launches(module, "causal", call, SM_90)
    assert (JITFunction.run, module._choose) == (run, choose)  # as they were


def test_a_kernel_that_the_front_end_refuses_is_noticed() -> None:
    causal = example("causal")
    carried = "acc = _zeros(BLOCK_Q, PARTS_DV)"
    assert carried in causal.module
    text = causal.module.replace(carried, "acc = _zeros(2 * BLOCK_Q, PARTS_DV)")
    call = make_call(causal.attention, causal.facts, torch.bfloat16, 32, {})
    with pytest.raises(CompilationError):
        assert_builds(find_launches(load_module("broken", text), "causal", call, SM_90))


# ---- one compilation serves every call -------------------------------------------------------------


def _keys(name: str, calls: Iterator[dict[str, int | float]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for call in calls:
        for launch in launches(name, **call):
            found.setdefault(launch.name, set()).add(specialize(launch, SM_90)[0])
    return found


def test_one_compilation_serves_all_lengths_windows_and_caps() -> None:
    """Triton's own key of every launch, for 1000 calls with contiguous tensors of 64-wide heads."""
    lengths = (1, 2, 16, 17, 64, 100, 128, 255, 256, 321)
    windows = (0, 1, 2, 16, 17, 64, 100, 128, 4096, 2**31 - 1)
    caps = (0.5, 1.0, 2.0, 16.0, 17.5, 30.0, 50.0, 64.0, 1e3, 1e30)
    calls = ({"N": n, "window": w, "cap": c} for n, w, c in product(lengths, windows, caps))
    assert {kernel: len(keys) for kernel, keys in _keys("gemma2_local", calls).items()} == {
        "forward": 1,
        "forward_split": 2,  # tiles of 16 rows, and of 64
        "combine": 1,
        "delta": 1,
        "backward_keys": 1,
        "backward_queries": 1,
    }


@every_example
def test_one_compilation_serves_all_lengths(name: str) -> None:
    """Triton asks of every stride whether 16 divides it, and those of an array follow the length.

    So there is one compilation for lengths that 16 divides and one for odd lengths. Between them some may share one.
    """
    keys = _keys(name, ({"N": n} for n in (17, 33, 101, 251)))
    assert {len(found) for found in keys.values()} == {1}
    keys = _keys(name, ({"N": n} for n in (32, 64, 128, 256)))
    assert {len(found) for found in keys.values()} == {1}


# ---- the table of tiles ----------------------------------------------------------------------------


def test_the_table_follows_the_card_and_the_dtype() -> None:
    def tile(target: Target, dtype: str) -> tuple[int, int] | None:
        return launches("causal", target, dtype=dtype)[0].tile

    tiles = load_module("causal", example("causal").module).TILES
    for target, dtype, table in (
        (SM_90, "bfloat16", "wgmma"),
        (SM_80, "bfloat16", "mma"),
        (GFX942, "float16", "mma"),
        (SM_90, "float32", "float32"),
    ):
        rows = tiles[table]["forward"]
        assert tile(target, dtype) == rows[min(rows)][:2]
