"""Calls beyond what is usual: more heads or batch entries than an axis of a launch holds, elements that lie far apart.

Kernels are the same, with one constant that says so. What it changes is tried on small calls, in NumPy, where an int
that does not fit its bits is a fault; and what stays as it is, in what Triton's front end makes of the kernels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from types import ModuleType
from typing import Any

import pytest
import torch
from compilations import example
from hypothesis import assume, given
from hypothesis import strategies as st
from kernel_checks import compile_text, evaluated
from properties import cases
from torch import Tensor

from attnc.evaluate import KernelFault, load_evaluated
from attnc.evaluate.module import MOST_PROGRAMS
from attnc.inspect.build import build_ttir
from attnc.inspect.candidates import TABLES, WIDTHS, find_candidates
from attnc.inspect.launches import find_launches
from attnc.inspect.targets import GFX942, SM_80, SM_90
from attnc.run.loader import load_module

SPECS = {
    "causal": "mask j <= i",
    "later": "mask i <= j",
    "sums": "mask i - j < 9\n    normalize sigmoid(s)",
    "any index": "mask flag[b, j // 2]\n    score dot(q, k) * scale + bias[h, i, j]",
    "beyond": "score dot(q, k) * scale + (t[h, i - j] if 0 <= i - j and i - j < 9 else 0)",
    "slots": "mask i - j in few[h, :] or j in many[b, :] or j == i",
}
PARAMS = {
    "flag": ("bool", "B, M"),
    "t": ("float", "H, 9"),
    "bias": ("float", "H, N, M"),
    "few": ("int", "H, 3"),
    "many": ("int", "B, 40"),
}
B, H, HKV, N, D = 3, 4, 2, 21, 16
ROWS = 128  # of a tile, at most


def text_of(name: str) -> str:
    params = ", ".join(
        f"{p}: {sort}[{sizes}]" for p, (sort, sizes) in PARAMS.items() if f"{p}[" in SPECS[name]
    )
    return f"attention zoo({params}):\n    {SPECS[name]}\n"


def arrays_of(name: str) -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(0)
    sizes = {"B": B, "H": H, "N": N, "M": N}
    found: dict[str, Tensor] = {}
    for param, (sort, axes) in PARAMS.items():
        if f"{param}[" in SPECS[name]:
            shape = [sizes[axis] if axis in sizes else int(axis) for axis in axes.split(", ")]
            numbers = torch.randint(-4, N, shape, generator=make)
            found[param] = {"bool": numbers > 3, "int": numbers, "float": numbers / 9}[sort]
    return found


def vectors() -> list[Tensor]:
    make = torch.Generator().manual_seed(1)
    return [torch.randn(B, heads, N, D, generator=make) for heads in (H, HKV, HKV)]


def far_apart(tensor: Tensor, axis: int, step: int) -> Tensor:
    """The same numbers, `step` elements apart along an axis: memory that is never touched costs nothing."""
    strides, size = [step] * tensor.ndim, 1
    for each in reversed(range(tensor.ndim)):
        if each != axis:
            strides[each] = size
            size *= tensor.shape[each]
    assert size <= step
    room = torch.empty((tensor.shape[axis] - 1) * step + size, dtype=tensor.dtype)
    return room.as_strided(tensor.shape, strides).copy_(tensor)


def results(module: ModuleType, tensors: list[Tensor], arrays: dict[str, Tensor]) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in tensors]
    floats = {n: x.detach().requires_grad_() for n, x in arrays.items() if x.is_floating_point()}
    out = module.zoo(*leaves, **arrays | floats, backend="triton")
    return [out.detach(), *torch.autograd.grad(out.square().sum(), [*leaves, *floats.values()])]


@contextmanager
def changed(module: ModuleType, **values: Any) -> Iterator[None]:
    before = {name: vars(module)[name] for name in values}
    vars(module).update(values)
    try:
        yield
    finally:
        vars(module).update(before)


# ---- all programs along one axis -----------------------------------------------------------------------


@pytest.mark.parametrize("splits", [0, 2])
@pytest.mark.parametrize("name", SPECS)
def test_a_large_call_computes_the_same(name: str, splits: int) -> None:
    module = evaluated(compile_text(text_of(name)))
    chosen = {"_splits": lambda *sizes: splits} if hasattr(module, "_splits") else {}
    with changed(module, **chosen):
        usual = results(module, vectors(), arrays_of(name))
        with changed(module, _is_large=lambda *call: True):
            large = results(module, vectors(), arrays_of(name))
    for one, other in zip(usual, large, strict=True):
        assert one.equal(other)


@cases(200)
@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 7), st.booleans())
def test_every_tile_of_every_head_has_a_program(tiles: int, heads: int, batch: int, large: bool) -> None:
    module = load_evaluated("causal", example("causal").module)
    language = module.tl
    grid = module._grid(tiles, heads, batch, large)
    found = []
    for n in range(prod(grid)):
        language.program = n % grid[0], n // grid[0] % grid[1], n // grid[0] // grid[1]
        found.append(tuple(int(part.data) for part in module._program(tiles, heads, large)))
    everything = [(t, h, b) for b in range(batch) for h in range(heads) for t in range(tiles)]
    assert found == everything  # and in the usual order


@cases(400)
@given(
    st.sampled_from((1, 65535, 65536, 70000)),
    st.sampled_from((1, 2, 2**11, 65535, 65536, 2**20)),
    st.lists(st.sampled_from((1, 64, 2**20, 2**24 - 1, 2**24, 16_920_000, 2**31 - 1, 2**31)), min_size=1),
)
def test_a_call_that_is_not_large_fits(heads: int, batch: int, steps: list[int]) -> None:
    module = load_evaluated("causal", example("causal").module)
    tensors = [
        torch.empty(1, 1, 1, 256, device="meta").as_strided((1, 1, 1, 256), (0, 0, n, 1)) for n in steps
    ]
    large = module._is_large(heads, batch, *tensors)
    grid = module._grid(7, heads, batch, large)
    assume(7 * heads * batch < 2**31)  # else q alone is beyond the memory of any card
    assert all(count <= most for count, most in zip(grid, MOST_PROGRAMS, strict=True))
    fits = max(heads, batch) <= 65535 and all((ROWS - 1) * step + 255 < 2**31 for step in steps)
    assert fits or large
    assert large == (max(heads, batch) > 65535 or max(steps) >= 2**24)


def test_no_tile_has_more_rows() -> None:
    module = load_evaluated("causal", example("causal").module)
    usual = (tile for rows in module.TILES.values() for widths in rows.values() for tile in widths.values())
    tried = (
        tile
        for target in (SM_80, SM_90, GFX942)
        for kernel in set(TABLES.values())
        for width in WIDTHS
        for tile in find_candidates(kernel, width, target)
    )
    assert max(max(tile[:2]) for tile in (*usual, *tried)) == ROWS


def test_more_programs_than_an_axis_holds_are_a_fault() -> None:
    module = evaluated(compile_text(text_of("causal")))
    q = torch.zeros(65536, 1, 1, D)
    with (
        changed(module, _is_large=lambda *call: False, _splits=lambda *sizes: 0),
        pytest.raises(KernelFault, match=r"^`_forward`: 65536 programs along axis 2 of a launch$"),
    ):
        module.zoo(q, q, q, backend="triton")


# ---- elements that lie far apart -----------------------------------------------------------------------

STEPS = (2**24 - 1, 2**24, 2**28 + 1)


@cases(60, 6)
@given(
    st.sampled_from(("causal", "later", "sums")),
    st.sampled_from(STEPS),
    st.sets(st.integers(0, 2), min_size=1),
    st.sampled_from((2, 3)),
    st.sampled_from((0, 2)),
)
def test_rows_far_apart(name: str, step: int, which: set[int], tokens: int, splits: int) -> None:
    module = evaluated(compile_text(text_of(name)))
    near = [x[:, :, :tokens].half().contiguous() for x in vectors()]
    far = [far_apart(x, 2, step) if n in which else x for n, x in enumerate(near)]
    with changed(module, _splits=lambda *sizes: splits):
        for one, other in zip(results(module, near, {}), results(module, far, {}), strict=True):
            assert one.equal(other)


def test_rows_far_apart_need_the_large_call() -> None:
    """Without it, an offset within a tile leaves 32 bits; NumPy says so."""
    module = evaluated(compile_text(text_of("causal")))
    q, k, v = (x[:, :, :2].half().contiguous() for x in vectors())
    far = far_apart(k, 2, 2**28)
    with (
        changed(module, _is_large=lambda *call: False),
        pytest.raises(KernelFault, match=r"\* 268435456 does not fit int32$"),
    ):
        module.zoo(q, far, v, backend="triton")


@pytest.mark.parametrize("name", ["any index", "beyond", "slots"])
def test_arrays_whose_elements_lie_far_apart(name: str) -> None:
    """Beyond 32 bits where no pair is visible too: what a tile holds behind the end of an array is not read."""
    module = evaluated(compile_text(text_of(name)))
    near = arrays_of(name)
    usual = results(module, vectors(), near)
    for param, array in near.items():
        for axis in range(array.ndim):
            steps = 2**31 // 17 if array.shape[axis] < 10 else 2**24
            apart = results(module, vectors(), near | {param: far_apart(array, axis, steps)})
            for one, other in zip(usual, apart, strict=True):
                assert one.equal(other), (param, axis)


# ---- what Triton's front end makes of it ---------------------------------------------------------------


def narrow_steps(ttir: str) -> set[str]:
    """The strides that are multiplied in 32 bits, from a module's text."""
    stride = {name: name for name in re.findall(r"%(\w+_stride_\w+): i32", ttir)}
    found = set()
    for result, op, operands in re.findall(r"%(\w+) = ([\w.]+) (.*)", ttir):
        of = [stride[name] for name in re.findall(r"%(\w+)", operands) if name in stride]
        if of and op in ("tt.splat", "tt.broadcast", "tt.expand_dims"):
            stride[result] = of[0]
        elif of and op == "arith.muli":
            found |= set(of)
    return found


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_what_has_32_bits(name: str, large: bool) -> None:
    """From row to row of a tile in a usual call, and nothing else."""
    module = load_module("zoo", compile_text(text_of(name)).module)
    arrays = {n: torch.stack([x, x], -1)[..., 0] for n, x in arrays_of(name).items()}  # no stride is 1
    with changed(module, _is_large=lambda *call: large):
        q, k, v = (torch.cat([x, x, x, x], -1) for x in vectors())
        launches = find_launches(module, "zoo", {"q": q, "k": k, "v": v, **arrays}, SM_90)
    assert {launch.options["LARGE"] for launch in launches if launch.name != "combine"} == {large}
    for launch in launches:
        narrow = narrow_steps(build_ttir(launch, SM_90))
        rows = {f"{x}_stride_t" for x in ("q", "k", "v", "dout")}
        assert not narrow if large else narrow <= rows, launch.name
        assert large or narrow or launch.name == "combine"
