"""Element types of evaluated kernels against torch, Triton's own rules and its compiler, and Python's exact numbers."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnc.evaluate.dtypes import (
    BFLOAT16,
    DTYPES,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT1,
    INT8,
    INT16,
    INT32,
    INT64,
    Array,
    DType,
    KernelFault,
    Scalar,
    bits_of,
    constant,
    converted,
    from_bits,
    promote,
    promote_number,
    rounded,
    type_of,
)
from attnc.evaluate.tile import Tile

TORCH = {dtype: torch.bool if dtype == INT1 else getattr(torch, dtype.name) for dtype in DTYPES}
NUMBERS = (True, False, 0, 1, -128, 127, 2**31 - 1, 2**40, 0.0, 0.1, -2.5, 1e-40, 1e300, math.inf, math.nan)
INTS = (INT8, INT16, INT32, INT64)
FLOATS = (FLOAT16, BFLOAT16, FLOAT32, FLOAT64)


def random_bits(width: int, count: int) -> Array:
    return np.random.default_rng(width).integers(0, 2**width, count, f"uint{width}")


def hard_floats() -> Array:
    """Random patterns, and around each a bfloat16 can lie on a tie: all values of its lower half that matter."""
    upper = random_bits(16, 4000).astype(np.uint32) << 16
    ties = upper[:, None] + np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    ends = [
        0x7F7F0000,
        0x7F7F7FFF,
        0x7F7F8000,
        0x7F7FFFFF,
        0x7F800000,
        0x7F800001,
        0x7FC00000,
        0,
        1,
        0x8000,
        0x007FFFFF,
    ]
    both = np.array([*ends, *(end | 0x80000000 for end in ends)], np.uint32)
    return np.concatenate([random_bits(32, 20000), ties.ravel(), both]).view(np.float32)


def same_bits(found: Array, dtype: DType, expected: torch.Tensor) -> None:
    """Bit for bit, but every nan is like another."""
    assert found.shape == tuple(expected.shape)
    theirs = expected.view(getattr(torch, f"int{dtype.primitive_bitwidth}")).numpy()
    nan = expected.isnan().numpy()
    assert np.array_equal(np.isnan(found), nan)
    assert np.array_equal(bits_of(found, dtype)[~nan], theirs[~nan])


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_floats_are_rounded_as_torch_rounds_them(dtype: DType) -> None:
    data = hard_floats()
    with np.errstate(all="ignore"):
        same_bits(rounded(data, dtype), dtype, torch.from_numpy(data).to(TORCH[dtype]))


def test_a_nan_stays_one_in_the_bits_of_bfloat16() -> None:
    """Also one of which bfloat16 has not the bits: those it has would be an infinity's."""
    data = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(from_bits(bits_of(rounded(data, BFLOAT16), BFLOAT16), BFLOAT16)).all()


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_rounding_keeps_a_shape(shape: tuple[int, ...]) -> None:
    for dtype in FLOATS:
        assert rounded(np.full(shape, 1.3), dtype).shape == shape
    assert rounded(np.full((4, 2), 1.3, np.float32).T, BFLOAT16).tolist() == [[1.296875] * 4] * 2


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_every_pattern_of_16_bits_is_a_number_and_back(dtype: DType) -> None:
    bits = np.arange(2**16, dtype=np.uint16).view(np.int16)
    numbers = from_bits(bits, dtype)
    assert np.array_equal(bits_of(numbers, dtype), bits)
    theirs = torch.from_numpy(bits).view(TORCH[dtype])
    with np.errstate(all="ignore"):
        wide = numbers.astype(np.float64)
    assert np.array_equal(wide, theirs.double().numpy(), equal_nan=True)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64, *INTS], ids=str)
def test_wide_patterns_are_numbers_and_back(dtype: DType) -> None:
    width = dtype.primitive_bitwidth
    bits = random_bits(width, 1000).view(f"int{width}")
    theirs = torch.from_numpy(bits).view(TORCH[dtype]).numpy()
    assert np.array_equal(from_bits(bits, dtype), theirs, equal_nan=True)
    assert np.array_equal(bits_of(theirs, dtype), bits)


def test_bits_of_another_type_are_refused_unless_there_are_as_many() -> None:
    assert Tile([True, False], INT1).to(INT1, bitcast=True).data.tolist() == [True, False]
    assert Tile([0x3F80], INT16).to(BFLOAT16, bitcast=True).data.tolist() == [1.0]
    with pytest.raises(KernelFault, match=r"^float32 and int16 have not as many bits$"):
        Tile([1.0], FLOAT32).to(INT16, bitcast=True)


def int_of(number: float, source: DType, dtype: DType) -> int | None:
    """What PTX says of `cvt.rzi`. It has none for int8, and what does not fit there is a fault."""
    least, most = -(1 << (dtype.primitive_bitwidth - 1)), (1 << (dtype.primitive_bitwidth - 1)) - 1
    if math.isnan(number):
        return least if source == FLOAT64 or dtype == INT64 else 0
    whole = (most + 1 if number > 0 else least - 1) if math.isinf(number) else math.trunc(number)
    if dtype == INT8 and not least <= whole <= most:
        return None
    return max(least, min(most, whole))


@pytest.mark.parametrize("dtype", INTS, ids=str)
@pytest.mark.parametrize("source", FLOATS, ids=str)
def test_floats_become_ints(source: DType, dtype: DType) -> None:
    ends = [sign * 2.0**power for power in (7, 8, 15, 16, 31, 32, 63, 64) for sign in (1, -1)]
    near = [math.nextafter(end, toward) for end in ends for toward in (0.0, end * 2)]
    small = [0.0, -0.0, 0.5, -0.5, 0.999, -0.999, 1.5, -1.5, 127.9, -128.9, 128.0, -129.0, 1e-30]
    with np.errstate(all="ignore"):
        data = rounded(np.array([*ends, *near, *small, math.inf, -math.inf, math.nan]), source)
        for number in data:
            expected = int_of(float(number), source, dtype)
            if expected is None:
                with pytest.raises(KernelFault, match=f"^{re.escape(f'{number}')} does not fit int8$"):
                    converted(np.asarray(number), dtype)
            else:
                found = converted(np.asarray(number), dtype)
                assert found.dtype == dtype.held
                assert int(found) == expected, number


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_whole_numbers_and_truth_values_are_converted_as_torch_does(dtype: DType) -> None:
    data = np.array([0, 1, -1, 100, -128, 127], np.int64)
    assert converted(data, dtype).tolist() == torch.from_numpy(data).to(TORCH[dtype]).tolist()
    truth = np.array([True, False])
    assert converted(truth, dtype).tolist() == torch.from_numpy(truth).to(TORCH[dtype]).tolist()


def test_what_is_not_zero_is_true() -> None:
    assert converted(np.array([0.0, -0.0, math.nan, 1e-45, math.inf]), INT1).tolist() == [
        False,
        False,
        True,
        True,
        True,
    ]
    assert converted(np.array([0, 256, -(2**63)]), INT1).tolist() == [False, True, True]


@pytest.mark.parametrize("narrow", INTS[:3], ids=str)
def test_an_int_that_does_not_fit_is_a_fault(narrow: DType) -> None:
    most = 2 ** (narrow.primitive_bitwidth - 1) - 1
    assert converted(np.array([most, -most - 1]), narrow).tolist() == [most, -most - 1]
    for outside in (most + 1, -most - 2, 2**62):
        with pytest.raises(KernelFault, match=f"^{outside} does not fit {narrow}$"):
            converted(np.array([0, outside]), narrow)


# ---- which type a result has ------------------------------------------------------------------------


@cache
def rules() -> tuple[Any, Any]:
    import triton.language as tl
    from triton.language.semantic import TritonSemantic

    return tl, TritonSemantic(None)


def types_of_operators(a: DType | Scalar, b: DType | Scalar) -> tuple[DType, DType | None]:
    """By Triton: the type of a sum, and that of a quotient, which it refuses of a truth value and an int."""
    tl, semantic = rules()
    ours = {getattr(tl, dtype.name): dtype for dtype in DTYPES}
    kinds = [
        getattr(tl, each.name) if isinstance(each, DType) else semantic.to_tensor_type(each)
        for each in (a, b)
    ]
    number = [not isinstance(each, DType) for each in (a, b)]
    together = ours[semantic.computation_type_impl(kinds[0], number[0], kinds[1], number[1], False)]
    try:
        quotient = ours[semantic.computation_type_impl(kinds[0], number[0], kinds[1], number[1], True)]
    except TypeError:
        return together, None
    # Two ints are divided in float32, which Triton decides one step later.
    return together, quotient if quotient.kind == "float" else FLOAT32


@pytest.mark.parametrize("a", DTYPES, ids=str)
def test_tiles_meet_in_the_type_that_triton_says(a: DType) -> None:
    for b in DTYPES:
        together, quotient = types_of_operators(a, b)
        x, y = Tile([1], a), Tile([1], b)
        assert promote(a, b) == together
        assert quotient in ((x / y).dtype, None)
        if together != INT1:
            assert {(x + y).dtype, (x - y).dtype, (x * y).dtype} == {together}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_tile_meets_a_number_in_the_type_that_triton_says(dtype: DType) -> None:
    for number in NUMBERS:
        together, quotient = types_of_operators(dtype, number)
        assert types_of_operators(number, dtype) == (together, quotient)
        assert promote_number(number, dtype) == together
        whole = dtype.kind == "int" and not isinstance(number, float)
        if whole and not np.iinfo(dtype.held).min <= number <= np.iinfo(dtype.held).max:
            with pytest.raises(KernelFault, match=f"^{number} does not fit {dtype}$"):
                Tile([1], dtype) + number
            continue
        with np.errstate(all="ignore"):
            assert quotient in ((Tile([1], dtype) / number).dtype, None)
            assert quotient in ((number / Tile([1], dtype)).dtype, None)


@given(
    st.integers(-(2**31), 2**31 - 1)
    | st.integers(-(2**63), -(2**31))
    | st.integers(2**32, 2**63 - 1)
    | st.floats()
)
def test_a_number_alone_has_the_type_that_triton_says(number: float) -> None:
    tl, semantic = rules()
    assert getattr(tl, type_of(number).name) == semantic.to_tensor_type(number)


def test_ends_of_float32_are_seen_exactly() -> None:
    most, tiny = (2 - 2**-23) * 2.0**127, 2.0**-126
    assert [type_of(x) for x in (most, tiny, -most)] == [FLOAT32] * 3
    assert [type_of(x) for x in (math.nextafter(most, math.inf), math.nextafter(tiny, 0), 5e-324)] == [
        FLOAT64
    ] * 3


def test_an_int_of_more_than_64_bits_is_a_fault() -> None:
    for number in (2**63, -(2**63) - 1):
        with pytest.raises(KernelFault, match=f"^{number} does not fit int64$"):
            type_of(number)


CONSTANTS = (0.0, 1.0, 0.1, -2.5, 1 / 3, 1e-6, 1e-7, -4.9e-7, 5.1e-7, 1e-45, 3e38, 1e39, 65504.0, 65519.9, 65520.0,
             1 + 2**-11 + 2**-40, 1 + 2**-8 + 2**-30, 123456.789, math.inf, -math.inf)  # fmt: skip


def test_numbers_are_written_as_the_compiler_of_triton_writes_them() -> None:
    """Its own builder says what it does; in bfloat16 it has six decimals, and a small number is lost."""
    from triton._C.libtriton import ir

    context = ir.context()
    ir.load_dialects(context)
    builder = ir.builder(context)
    module = builder.create_module()
    function = builder.get_or_insert_function(module, "f", builder.get_function_ty([], []), "public", False)
    module.push_back(function)
    builder.set_insertion_point_to_start(function.add_entry_block())
    names = {FLOAT16: "fp16", BFLOAT16: "bf16", FLOAT32: "fp32"}
    asked = [(number, dtype) for number in CONSTANTS for dtype in names]
    for number, dtype in asked:
        getattr(builder, f"get_{names[dtype]}")(number)
    builder.ret([])
    written = re.findall(r"arith\.constant (\S+) :", str(module))
    assert len(written) == len(asked)
    with np.errstate(all="ignore"):
        for (number, dtype), text in zip(asked, written, strict=True):
            width = dtype.primitive_bitwidth
            if text.startswith("0x"):
                theirs = from_bits(np.array([int(text, 16)], f"uint{width}").view(f"int{width}"), dtype)[0]
            else:
                theirs = torch.tensor(float(text), dtype=TORCH[dtype]).double().item()
            assert constant(number, dtype) == theirs, (number, dtype, text)


@pytest.mark.parametrize("dtype", INTS, ids=str)
def test_numbers_are_written_in_ints_that_hold_them(dtype: DType) -> None:
    most = 2 ** (dtype.primitive_bitwidth - 1) - 1
    assert [int(constant(n, dtype)) for n in (most, -most - 1, True)] == [most, -most - 1, 1]
    for number in (most + 1, -most - 2):
        with pytest.raises(KernelFault, match=f"^{number} does not fit {dtype}$"):
            constant(number, dtype)
