"""Modules with evaluated kernels: what they import, what arguments become, the order of programs, and faults."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from attnc.evaluate import KernelFault, load_evaluated
from attnc.evaluate.dtypes import FLOAT32, INT1, INT32, INT64
from attnc.evaluate.language import Language
from attnc.evaluate.memory import Pointer
from attnc.evaluate.tile import Tile

TEXT = """
import math

import torch
import triton
import triton.language as tl

SEEN = []
TWO = tl.constexpr(2)


@triton.jit
def arguments(x_ptr, n, a, b, missing, N: tl.constexpr, KIND: tl.constexpr, default=7, K: tl.constexpr = 5):
    SEEN.append((x_ptr, n, a, b, missing, N, KIND, default, K))


@triton.jit
def order(x_ptr):
    place = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) + tl.program_id(0)
    SEEN.append((int(tl.program_id(0).data), int(tl.program_id(1).data), int(tl.program_id(2).data)))
    tl.store(x_ptr + place, place)


@triton.jit
def add_up(x_ptr, first, end, step, out_ptr):
    total = first * 0
    for n in range(first, end, step):
        SEEN.append(n)
        total += tl.load(x_ptr + n)
    tl.store(out_ptr, total)


@triton.jit
def loops(wide, N: tl.constexpr):
    for n in range(N):
        SEEN.append(n)
    for n in range(0, wide):
        SEEN.append(n)
    for n in tl.range(-3, -1, num_stages=2):
        SEEN.append(n // 2)
    for n in tl.static_range(2):
        SEEN.append(n)


@triton.jit
def _helper(ptr, offset, SCALE: tl.constexpr):
    return tl.load(ptr + offset) * SCALE


@triton.jit
def outside(x_ptr, n):
    value = _helper(x_ptr, n + tl.program_id(1), TWO)
    tl.store(x_ptr + n + tl.program_id(1), value)


@triton.jit(do_not_specialize=["n"])
def branches(x_ptr, n, BLOCK: tl.constexpr):
    block = tl.arange(0, BLOCK)
    if n > 0:
        tl.store(x_ptr + block, 1.0)
    elif block < n:
        tl.store(x_ptr + block, 2.0)


@triton.jit
def bad_loop(x):
    for n in range(x):
        SEEN.append(n)


@triton.jit
def bad_loop_of_a_tile(BLOCK: tl.constexpr):
    for n in range(tl.arange(0, BLOCK)):
        SEEN.append(n)


@triton.jit
def odd_tile(SIZE: tl.constexpr):
    tl.arange(0, SIZE)


@triton.jit
def too_large(n):
    n * n


def host(n):
    return [i for i in range(n)], triton.cdiv(n, 4), triton.next_power_of_2(n), math.pi, torch.float16
"""


@pytest.fixture
def module() -> Any:
    loaded = load_evaluated("by_hand", TEXT)
    loaded.SEEN.clear()
    return loaded


def test_what_a_module_imports(module: Any) -> None:
    assert module.torch is torch
    assert isinstance(module.tl, Language)
    assert module.triton.language is module.tl
    assert module.triton.__version__ == "evaluated by attnc"
    assert module.TWO == 2
    assert module.__name__.startswith("attnc_evaluated.by_hand_")
    with open(module.__file__, encoding="utf-8") as file:
        assert file.read() == TEXT


def test_the_same_text_is_the_same_module(module: Any) -> None:
    assert load_evaluated("by_hand", TEXT) is module
    other = load_evaluated("by_hand", TEXT + "\n")
    assert other is not module
    assert other.tl is not module.tl


def test_host_functions_are_python(module: Any) -> None:
    assert module.host(5) == ([0, 1, 2, 3, 4], 2, 8, 3.141592653589793, torch.float16)
    assert [module.triton.cdiv(n, 4) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
    assert [module.triton.next_power_of_2(n) for n in (1, 2, 3, 4, 5, 64, 65)] == [1, 2, 4, 4, 8, 64, 128]


def test_what_arguments_become(module: Any) -> None:
    module.arguments[(1,)](
        torch.zeros(2),
        2**31 - 1,
        2**31,
        0.1,
        None,
        N=16,
        KIND="x",
        num_warps=4,
        num_stages=2,
        enable_fp_fusion=True,
    )
    module.arguments[(1,)](torch.zeros(2), -(2**31), True, 1e-300, -(2**63), 3.5, None, default=1, K=2)
    (first, n, a, b, missing, size, kind, default, k), second = module.SEEN
    assert isinstance(first, Pointer)
    assert first.dtype.element_ty == FLOAT32
    assert [(each.dtype, each.data.shape) for each in (n, a, b, default)] == [
        (INT32, ()), (INT64, ()), (FLOAT32, ()), (INT32, ())]  # fmt: skip
    assert (int(n.data), int(a.data), b.data.item(), int(default.data)) == (
        2**31 - 1,
        2**31,
        0.10000000149011612,
        7,
    )
    assert (missing, size, kind, k) == (None, 16, "x", 5)
    assert type(size) is int
    assert [each.dtype for each in second[1:5]] == [INT32, INT1, FLOAT32, INT64]
    assert (second[3].data.item(), second[5], second[6], second[8]) == (0.0, 3.5, None, 2)


def test_an_int_of_more_than_64_bits_is_no_argument(module: Any) -> None:
    with pytest.raises(KernelFault, match=r"^9223372036854775808 does not fit int64$"):
        module.too_large[(1,)](2**63)


def test_all_programs_of_a_grid_run(module: Any) -> None:
    x = torch.full((24,), -1, dtype=torch.int64)
    module.order[2, 3, 4](x)
    assert x.tolist() == list(range(24))
    assert [(i, j, k) for i in range(2) for j in range(3) for k in range(4)] == module.SEEN
    module.SEEN.clear()
    module.order[(3,)](x)
    assert module.SEEN == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    module.SEEN.clear()
    module.order[(0, 4)](x)
    assert module.SEEN == []


@pytest.mark.parametrize("ends", [(0, 8, 1), (1, 8, 3), (7, -1, -2), (3, 3, 1)])
def test_a_loop_of_scalars(module: Any, ends: tuple[int, int, int]) -> None:
    x, out = torch.arange(8) ** 2, torch.zeros(1, dtype=torch.int64)
    module.add_up[(1,)](x, *ends, out)
    assert out.item() == sum(n**2 for n in range(*ends))
    assert {(each.dtype, each.data.shape) for each in module.SEEN} <= {(INT32, ())}


def test_loops_count_in_scalars_of_the_kernel(module: Any) -> None:
    """Also where both ends are known, as a compiler has it; with 64 bits where an end has them."""
    module.loops[(1,)](Tile(2, INT64), N=2)
    assert [int(each.data) for each in module.SEEN[:6]] == [0, 1, 0, 1, -1, -1]
    assert [each.dtype for each in module.SEEN[:6]] == [INT32, INT32, INT64, INT64, INT32, INT32]
    assert module.SEEN[6:] == [0, 1]
    assert all(type(each) is int for each in module.SEEN[6:])


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        (lambda m: m.outside[1, 2](torch.zeros(4)[:3], 2),
         "`outside`, program (0, 1, 0): reads `x_ptr` at 3, which is outside of the tensor"),
        (lambda m: m.outside[2, 1](torch.zeros(4), 0),
         "`outside`, program (1, 0, 0): reads `x_ptr` at 0, which another program wrote"),
        (lambda m: m.branches[(1,)](torch.zeros(4), 0, BLOCK=4),
         "`branches`, program (0, 0, 0): a kernel branches on scalars alone"),
        (lambda m: m.bad_loop[(1,)](2.5), "`bad_loop`, program (0, 0, 0): a loop goes from one int to another"),
        (lambda m: m.bad_loop_of_a_tile[(1,)](4),
         "`bad_loop_of_a_tile`, program (0, 0, 0): a loop goes from one int to another"),
        (lambda m: m.odd_tile[1, 1, 2](12),
         "`odd_tile`, program (0, 0, 0): the sizes of a tile are powers of two, not [12]"),
        (lambda m: m.too_large[(1,)](2**16), "`too_large`, program (0, 0, 0): 65536 * 65536 does not fit int32"),
        (lambda m: m.too_large[(1,)](2**32), 
         "`too_large`, program (0, 0, 0): 4294967296 * 4294967296 does not fit int64"),
    ],
)  # fmt: skip
def test_a_fault_names_kernel_and_program_and_what_was_wrong(module: Any, launch: Any, message: str) -> None:
    with pytest.raises(KernelFault) as caught:
        launch(module)
    assert str(caught.value) == message
    assert not module.tl.running
    assert module.host(3)[0] == [0, 1, 2]


def test_a_branch_on_a_scalar(module: Any) -> None:
    x = torch.zeros(4)
    module.branches[(1,)](x, 1, BLOCK=4)
    assert x.tolist() == [1.0] * 4


def test_triton_is_not_imported() -> None:
    code = f"""
import sys
from attnc.evaluate import load_evaluated
import torch
module = load_evaluated("alone", {TEXT!r})
x = torch.zeros(6, dtype=torch.int64)
module.order[2, 3](x)
assert x.tolist() == list(range(6))
assert "triton" not in sys.modules
print("alone")
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (ran.stdout, ran.returncode) == ("alone\n", 0), ran.stderr
