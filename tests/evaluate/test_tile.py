"""Operators of evaluated tiles against Python's exact ints and against torch."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
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
    DType,
    KernelFault,
)
from attnc.evaluate.tile import Tile

INTS = (INT8, INT16, INT32, INT64)
TORCH = {dtype: getattr(torch, dtype.name) for dtype in DTYPES if dtype != INT1}


@pytest.fixture(autouse=True)
def _as_in_a_launch() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def quotient(a: int, b: int) -> int:
    if b == 0:
        return -1
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def rest(a: int, b: int) -> int:
    return a - quotient(a, b) * b if b else -1


EXACT: dict[str, tuple[Callable[[Any, Any], Any], Callable[[int, int], int]]] = {
    "+": (operator.add, operator.add),
    "-": (operator.sub, operator.sub),
    "*": (operator.mul, operator.mul),
    "//": (operator.floordiv, quotient),
    "%": (operator.mod, rest),
    "&": (operator.and_, operator.and_),
    "|": (operator.or_, operator.or_),
}
COMPARED = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)


def least(dtype: DType) -> int:
    return -(1 << (dtype.primitive_bitwidth - 1))


def ints(dtype: DType) -> st.SearchStrategy[int]:
    """Ints of a type: of any size, small, near both ends, and near the root of the end, where products leave."""
    low, high, root = least(dtype), -least(dtype) - 1, 2 ** (dtype.primitive_bitwidth // 2)
    parts = (st.integers(low, high), st.integers(-3, 3), st.integers(low, low + 3), st.integers(high - 3, high),
             st.integers(root - 2, min(high, root + 2)), st.integers(-root - 2, -root + 2))  # fmt: skip
    return st.one_of(*parts)


@st.composite
def operands(draw: st.DrawFn) -> tuple[Any, Any, list[tuple[int, int]], DType]:
    """Two operands, one of them maybe a number or a scalar, their pairs of ints, and the type in which they meet."""
    first, second = draw(st.sampled_from(INTS)), draw(st.sampled_from(INTS))
    a = draw(st.lists(ints(first), min_size=2, max_size=2))
    match draw(st.sampled_from(("tile", "scalar", "number", "number first"))):
        case "tile":
            b = draw(st.lists(ints(second), min_size=2, max_size=2))
            wide = max(first, second, key=lambda dtype: dtype.primitive_bitwidth)
            return Tile(a, first), Tile(b, second), list(zip(a, b, strict=True)), wide
        case "scalar":
            n = draw(ints(second))
            wide = max(first, second, key=lambda dtype: dtype.primitive_bitwidth)
            return Tile(n, second), Tile(a, first), [(n, each) for each in a], wide
        case "number":
            n = draw(ints(first))
            return Tile(a, first), n, [(each, n) for each in a], first
        case _:
            n = draw(ints(first))
            return n, Tile(a, first), [(n, each) for each in a], first


@pytest.mark.parametrize("op", EXACT)
@given(both=operands())
def test_ints_are_exact_or_a_fault(op: str, both: tuple[Any, Any, list[tuple[int, int]], DType]) -> None:
    (of_tiles, exact), (a, b, pairs, dtype) = EXACT[op], both
    expected = [exact(*pair) for pair in pairs]
    wrong = [pair for pair, number in zip(pairs, expected, strict=True)
             if not least(dtype) <= number < -least(dtype)]  # fmt: skip
    if wrong:
        with pytest.raises(KernelFault) as caught:
            of_tiles(a, b)
        assert str(caught.value) == f"{wrong[0][0]} {op} {wrong[0][1]} does not fit {dtype}"
        return
    found = of_tiles(a, b)
    assert found.dtype == dtype
    assert found.data.dtype == dtype.held
    assert found.data.tolist() == expected


@pytest.mark.parametrize("op", COMPARED, ids=lambda op: op.__name__)
@given(both=operands())
def test_ints_are_compared_exactly(op: Any, both: tuple[Any, Any, list[tuple[int, int]], DType]) -> None:
    a, b, pairs, _ = both
    found = op(a, b)
    assert found.dtype == INT1
    assert found.data.tolist() == [op(*pair) for pair in pairs]


@pytest.mark.parametrize("dtype", INTS, ids=str)
def test_the_ends_of_each_type(dtype: DType) -> None:
    low, high = least(dtype), -least(dtype) - 1
    ends = Tile([low, high], dtype)
    assert (ends + 0).data.tolist() == (~~ends).data.tolist() == [low, high]
    assert (~ends).data.tolist() == [high, low]
    assert (ends % -1).data.tolist() == [0, 0]
    assert (-Tile([high], dtype)).data.tolist() == [-high]
    for wrong, message in (
        (lambda: -ends, f"0 - {low} does not fit {dtype}"),
        (lambda: ends // -1, f"{low} // -1 does not fit {dtype}"),
        (lambda: Tile([low], dtype) * -1, f"{low} * -1 does not fit {dtype}"),
        (lambda: -1 * Tile([low], dtype), f"-1 * {low} does not fit {dtype}"),
        (lambda: Tile([high], dtype) + 1, f"{high} + 1 does not fit {dtype}"),
        (lambda: Tile([low], dtype) - 1, f"{low} - 1 does not fit {dtype}"),
        (lambda: -1 - Tile([low, high], dtype) - 1, f"{low} - 1 does not fit {dtype}"),
        (lambda: Tile([high], dtype) * high, f"{high} * {high} does not fit {dtype}"),
        (lambda: ends + (high + 1), f"{high + 1} does not fit {dtype}"),
    ):
        with pytest.raises(KernelFault) as caught:
            wrong()
        assert str(caught.value) == message


def test_truth_values() -> None:
    a, b = Tile([True, True, False, False], INT1), Tile([True, False, True, False], INT1)
    assert (a & b).data.tolist() == [True, False, False, False]
    assert (a | b).data.tolist() == [True, True, True, False]
    assert (~a).data.tolist() == [False, False, True, True]
    assert (a == b).data.tolist() == [True, False, False, True]
    assert (a & True).dtype == (False | a).dtype == (~a).dtype == INT1
    assert ((a & 1).dtype, (a + 1).dtype, (a * 1.0).dtype) == (INT32, INT32, FLOAT32)
    assert (a + 1).data.tolist() == [2, 2, 1, 1]
    assert (a & Tile([3, 2, 1, 0], INT8)).data.tolist() == [1, 0, 0, 0]
    for op, symbol in ((operator.add, "+"), (operator.sub, "-"), (operator.mul, "*")):
        with pytest.raises(KernelFault) as caught:
            op(a, b)
        assert str(caught.value) == f"{symbol} of two truth values"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: -Tile([True], INT1), "- of two truth values"),
        (lambda: Tile([True], INT1) // True, "// and % of int1"),
        (lambda: Tile([1.0], FLOAT32) // 2, "// and % of float32"),
        (lambda: 2 % Tile([1.0], FLOAT16), "// and % of float16"),
        (lambda: Tile([1], INT32) & 1.0, "the bits of float32 as those of an int"),
        (lambda: ~Tile([1.0], BFLOAT16), "the bits of bfloat16 as those of an int"),
        (lambda: Tile([1], INT32) * None, "a tile meets a NoneType"),
        (lambda: Tile([1], INT32) == None, "a tile meets a NoneType"),  # noqa: E711
        (lambda: bool(Tile([1], INT32)), "a kernel branches on scalars alone"),
    ],
)
def test_what_no_operator_takes(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(KernelFault) as caught:
        wrong()
    assert str(caught.value) == message


def test_a_scalar_is_true_or_false() -> None:
    assert [bool(Tile(n, INT32)) for n in (0, 1, -256)] == [False, True, True]
    assert [
        bool(Tile(x, FLOAT32).to(dtype)) for dtype in (FLOAT16, BFLOAT16, FLOAT32, INT1) for x in (0.0, 2.0)
    ] == ([False, True] * 4)


# ---- floats ------------------------------------------------------------------------------------------

FLOAT_OPS = (operator.add, operator.sub, operator.mul)
PATTERNS = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=8, max_size=8)


def of_patterns(patterns: list[int], dtype: DType) -> tuple[Tile, torch.Tensor]:
    """Random numbers of a type of 16 bits: subnormal, huge, infinite and none at all."""
    bits = torch.tensor(patterns, dtype=torch.int16)
    return Tile(bits.numpy(), INT16).to(dtype, bitcast=True), bits.view(TORCH[dtype])


def check_same(found: Tile, expected: torch.Tensor) -> None:
    assert TORCH[found.dtype] == expected.dtype
    assert found.data.shape == tuple(expected.shape)
    # Zeros of both signs are told apart.
    theirs = expected.double().numpy()
    assert np.array_equal(found.data.astype(np.float64), theirs, equal_nan=True)
    shown = ~np.isnan(theirs)
    assert np.array_equal(np.signbit(found.data)[shown], np.signbit(theirs)[shown])


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
@pytest.mark.parametrize("op", FLOAT_OPS, ids=lambda op: op.__name__)
@given(a=PATTERNS, b=PATTERNS)
def test_narrow_floats_round_each_result(op: Any, dtype: DType, a: list[int], b: list[int]) -> None:
    (x, their_x), (y, their_y) = of_patterns(a, dtype), of_patterns(b, dtype)
    check_same(op(x, y), op(their_x, their_y))
    check_same(op(x[0:1], y), op(their_x[0:1], their_y))
    check_same(-x, -their_x)
    for compare in COMPARED:
        assert compare(x, y).data.tolist() == compare(their_x, their_y).tolist()


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
@given(a=PATTERNS, b=PATTERNS, n=st.integers(-(10**6), 10**6))
def test_narrow_floats_are_divided_in_float32(dtype: DType, a: list[int], b: list[int], n: int) -> None:
    (x, their_x), (y, their_y) = of_patterns(a, dtype), of_patterns(b, dtype)
    check_same(x / y, their_x.float() / their_y.float())
    # Numbers, and ints of tiles, are not rounded to 16 bits on their way.
    check_same(x / (n / 7), their_x.float() / torch.tensor(n / 7, dtype=torch.float32))
    check_same((n / 7) / x, torch.tensor(n / 7, dtype=torch.float32) / their_x.float())
    check_same(Tile([n] * 8, INT32) / x, torch.tensor([n] * 8).float() / their_x.float())


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@given(
    a=st.lists(st.floats(width=32), min_size=4, max_size=4),
    b=st.lists(st.floats(width=32), min_size=4, max_size=4),
)
def test_wide_floats(dtype: DType, a: list[float], b: list[float]) -> None:
    x, y = (Tile(each, dtype) for each in (a, b))
    their_x, their_y = (torch.tensor(each, dtype=TORCH[dtype]) for each in (a, b))
    for op in (*FLOAT_OPS, operator.truediv):
        check_same(op(x, y), op(their_x, their_y))
        check_same(op(x, 0.1), op(their_x, torch.tensor(0.1, dtype=TORCH[dtype])))
    for compare in COMPARED:
        assert compare(x, y).data.tolist() == compare(their_x, their_y).tolist()


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
@given(a=PATTERNS, n=st.integers(-4096, 4096).map(lambda n: n / 64))
def test_a_number_is_rounded_before_a_narrow_float_meets_it(dtype: DType, a: list[int], n: float) -> None:
    x, theirs = of_patterns(a, dtype)
    number = torch.tensor(n, dtype=TORCH[dtype])
    for op in FLOAT_OPS:
        check_same(op(x, n), op(theirs, number))
        check_same(op(n, x), op(number, theirs))


def test_two_ints_are_divided_in_float32() -> None:
    a, b = Tile([2**24 + 1, 7, 1, 0], INT32), Tile([1, 2, 0, 0], INT64)
    found = (a / b).data
    assert (a / b).dtype == FLOAT32
    assert found[:3].tolist() == [2.0**24, 3.5, math.inf]
    assert math.isnan(found[3])


# ---- shapes ------------------------------------------------------------------------------------------


@given(st.data())
def test_shapes_are_broadcast_as_torch_broadcasts_them(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.sampled_from((1, 2, 4)), max_size=3))
    thin = [size if data.draw(st.booleans()) else 1 for size in shape][
        data.draw(st.integers(0, len(shape))) :
    ]
    a = torch.randint(-100, 100, shape, dtype=torch.int32)
    b = torch.randint(-100, 100, thin, dtype=torch.int32)
    x, y = Tile(a.numpy(), INT32), Tile(b.numpy(), INT32)
    for op in (*FLOAT_OPS, *COMPARED):
        assert op(x, y).data.tolist() == op(a, b).tolist()
        assert op(y, x).data.tolist() == op(b, a).tolist()
        assert op(x.to(BFLOAT16), y).data.shape == op(a, b).shape


def test_axes_are_added_and_exchanged() -> None:
    tile = Tile([[1, 2, 3, 4], [5, 6, 7, 8]], INT32)
    assert tile.T.data.tolist() == [[1, 5], [2, 6], [3, 7], [4, 8]]
    assert (tile[:, None, :].data.shape, tile[None].data.shape, tile.T.dtype) == ((2, 1, 4), (1, 2, 4), INT32)


def test_a_tile_is_no_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Tile(1, INT32))
