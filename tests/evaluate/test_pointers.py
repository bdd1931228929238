"""Memory of evaluated kernels: the elements of a tensor, all of them and no others, and one program at a place."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnc.evaluate.dtypes import BFLOAT16, DTYPES, FLOAT32, INT1, INT16, INT32, INT64, KernelFault
from attnc.evaluate.language import UNDEFINED, Language
from attnc.evaluate.memory import Launched, Pointer
from attnc.evaluate.tile import Tile


class Launch:
    """Pointers into tensors, and the program that uses them."""

    def __init__(self, **tensors: torch.Tensor) -> None:
        self.program = 0
        launched = Launched(lambda: self.program)
        self.pointers = {name: launched.pointer(name, tensor) for name, tensor in tensors.items()}

    def load(self, name: str, *places: int) -> list[Any]:
        return list(Language.load(self.pointers[name] + Tile(list(places), INT64)).data)

    def store(self, name: str, value: float, *places: int) -> None:
        Language.store(self.pointers[name] + Tile(list(places), INT64), value)


@st.composite
def views(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """An allocation, each element of which says where it lies, and a view of it."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    whole = torch.arange(int(np.prod(shape)) + draw(st.integers(0, 3)), dtype=torch.int32)
    view = whole[len(whole) - int(np.prod(shape)) :].view(shape)
    for _ in range(draw(st.integers(0, 4))):
        axis = draw(st.integers(0, view.ndim - 1))
        match draw(st.sampled_from(("slice", "transpose", "expand", "select", "diagonal"))):
            case "slice":
                first, step = draw(st.integers(0, view.shape[axis])), draw(st.integers(1, 3))
                slices = [slice(None)] * view.ndim
                slices[axis] = slice(first, draw(st.integers(first, view.shape[axis])), step)
                view = view[tuple(slices)]
            case "transpose":
                view = view.transpose(axis, draw(st.integers(0, view.ndim - 1)))
            case "expand":
                view = view.unsqueeze(axis).expand(
                    *view.shape[:axis], draw(st.integers(1, 3)), *view.shape[axis:]
                )
            case "select" if view.ndim > 1 and view.shape[axis]:
                view = view.select(axis, draw(st.integers(0, view.shape[axis] - 1)))
            case "diagonal" if view.ndim > 1 and axis:
                view = view.diagonal(dim1=0, dim2=axis)
    return whole, view


@given(drawn=views())
def test_all_elements_of_a_tensor_can_be_read_and_nothing_else(
    drawn: tuple[torch.Tensor, torch.Tensor],
) -> None:
    whole, view = drawn
    owned, first = set(view.flatten().tolist()), int(view.storage_offset())
    for place in range(-3, len(whole) + 3):
        launch = Launch(x=view)
        if place in owned:
            assert launch.load("x", place - first) == [place]
            continue
        message = f"^reads `x` at {place}, which is outside of the tensor$"
        with pytest.raises(KernelFault, match=message):
            launch.load("x", place - first)
        with pytest.raises(KernelFault, match=message):
            launch.load("x", *(each - first for each in sorted(owned)), place - first)


@given(drawn=views())
def test_all_elements_of_a_tensor_can_be_written_and_nothing_else(
    drawn: tuple[torch.Tensor, torch.Tensor],
) -> None:
    whole, view = drawn
    owned, first = set(view.flatten().tolist()), int(view.storage_offset())
    for place in range(-3, len(whole) + 3):
        launch, expected = Launch(x=view), whole.clone()
        if place in owned:
            launch.store("x", -place - 7, place - first)
            expected[place] = -place - 7
            assert launch.load("x", place - first) == [-place - 7]
        else:
            with pytest.raises(KernelFault, match=f"^writes `x` at {place}, which is outside of the tensor$"):
                launch.store("x", -1, place - first)
        assert whole.equal(expected)
        whole.copy_(torch.arange(len(whole)))


@given(drawn=views(), mask=st.lists(st.booleans(), min_size=64, max_size=64))
def test_what_is_masked_is_not_looked_at(drawn: tuple[torch.Tensor, torch.Tensor], mask: list[bool]) -> None:
    whole, view = drawn
    owned, first = sorted(set(view.flatten().tolist())), int(view.storage_offset())
    near = [place for place, use in zip(owned, mask, strict=False) if use]
    far = [-(2**40), 2**40, *(set(range(-3, len(whole) + 3)) - set(owned))]
    places, shown = [*near, *far], [True] * len(near) + [False] * len(far)
    pointer = Launch(x=view).pointers["x"] + Tile(np.array(places) - first, INT64)
    assert Language.load(pointer, Tile(shown, INT1), -5).data.tolist() == [*near, *[-5] * len(far)]
    undefined = [UNDEFINED["int"]] * len(far)
    assert Language.load(pointer, Tile(shown, INT1)).data.tolist() == [*near, *undefined]
    # Neither are the values that are not written, which need not even fit.
    Language.store(pointer, Tile([*[-9] * len(near), *[2**40] * len(far)], INT64), Tile(shown, INT1))
    expected = torch.arange(len(whole), dtype=torch.int32)
    expected[torch.tensor(near, dtype=torch.int64)] = -9
    assert whole.equal(expected)


def test_what_is_written_has_to_fit() -> None:
    with pytest.raises(KernelFault, match=r"^1099511627776 does not fit int32$"):
        Launch(x=torch.zeros(4, dtype=torch.int32)).store("x", 2**40, 0)


# ---- programs ------------------------------------------------------------------------------------------


def fault(launch: Launch, program: int, what: str, name: str, place: int) -> str:
    launch.program = program
    with pytest.raises(KernelFault) as caught:
        launch.load(name, place) if what == "load" else launch.store(name, 1, place)
    return str(caught.value)


def test_two_programs_do_not_write_one_place() -> None:
    launch = Launch(x=torch.zeros(4))
    launch.store("x", 1, 0, 1)
    launch.store("x", 2, 1, 2)
    assert fault(launch, 1, "store", "x", 2) == "writes `x` at 2, which another program wrote"
    launch.store("x", 3, 3)
    assert launch.load("x", 3) == [3.0]
    assert fault(launch, 2, "store", "x", 3) == "writes `x` at 3, which another program wrote"


def test_one_program_does_not_read_what_another_wrote() -> None:
    launch = Launch(x=torch.zeros(4))
    launch.store("x", 1, 0)
    assert launch.load("x", 0) == [1.0]
    assert fault(launch, 1, "load", "x", 0) == "reads `x` at 0, which another program wrote"


def test_one_program_does_not_write_what_another_read() -> None:
    """Whichever of them comes first here: on a GPU nothing says which does."""
    launch = Launch(x=torch.zeros(4))
    launch.load("x", 0, 1, 2)
    launch.program = 1
    launch.load("x", 1, 3)
    launch.store("x", 1, 3)
    assert fault(launch, 1, "store", "x", 0) == "writes `x` at 0, which another program read"
    assert fault(launch, 1, "store", "x", 1) == "writes `x` at 1, which another program read"
    assert fault(launch, 0, "store", "x", 1) == "writes `x` at 1, which another program read"
    launch.store("x", 1, 2)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 3)), max_size=12))
def test_programs_share_only_what_nobody_writes(uses: list[tuple[int, bool, int]]) -> None:
    """By the definition: a place that one writes is used by no other, and this is seen at once."""
    launch = Launch(x=torch.zeros(4))
    for n, (program, writes, place) in enumerate(uses):
        others = [past for past in uses[:n] if past[0] != program and past[2] == place]
        if any(writes or wrote for _, wrote, _ in others):
            assert "which another program" in fault(
                launch, program, "store" if writes else "load", "x", place
            )
            return
        launch.program = program
        launch.store("x", n, place) if writes else launch.load("x", place)


def test_masked_lanes_use_no_place() -> None:
    launch = Launch(x=torch.zeros(4))
    everywhere, none = launch.pointers["x"] + Tile([0, 1, 2, 3], INT32), Tile([False] * 4, INT1)
    Language.store(everywhere, 1.0, none)
    Language.load(everywhere, none, 0.0)
    launch.program = 1
    Language.store(everywhere, 2.0)


def test_views_of_one_allocation_share_who_wrote_where() -> None:
    whole = torch.zeros(8)
    launch = Launch(whole=whole, odd=whole[1::2], back=whole.view(2, 4).T)
    launch.store("odd", 5, 2)
    assert whole.tolist() == [0, 0, 0, 5, 0, 0, 0, 0]
    assert launch.load("whole", 3) == launch.load("back", 3) == [5.0]
    assert fault(launch, 1, "load", "back", 3) == "reads `back` at 3, which another program wrote"
    assert fault(launch, 1, "store", "whole", 3) == "writes `whole` at 3, which another program wrote"
    assert fault(launch, 1, "load", "odd", 1) == "reads `odd` at 2, which is outside of the tensor"


def test_another_launch_is_another_time() -> None:
    whole = torch.zeros(2)
    Launch(x=whole).store("x", 1, 0)
    second = Launch(x=whole)
    second.program = 1
    assert second.load("x", 0) == [1.0]


# ---- types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_type_is_stored_and_loaded(dtype: Any) -> None:
    theirs = torch.bool if dtype == INT1 else getattr(torch, dtype.name)
    found = torch.zeros(6, dtype=theirs)
    launch = Launch(x=found[1:5])
    values = [1.0, 0.0, -2.0, 3.1415926]
    Language.store(launch.pointers["x"] + Tile([0, 1, 2, 3], INT32), Tile(values, FLOAT32))
    assert found.tolist() == torch.tensor([0.0, *values, 0.0]).to(theirs).tolist()
    loaded = Language.load(launch.pointers["x"] + Tile([3, 2, 1, 0], INT32))
    assert loaded.dtype == launch.pointers["x"].dtype.element_ty == dtype
    assert loaded.data.tolist() == found[1:5].flip(0).tolist()


def test_bfloat16_keeps_its_bits() -> None:
    bits = torch.arange(2**16, dtype=torch.int32).to(torch.int16)
    source, target = bits.view(torch.bfloat16), torch.zeros(2**16, dtype=torch.bfloat16)
    launch, everywhere = Launch(x=source, y=target), Tile(np.arange(2**16), INT32)
    Language.store(launch.pointers["y"] + everywhere, Language.load(launch.pointers["x"] + everywhere))
    assert target.view(torch.int16).equal(bits)
    scalar = Language.load(launch.pointers["x"] + 0x3F80)
    assert (scalar.dtype, scalar.data.shape, float(scalar.data)) == (BFLOAT16, (), 1.0)


def test_a_gradient_is_no_matter() -> None:
    x = torch.zeros(2, requires_grad=True)
    Launch(x=x).store("x", 3, 1)
    assert x.tolist() == [0, 3]


def test_places_without_elements() -> None:
    launch = Launch(x=torch.zeros(0, 4), y=torch.zeros(0))
    with pytest.raises(KernelFault, match=r"^reads `x` at 0, which is outside of the tensor$"):
        launch.load("x", 0)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.uint8, torch.float8_e5m2], ids=str)
def test_types_that_kernels_have_not(dtype: torch.dtype) -> None:
    with pytest.raises(KernelFault, match=f"^`x` is a {dtype}$"):
        Launch(x=torch.zeros(1).to(dtype))


# ---- pointers ----------------------------------------------------------------------------------------------


def test_pointers_are_moved_by_ints_from_both_sides() -> None:
    pointer = Launch(x=torch.arange(20)[3:]).pointers["x"]
    rows, cols = Tile([0, 4], INT32)[:, None], Tile([0, 1], INT16)[None, :]
    for moved in (pointer + rows + cols, rows + (cols + pointer), 0 + pointer + (rows + cols)):
        assert isinstance(moved, Pointer)
        assert Language.load(moved).data.tolist() == [[3, 4], [7, 8]]
    assert Language.load((pointer + Tile([0, 4], INT32))[:, None] + cols).data.tolist() == [[3, 4], [7, 8]]
    far = pointer + Tile([2**31 - 1], INT32) + Tile([2**31 - 1], INT32)
    assert far.offsets.tolist() == [2**32 + 1]
    for step, kind in ((1.0, "float64"), (Tile([1.0], FLOAT32), "float32"), (pointer, "object")):
        with pytest.raises(KernelFault, match=re.escape(f"a pointer is moved by {kind}")):
            pointer + step  # type: ignore[operator]
