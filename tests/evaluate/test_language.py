"""Functions of evaluated kernels against Triton's own interpreter, which runs the same text, and against torch."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnc.evaluate import load_evaluated
from attnc.evaluate.dtypes import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT1,
    INT8,
    INT16,
    INT32,
    INT64,
    DType,
    KernelFault,
)
from attnc.evaluate.language import Language
from attnc.evaluate.tile import Tile

TORCH = {dtype: getattr(torch, dtype.name)
         for dtype in (INT8, INT16, INT32, INT64, FLOAT16, BFLOAT16, FLOAT32, FLOAT64)}  # fmt: skip
TEXT = """
import torch
import triton
import triton.language as tl


@triton.jit
def of_two(a_ptr, b_ptr, out_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    a, b = tl.load(a_ptr + at), tl.load(b_ptr + at)
    tl.store(out_ptr + at, tl.maximum(a, b))
    tl.store(out_ptr + N + at, tl.minimum(a, b))
    tl.store(out_ptr + 2 * N + at, tl.where(a < b, a, b))
    tl.store(out_ptr + 3 * N + at, a * 2 - b)
    tl.store(out_ptr + 4 * N + at, tl.maximum(a, 1) + tl.minimum(2, b))
    tl.store(out_ptr + 5 * N + at, tl.where(a == a, 3, b))
    tl.store(out_ptr + 6 * N + at, tl.abs(a))
    tl.store(out_ptr + 7 * N + at, a.to(tl.float32) / b)


@triton.jit
def of_one(x_ptr, out_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(x_ptr + at)
    tl.store(out_ptr + at, tl.exp(x))
    tl.store(out_ptr + N + at, tl.exp2(x))
    tl.store(out_ptr + 2 * N + at, tl.log(x))
    tl.store(out_ptr + 3 * N + at, tl.log2(x))
    tl.store(out_ptr + 4 * N + at, tl.sqrt(x))
    tl.store(out_ptr + 5 * N + at, tl.floor(x))
    tl.store(out_ptr + 6 * N + at, tl.sin(x))
    tl.store(out_ptr + 7 * N + at, tl.cos(x))
    tl.store(out_ptr + 8 * N + at, tl.sigmoid(x))
    tl.store(out_ptr + 9 * N + at, tl.cast(tl.cast(x, tl.float16), tl.float32))


@triton.jit
def of_ints(a_ptr, b_ptr, out_ptr, N: tl.constexpr):
    at = tl.arange(0, N)
    a, b = tl.load(a_ptr + at), tl.load(b_ptr + at)
    tl.store(out_ptr + at, tl.maximum(a, b))
    tl.store(out_ptr + N + at, tl.minimum(a, 5))
    tl.store(out_ptr + 2 * N + at, a // b)
    tl.store(out_ptr + 3 * N + at, a % b)
    tl.store(out_ptr + 4 * N + at, tl.cdiv(a, b))
    tl.store(out_ptr + 5 * N + at, (a & b) | 3)
    tl.store(out_ptr + 6 * N + at, ~a)
    tl.store(out_ptr + 7 * N + at, tl.where((a < b) & ~(a == 2), a, -b))
    tl.store(out_ptr + 8 * N + at, tl.zeros_like(a) + tl.full([N], 3, tl.int32))


@triton.jit
def along(x_ptr, out_ptr, at_ptr, N: tl.constexpr):
    row, col = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    x = tl.load(x_ptr + row * N + col)
    at = tl.arange(0, N)
    tl.store(out_ptr + at, tl.max(x, 1))
    tl.store(out_ptr + N + at, tl.max(x, 0))
    tl.store(out_ptr + 2 * N + at, tl.min(x, 1))
    tl.store(out_ptr + 3 * N + at, tl.min(x.T, 1))
    tl.store(out_ptr + 4 * N + at, tl.zeros([N], tl.float32) + tl.max(x) + tl.min(x))
    tl.store(out_ptr + 5 * N + at, tl.sum(x.to(tl.float32), 1))
    tl.store(out_ptr + 6 * N + at, tl.sum(x.to(tl.float32), 0))
    tl.store(out_ptr + 7 * N + at, tl.zeros([N], tl.float32) + tl.sum(x.to(tl.float32)))


@triton.jit
def places(x_ptr, out_ptr, at_ptr, N: tl.constexpr):
    row, col = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    x = tl.load(x_ptr + row * N + col)
    at = tl.arange(0, N)
    value, place = tl.max(x, 1, return_indices=True)
    tl.store(out_ptr + at, value)
    tl.store(at_ptr + at, place)
    value, place = tl.min(x, 0, return_indices=True)
    tl.store(out_ptr + N + at, value)
    tl.store(at_ptr + N + at, place)


@triton.jit
def products(a_ptr, b_ptr, out_ptr, N: tl.constexpr):
    row, col = tl.arange(0, N)[:, None], tl.arange(0, N)[None, :]
    a, b = tl.load(a_ptr + row * N + col), tl.load(b_ptr + row * N + col)
    first = tl.dot(a, b.T, input_precision="ieee")
    tl.store(out_ptr + row * N + col, first)
    tl.store(out_ptr + N * N + row * N + col, tl.dot(a, b, first * 2.0, input_precision="ieee"))


@triton.jit
def masked(x_ptr, out_ptr, n, N: tl.constexpr):
    at = tl.arange(0, N)
    x = tl.load(x_ptr + at, mask=at < n, other=-1)
    tl.store(out_ptr + at, x)
    tl.store(out_ptr + N + at, tl.load(x_ptr + at, mask=at < 0, other=x), mask=at >= 2)
    tl.store(out_ptr + 2 * N + at, tl.load(x_ptr + (n - 1)))


def results(inputs):
    found = {}
    for kind, (a, b) in inputs["pairs"].items():
        found[f"of_two {kind}"] = out = torch.zeros(8, len(a), dtype=torch.float32)
        of_two[(1,)](a, b, out, len(a))
    for kind, x in inputs["numbers"].items():
        found[f"of_one {kind}"] = out = torch.zeros(10, len(x), dtype=x.dtype)
        of_one[(1,)](x, out, len(x))
    for kind, (a, b) in inputs["ints"].items():
        found[f"of_ints {kind}"] = out = torch.zeros(9, len(a), dtype=torch.int64)
        of_ints[(1,)](a, b, out, len(a))
    for kind, x in inputs["squares"].items():
        found[f"along {kind}"] = out = torch.zeros(8, len(x), dtype=torch.float32)
        along[(1,)](x, out, out, len(x))
    for kind, x in inputs["ties"].items():
        found[f"places {kind}"] = out = torch.zeros(2, len(x), dtype=x.dtype)
        found[f"places {kind} at"] = at = torch.zeros(2, len(x), dtype=torch.int32)
        places[(1,)](x, out, at, len(x))
    for kind, (a, b) in inputs["matrices"].items():
        found[f"products {kind}"] = out = torch.zeros(2, len(a), len(a))
        products[(1,)](a, b, out, len(a))
    for kind, x in inputs["masked"].items():
        found[f"masked {kind}"] = out = torch.zeros(3, 8, dtype=x.dtype)
        masked[(1,)](x, out, len(x), 8)
    return found
"""
ALONE = """
import sys
import torch
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("functions", sys.argv[1])
module = module_from_spec(spec)
spec.loader.exec_module(module)
torch.save(module.results(torch.load(sys.argv[2])), sys.argv[3])
"""


def special(n: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    """Random numbers, among which are infinities, zeros of both signs, and what is no number."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, generator=generator) * 3
    x[torch.randperm(n, generator=generator)[: n // 3]] = torch.tensor(
        [math.inf, -math.inf, math.nan, 0.0, -0.0, 1.0, 88.0, -104.0]
    ).repeat(n)[: n // 3]
    return x.to(dtype)


def make_inputs() -> dict[str, Any]:
    floats, whole = (torch.float16, torch.float32), (torch.int8, torch.int16, torch.int32, torch.int64)
    generator = torch.Generator().manual_seed(5)

    def ints(shape: Any, low: int, high: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=generator)

    divisors = ints((64,), 1, 7) * (1 - 2 * ints((64,), 0, 2))
    ties = ints((8, 8), -2, 3)
    return {
        "pairs": {f"{a} {b}": (special(64, 1, a), special(64, 2, b)) for a in floats for b in floats},
        "numbers": {str(dtype): special(64, 3, dtype) for dtype in (torch.float32, torch.float64)},
        "ints": {f"{a} {b}": (ints((64,), -60, 60).to(a), divisors.to(b)) for a in whole for b in whole},
        "squares": {str(dtype): special(64, 4, dtype).view(8, 8) for dtype in floats}
        | {str(dtype): ints((8, 8), -9, 9).to(dtype) for dtype in whole},
        "ties": {str(dtype): ties.to(dtype) for dtype in (*floats, *whole)},
        "matrices": {
            str(dtype): tuple(torch.randn(16, 16, generator=generator).to(dtype) for _ in "ab")
            for dtype in floats
        },
        "masked": {str(dtype): ints((5,), 0, 100).to(dtype) for dtype in (*floats, *whole)},
    }


INPUTS = make_inputs()
KEYS = [f"{kernel} {kind}" for kernel, name in (("of_two", "pairs"), ("of_one", "numbers"), ("of_ints", "ints"),
        ("along", "squares"), ("places", "ties"), ("products", "matrices"), ("masked", "masked"))
        for kind in INPUTS[name]]  # fmt: skip


@pytest.fixture(scope="module")
def evaluated() -> dict[str, torch.Tensor]:
    return load_evaluated("functions", TEXT).results(INPUTS)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """What Triton's interpreter makes of the same text, in a process of its own."""
    folder: Path = tmp_path_factory.mktemp("interpreted")
    (folder / "functions.py").write_text(TEXT, encoding="utf-8")
    torch.save(INPUTS, folder / "inputs.pt")
    files = [str(folder / name) for name in ("functions.py", "inputs.pt", "results.pt")]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", ALONE, *files], capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    return torch.load(folder / "results.pt")  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def _as_in_a_launch() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("key", KEYS)
def test_a_kernel_does_what_it_does_in_tritons_interpreter(
    key: str, evaluated: dict[str, torch.Tensor], interpreted: dict[str, torch.Tensor]
) -> None:
    found, expected = evaluated[key], interpreted[key]
    assert not expected.equal(torch.zeros_like(expected))
    # Sums may go in another order; functions may have other last bits.
    close = 2e-6 if key.startswith(("along", "products", "of_one")) else 0.0
    torch.testing.assert_close(found, expected, rtol=close, atol=close, equal_nan=True)
    if f"{key} at" in evaluated:
        assert evaluated[f"{key} at"].equal(interpreted[f"{key} at"])
    assert set(evaluated) == set(interpreted)


# ---- against torch ------------------------------------------------------------------------------------


def tile_of(x: torch.Tensor, dtype: DType) -> Tile:
    return Tile(x.to(TORCH[dtype]).to(torch.float64 if dtype.kind == "float" else x.dtype).numpy(), dtype)


def check(found: Tile, dtype: DType, expected: torch.Tensor) -> None:
    assert found.dtype == dtype
    assert found.data.shape == tuple(expected.shape)
    assert np.array_equal(found.data.astype(np.float64), expected.double().numpy(), equal_nan=True)


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16, FLOAT32, FLOAT64], ids=str)
def test_the_larger_and_the_smaller_are_numbers_where_one_is(dtype: DType) -> None:
    a, b = special(256, 1, TORCH[dtype]), special(256, 2, TORCH[dtype])
    x, y = tile_of(a, dtype), tile_of(b, dtype)
    check(Language.maximum(x, y), dtype, torch.fmax(a, b))
    check(Language.minimum(x, y), dtype, torch.fmin(a, b))
    check(Language.maximum(x, 0), dtype, torch.fmax(a, torch.zeros_like(a)))
    check(Language.minimum(math.inf, x), dtype, torch.fmin(a, torch.full_like(a, math.inf)))
    check(Language.abs(x), dtype, a.abs())
    check(Language.where(x < y, x, y), dtype, torch.where(a < b, a, b))


@pytest.mark.parametrize("dtype", [INT8, INT16, FLOAT16, BFLOAT16, INT32, INT64, FLOAT32, FLOAT64], ids=str)
def test_what_is_found_along_an_axis(dtype: DType) -> None:
    """Where no place is asked for, Triton widens what has less than 32 bits."""
    x = special(256, 3, torch.float64).view(4, 8, 8)
    x = x.to(TORCH[dtype]) if dtype.kind == "float" else x.nan_to_num(5, 90, -100).to(TORCH[dtype])
    wide = dtype if dtype.primitive_bitwidth >= 32 else FLOAT32 if dtype.kind == "float" else INT32
    down, up = (x.double().nan_to_num(filler, math.inf, -math.inf) for filler in (-math.inf, math.inf))
    tile = tile_of(x, dtype)
    for axis in range(3):
        check(Language.max(tile, axis), wide, down.amax(axis))
        check(Language.min(tile, axis), wide, up.amin(axis))
    check(Language.max(tile), wide, down.amax())
    check(Language.min(tile), wide, up.amin())


def test_no_number_among_none_is_found() -> None:
    nothing = Tile([[math.nan, math.nan], [math.nan, 1.0]], FLOAT32)
    assert np.array_equal(Language.max(nothing, 1).data, [math.nan, 1.0], equal_nan=True)
    assert np.array_equal(Language.min(nothing, 0).data, [math.nan, 1.0], equal_nan=True)
    assert Language.max(Tile([True, False], INT1)).dtype == INT32


@given(st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), min_size=4, max_size=4))
def test_the_first_of_several_places_is_told(rows: list[list[int]]) -> None:
    for dtype in (INT8, INT64, FLOAT16, FLOAT32):
        value, place = Language.max(Tile(rows, dtype), 1, return_indices=True)
        assert (value.dtype, place.dtype) == (dtype, INT32)
        assert value.data.tolist() == [max(row) for row in rows]
        assert place.data.tolist() == [row.index(max(row)) for row in rows]
        value, place = Language.min(Tile(rows, dtype), 0, return_indices=True)
        columns = list(zip(*rows, strict=True))
        assert value.data.tolist() == [min(column) for column in columns]
        assert place.data.tolist() == [column.index(min(column)) for column in columns]


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16, FLOAT32, FLOAT64], ids=str)
def test_products_of_matrices(dtype: DType) -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = ((torch.randn(32, 32, generator=generator) * 50).to(TORCH[dtype]) for _ in "ab")
    x, y = tile_of(a, dtype), tile_of(b, dtype)
    wide = FLOAT64 if dtype == FLOAT64 else FLOAT32
    # One product alone is exact in float32 where the factors have 16 bits, and is rounded once where they have 32.
    for k in range(0, 32, 5):
        column = torch.zeros_like(a)
        column[:, k] = a[:, k]
        exact = a[:, k, None].double() * b[None, k].double()
        check(Language.dot(tile_of(column, dtype), y, input_precision="ieee"), wide, exact.to(TORCH[wide]))
        if dtype.primitive_bitwidth == 16:
            assert exact.float().double().equal(exact)
    found = Language.dot(x, y, Tile(np.ones((32, 32)), wide), input_precision="ieee")
    error = np.abs(found.data - (a.double() @ b.double() + 1).numpy())
    bound = (
        33 * (2.0**-24 if wide == FLOAT32 else 2.0**-53) * ((a.double().abs() @ b.double().abs()).numpy() + 1)
    )
    assert (error <= bound).all()
    assert found.dtype == wide


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
def test_sums(dtype: DType) -> None:
    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(2), dtype=TORCH[dtype])
    for axis in (0, 1, None):
        found = Language.sum(tile_of(x, dtype), axis)
        assert found.dtype == dtype
        exact = x.double().numpy().sum(axis)
        assert np.allclose(found.data, exact, rtol=0, atol=1e-5 if dtype == FLOAT32 else 1e-13)
    assert math.isnan(Language.sum(Tile([math.inf, -math.inf], dtype)).data)


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9), min_size=4, max_size=4),
    st.sampled_from([INT32, INT64]),
)
def test_sums_of_ints_are_exact_or_a_fault(items: list[int], dtype: DType) -> None:
    half = 2 ** (dtype.primitive_bitwidth - 1)
    items = [(item + half) % (2 * half) - half for item in items]
    if -half <= sum(items) < half:
        found = Language.sum(Tile(items, dtype))
        assert (found.dtype, int(found.data)) == (dtype, sum(items))
    else:
        with pytest.raises(KernelFault, match=f"^a sum of {sum(items)} does not fit {dtype}$"):
            Language.sum(Tile([items, [0] * 4], dtype), 1)


def test_types_of_a_choice() -> None:
    yes = Tile([True, False], INT1)
    for a, b, dtype in (
        (1, 2, INT32), (1, 2**40, INT64), (1.0, 2, FLOAT32), (True, False, INT1), (0.0, Tile([1, 2], FLOAT16), FLOAT16),
        (Tile([1, 2], INT8), 3, INT8), (Tile([1, 2], INT64), 0.5, FLOAT32), (Tile([1, 2], BFLOAT16), 1, BFLOAT16),
        (Tile([1, 2], BFLOAT16), Tile([1, 2], FLOAT16), FLOAT16), (Tile([1, 2], BFLOAT16), Tile(1, INT8), FLOAT32),
    ):  # fmt: skip
        assert Language.where(yes, a, b).dtype == dtype
        assert Language.where(yes, a, b).data.shape == (2,)
    assert Language.where(yes[:, None], Tile([1, 2, 3, 4], INT8), -1).data.tolist() == [
        [1, 2, 3, 4],
        [-1] * 4,
    ]


def test_tiles_are_made() -> None:
    assert (Language.arange(4, 8).data.tolist(), Language.arange(4, 8).dtype) == ([4, 5, 6, 7], INT32)
    assert Language.zeros([2, 4], BFLOAT16).data.tolist() == [[0.0] * 4] * 2
    assert Language.zeros_like(Tile([1, 2], INT8)).dtype == INT8
    filled = Language.full([2], Tile(3, INT64), INT8)
    assert (filled.dtype, filled.data.tolist()) == (INT8, [3, 3])
    assert Language.full([2], -math.inf, FLOAT32).data.tolist() == [-math.inf] * 2
    assert Language.cast(300, FLOAT16).data == 300
    assert Language.constexpr(5) == 5
    assert Language.cdiv(7, 2) == 4
    assert Language.cdiv(Tile([-7, 7, 8], INT32), 2).data.tolist() == [
        -3,
        4,
        4,
    ]  # as C has it, from the sum with 1


@pytest.mark.parametrize("name", ["exp", "exp2", "log", "log2", "sqrt", "floor", "sin", "cos", "sigmoid"])
def test_functions_of_numbers(name: str) -> None:
    function: Callable[[Any], Tile] = getattr(Language, name)
    for dtype in (FLOAT32, FLOAT64):
        x = special(256, 6, TORCH[dtype])
        expected = getattr(torch, name)(x.double()).to(TORCH[dtype])
        found = function(tile_of(x, dtype))
        assert found.dtype == dtype
        close = torch.from_numpy(found.data)
        torch.testing.assert_close(
            close, expected, rtol=1e-6 if dtype == FLOAT32 else 1e-14, atol=1e-38, equal_nan=True
        )
    assert function(1.0).dtype == FLOAT32
    for wrong in (FLOAT16, BFLOAT16, INT32):
        with pytest.raises(KernelFault, match=f"^{name} of {wrong}$"):
            function(Tile([1], wrong))


FULL = Tile(np.ones((2, 2)), FLOAT16)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Language.arange(0, 12), "the sizes of a tile are powers of two, not [12]"),
        (lambda: Language.arange(4, 4), "the sizes of a tile are powers of two, not [0]"),
        (lambda: Language.zeros([2, 3], FLOAT32), "the sizes of a tile are powers of two, not [2, 3]"),
        (lambda: Language.full([2], 300, INT8), "300 does not fit int8"),
        (lambda: Language.cast(Tile([300], INT32), INT8), "300 does not fit int8"),
        (lambda: Language.abs(Tile([1, -128], INT8)), "abs(-128) does not fit int8"),
        (lambda: Language.where(Tile([1], INT32), 1, 2), "a condition of int32"),
        (lambda: Language.sum(FULL), "a sum of float16"),
        (lambda: Language.sum(Tile([True], INT1)), "a sum of int1"),
        (lambda: Language.max(FULL, return_indices=True), "places of a number are found along an axis"),
        (lambda: Language.dot(FULL, FULL.to(FLOAT32)), "a product of float16 and float32"),
        (lambda: Language.dot(FULL.to(INT8), FULL.to(INT8)), "a product of int8 and int8"),
        (
            lambda: Language.dot(FULL.to(FLOAT32), FULL.to(FLOAT32)),
            "a product of float32 with input_precision='tf32'",
        ),
        (lambda: Language.dot(FULL, FULL, FULL), "a product of float16 and float16 added to float16"),
    ],
)
def test_what_no_function_takes(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(KernelFault) as caught:
        wrong()
    assert str(caught.value) == message
