"""A module: what stands in an emitted file, in order.

A value: `lower/` decides what it is, and `emit/` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from attnc.kernel.nodes import Function, Stmt
from attnc.tiles import ChosenTiles, Tile


@dataclass(frozen=True, slots=True)
class Support:
    """Functions of a file in `attnc/support` that the module calls, those of `only` if there are any, or it is `whole`.

    A function is copied where it is first offered, unless the module has its own.
    """

    file: str
    only: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Constants:
    """Constants of a file in `attnc/support`, those of these names."""

    file: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TileTable:
    """Tiles by kind of GPU, kernel and head width; and those that were `chosen` for one GPU."""

    usual: Mapping[str, Mapping[str, Mapping[int, Tile]]]
    chosen: ChosenTiles | None


Part: TypeAlias = Function | Stmt | Support | Constants | TileTable


@dataclass(frozen=True, slots=True)
class Module:
    """An emitted module. `head` is its comment and `constants` are lines; `public` is the function that people call."""

    head: tuple[str, ...]
    constants: tuple[str, ...]
    parts: tuple[Part, ...]
    public: Function
