"""Tensors as kernels see them, and pointers into them.

Enters: the tensors of a launch. Leaves: pointers, which read and write their elements. Where a GPU reads whatever lies
beside a tensor, this is a fault, also within the allocation of which the tensor is a part. So is a place that two
programs of a launch write, or that one writes and another reads: nothing says which comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided

from attnc.evaluate.dtypes import (
    BFLOAT16,
    DTYPES,
    INT1,
    Array,
    DType,
    KernelFault,
    Scalar,
    bits_of,
    from_bits,
)
from attnc.evaluate.tile import Tile

OF_TORCH = {torch.bool: INT1} | {getattr(torch, dtype.name): dtype for dtype in DTYPES if dtype is not INT1}
NOBODY, SEVERAL = 0, -1  # a program is its number, and one


@dataclass
class Memory:
    """The elements of one tensor, among all that its allocation holds."""

    name: str
    dtype: DType
    elements: Array
    owned: Array
    reader: Array
    writer: Array
    program: Callable[[], int]

    @property
    def user(self) -> int:
        return self.program() + 1

    def read(self, offsets: Array) -> Array:
        self._check(offsets, "reads")
        reader = self.reader[offsets]
        alone = (reader == NOBODY) | (reader == self.user)
        self.reader[offsets] = np.where(alone, self.user, SEVERAL)
        found = self.elements[offsets]
        return from_bits(found, self.dtype) if self.dtype == BFLOAT16 else found

    def write(self, offsets: Array, values: Array) -> None:
        self._check(offsets, "writes")
        self._check_others(self.reader, offsets, "writes", "read")
        self.writer[offsets] = self.user
        self.elements[offsets] = bits_of(values, self.dtype) if self.dtype == BFLOAT16 else values

    def _check(self, offsets: Array, what: str) -> None:
        outside = (offsets < 0) | (offsets >= len(self.elements))
        if outside.any() or not self.owned[offsets].all():
            wrong = offsets[outside] if outside.any() else offsets[~self.owned[offsets]]
            raise KernelFault(f"{what} `{self.name}` at {wrong.flat[0]}, which is outside of the tensor")
        self._check_others(self.writer, offsets, what, "wrote")

    def _check_others(self, users: Array, offsets: Array, what: str, did: str) -> None:
        theirs = (users[offsets] != NOBODY) & (users[offsets] != self.user)
        if theirs.any():
            place = offsets[theirs].flat[0]
            raise KernelFault(f"{what} `{self.name}` at {place}, which another program {did}")


class Launched:
    """The memory of a launch: tensors of one allocation share who has read and written where."""

    def __init__(self, program: Callable[[], int]) -> None:
        self.program = program
        self.users: dict[tuple[int, int], Array] = {}

    def pointer(self, name: str, tensor: torch.Tensor) -> Pointer:
        """A pointer to the first element of a tensor."""
        if tensor.dtype not in OF_TORCH:
            raise KernelFault(f"`{name}` is a {tensor.dtype}")
        dtype, size = OF_TORCH[tensor.dtype], tensor.element_size()
        storage = tensor.untyped_storage()
        count = storage.nbytes() // size
        whole = tensor.detach().as_strided((count,), (1,), 0)
        elements = (whole.view(torch.int16) if dtype == BFLOAT16 else whole).numpy()
        owned, first = np.zeros(count, bool), tensor.storage_offset()
        if tensor.numel():
            as_strided(owned[first:], tuple(tensor.shape), tensor.stride())[...] = True
        place = storage.data_ptr(), size
        if place not in self.users:
            self.users[place] = np.zeros((2, count), np.int32)  # memory that is never touched costs nothing
        readers, writers = self.users[place]
        memory = Memory(name, dtype, elements, owned, readers, writers, self.program)
        return Pointer(memory, np.asarray(first, np.int64))


@dataclass(frozen=True)
class PointerType:
    """What a kernel may ask of a pointer."""

    element_ty: DType


class Pointer:
    """A tile of places in one memory."""

    __slots__ = ("memory", "offsets")

    def __init__(self, memory: Memory, offsets: Array) -> None:
        self.memory, self.offsets = memory, offsets

    @property
    def dtype(self) -> PointerType:
        return PointerType(self.memory.dtype)

    def __add__(self, steps: Tile | Scalar) -> Pointer:
        data = steps.data if isinstance(steps, Tile) else np.asarray(steps)
        if data.dtype.kind not in "ib":
            raise KernelFault(f"a pointer is moved by {data.dtype}")
        return Pointer(self.memory, np.asarray(self.offsets + data.astype(np.int64)))

    __radd__ = __add__

    def __getitem__(self, index: Any) -> Pointer:
        return Pointer(self.memory, self.offsets[index])
