"""The call that is timed.

Enters: an attention, a device, a dtype, and sizes and arguments as far as someone gave them. Leaves: a `Call` with
random tensors. A float array that the mask does not read, and documents, are made up where nobody gave them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from attnc.analyze.facts import Facts
from attnc.errors import AttncError, Diagnostic, raise_all
from attnc.ir.nodes import Attention, Param, RealLoad, VecLoad
from attnc.ir.walk import walk
from attnc.run.arguments import check_arguments
from attnc.run.arrays import are_documents, find_shape, make_documents, missing_argument, sizes_of_arrays
from attnc.run.limits import check_limits
from attnc.run.settings import Number, check_names, complete
from attnc.run.sizes import shapes_of, sizes_of

TOKENS = {"cpu": 2048, "cuda": 8192}
HEADS, WIDTH = 8, 64


@dataclass(frozen=True)
class Call:
    """The call that is timed, with a value for every parameter; `made_up` says what the arrays are that nobody gave."""

    q: Tensor
    k: Tensor
    v: Tensor
    arguments: dict[str, Any]
    made_up: tuple[tuple[str, str], ...] = ()

    @property
    def device(self) -> torch.device:
        return self.q.device

    @property
    def sizes(self) -> dict[str, int]:
        return sizes_of(self.q, self.k, self.v)

    @property
    def values(self) -> dict[str, Any]:
        """Everything that a term of the spec may name, but vectors."""
        return self.arguments | self.sizes | {"scale": self.sizes["D"] ** -0.5}

    @property
    def numbers(self) -> dict[str, Number]:
        """Sizes and scalar parameters: what a reader is told."""
        return self.sizes | {
            name: value for name, value in self.arguments.items() if not isinstance(value, Tensor)
        }


def find_device(name: str) -> torch.device:
    """`cpu`, `cuda`, or with `auto` a GPU where there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise AttncError(Diagnostic("wrong-device", "there is no GPU here that torch can use"))
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def find_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The dtype of this name, or what people mostly use on the device."""
    found: torch.dtype = getattr(torch, name or ("bfloat16" if device.type == "cuda" else "float32"))
    return found


def make_call(
    attention: Attention, facts: Facts, device: torch.device, dtype: torch.dtype, given: Mapping[str, Any]
) -> Call:
    """`given` has sizes, scalar parameters and arrays by name."""
    check_names(attention, given)
    params = [param for param in attention.params if param.sizes]
    arrays = {p.name: given[p.name] for p in params if p.name in given}
    told = sizes_of_arrays(arrays, attention.params) | {n: x for n, x in given.items() if n not in arrays}
    known = complete(attention, told, TOKENS[device.type])
    heads = known.get("H", known.get("HKV", HEADS))
    known = {"B": 1, "H": heads, "HKV": heads, "D": WIDTH, **known}
    known = {"DV": known["D"], **known}
    numbers = {name: value for name, value in known.items() if type(value) is int}
    raise_all(
        missing_argument(attention, p)
        for p in attention.params
        if p.name not in known and p.name not in arrays and not _can_be_made_up(attention, p)
    )
    generator = torch.Generator(device).manual_seed(0)
    shapes = shapes_of(numbers)
    _check_room(device, sum(map(prod, shapes)) * dtype.itemsize)
    q, k, v = (torch.randn(shape, generator=generator, device=device, dtype=dtype) for shape in shapes)
    made_up: list[tuple[str, str]] = []
    for param in params:
        if param.name not in arrays:
            arrays[param.name], what = _make_up(param, find_shape(param, numbers), generator)
            made_up.append((param.name, what))
    arguments = {p.name: _moved(arrays[p.name], q) if p.sizes else known[p.name] for p in attention.params}
    arguments = dict(check_arguments(attention, q, k, v, arguments))
    check_limits(facts, "auto", q, numbers)
    return Call(q, k, v, arguments, tuple(made_up))


def _can_be_made_up(attention: Attention, param: Param) -> bool:
    """Documents, and floats that only weigh: they decide no pair."""
    if not param.sizes:
        return False
    decides = any(
        isinstance(part, RealLoad | VecLoad) and part.array == param.name for part in walk(attention.mask)
    )
    return are_documents(param) or (param.sort == "float" and not decides)


def _make_up(param: Param, shape: list[int], generator: torch.Generator) -> tuple[Tensor, str]:
    if param.sort == "int":
        return make_documents(shape), "documents"
    # Whatever a spec does with them has a value: logarithms, roots, quotients.
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return 0.1 + 0.9 * drawn, "numbers from 0.1 to 1"


def _moved(array: Tensor, q: Tensor) -> Tensor:
    """On the device of the call; floats in single precision, as parameters of a model mostly are."""
    if array.is_floating_point() and q.dtype != torch.float64:
        return array.to(q.device, torch.float32)
    return array.to(q.device)


def _check_room(device: torch.device, needed: int) -> None:
    """Refuse tensors that are larger than all memory; what is a little smaller, the system will say."""
    if device.type == "cuda":
        room = torch.cuda.get_device_properties(device).total_memory
    else:
        room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > room:
        what = f"`q`, `k` and `v` take {needed / 2**30:.0f} GiB, and there are {room / 2**30:.0f}"
        raise AttncError(Diagnostic("wrong-size", what, helps=("give smaller sizes, as in `--at N=8192`",)))
