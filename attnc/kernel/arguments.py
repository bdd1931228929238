"""The arguments of a kernel: its parameters, each with what a launch gives it.

A value: a launcher reads what to give, and no name is taken apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnc.kernel.nodes import Function, Param

Kind = Literal["tensor", "stride", "number", "size", "tile", "padded", "flag"]
CONSTEXPR = "tl.constexpr"


@dataclass(frozen=True, slots=True)
class Argument(Param):
    """A parameter of a kernel.

    `tensor`: a pointer to the tensor `of`. `stride`: that of its `axis`, of `rank` axes. `number`: a number of the
    spec, or `scale`. `size`: a length of the call. `tile`: what the table of tiles says. `padded`: the power of two
    that holds the width `of`. `flag`: what is decided at the launch. What `varies` from call to call is no part of what
    a kernel is compiled for.
    """

    kind: Kind = "number"
    of: str = ""
    axis: int = 0
    rank: int = 0
    varies: bool = False

    @property
    def is_constant(self) -> bool:
        """Is the kernel compiled for its value?"""
        return bool(self.annotation)


def pointer_to(name: str) -> str:
    """What the pointer to a tensor is called."""
    return f"{name}_ptr"


def stride_of(name: str, label: str | int) -> str:
    """What a stride of a tensor is called, by the label of its axis."""
    return f"{name}_stride_{label}"


def tensor(name: str) -> Argument:
    """The pointer to a tensor."""
    return Argument(pointer_to(name), kind="tensor", of=name)


def stride(name: str, label: str | int, axis: int, rank: int) -> Argument:
    return Argument(stride_of(name, label), kind="stride", of=name, axis=axis, rank=rank)


def number(name: str, *, is_constant: bool = False, varies: bool = True) -> Argument:
    return Argument(name, CONSTEXPR if is_constant else "", "number", name, varies=varies)


def size(name: str, *, varies: bool) -> Argument:
    return Argument(name, kind="size", of=name, varies=varies)


def tile(name: str) -> Argument:
    return Argument(name, CONSTEXPR, "tile", name)


def padded(name: str, width: str) -> Argument:
    return Argument(name, CONSTEXPR, "padded", width)


def flag(name: str) -> Argument:
    return Argument(name, CONSTEXPR, "flag", name)


def arguments_of(kernel: Function) -> list[Argument]:
    """Of a kernel, in the order of its signature."""
    return [param for param in kernel.params if isinstance(param, Argument)]


def tensors_of(kernel: Function) -> list[str]:
    """The tensors that a kernel takes, in order."""
    return [each.of for each in arguments_of(kernel) if each.kind == "tensor"]
