"""What a kernel is given when it is launched.

Enters: a kernel. Leaves: its arguments in the order of its signature, and the line that finds
its tiles.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from attnc.emit.writer import Writer
from attnc.kernel.arguments import Argument, arguments_of
from attnc.kernel.nodes import Function
from attnc.lower.sweep import Sweep


def widths_of(sweep: Sweep) -> list[str]:
    """The names of all widths: D, those of other dot products, DV where there are values to weigh."""
    return list(dict.fromkeys([*(pair.width for pair in sweep.dots), *values(sweep, "DV")]))


def values(sweep: Sweep, *names: str) -> list[str]:
    """Names that a pass knows where it weighs values."""
    return [*names] if sweep.weighs_values else []


def write_tiles(writer: Writer, sweep: Sweep, kernel: str, only: str = "") -> None:
    """`tiles = _tiles(...)` for the widths of a pass, or for one of them."""
    widths = [only] if only else widths_of(sweep)
    pairs = [f'("{name}", {name})' for name in widths]
    writer.items(f'tiles = _tiles("{kernel}", q, ', pairs, ")")


def named_tiles(kernel: Function) -> list[str]:
    """The constants of a kernel that takes only some of the tiles."""
    tiles = [f'{each.name}=tiles["{each.name}"]' for each in arguments_of(kernel) if each.kind == "tile"]
    large = ["LARGE=large"] * any(each.name == "LARGE" for each in arguments_of(kernel))
    options = ['num_warps=tiles["num_warps"]', "enable_fp_fusion=True"]
    return [*tiles, *padded_widths(kernel), *large, *options]


def padded_widths(kernel: Function) -> list[str]:
    """Widths that a tile has in one, as the power of two that holds them."""
    widths = [each for each in arguments_of(kernel) if each.kind == "padded"]
    return [f"{each.name}=triton.next_power_of_2({each.of})" for each in widths]


def looks_again(kernel: Function) -> bool:
    """Is a kernel launched a second time, where a sum is no number?"""
    return any(each.name == "AGAIN" for each in arguments_of(kernel))


def write_looks(writer: Writer, kernel: Function, tiles: str = "tiles") -> AbstractContextManager[None]:
    """Around a launch: the loop over the first time and the second, where the kernel looks again."""
    if not looks_again(kernel):
        return nullcontext()
    return writer.block(f"for again, {tiles} in _looks({tiles}):")


def arguments(kernel: Function) -> list[str]:
    """What a kernel is given, in the order of its signature; constants come with the tiles."""
    given: list[str] = []
    taken: dict[str, list[int]] = {}
    for each in arguments_of(kernel):
        if each.kind == "stride":
            taken.setdefault(each.of, []).append(each.axis)
    for each in arguments_of(kernel):
        if each.kind == "stride":
            given += _stride(each, taken[each.of])
        elif not each.is_constant:
            given.append(each.of)
    constants = [each for each in arguments_of(kernel) if each.is_constant and each.kind == "number"]
    return given + [f"{each.name}={each.of}" for each in constants]


def _stride(stride: Argument, taken: list[int]) -> list[str]:
    """A stride; of a tensor whose first strides are taken, all of them with the first."""
    if taken != list(range(len(taken))):
        return [f"{stride.of}.stride({stride.axis})"]
    if stride.axis:
        return []
    return [f"*{stride.of}.stride()" + (f"[:{len(taken)}]" if len(taken) < stride.rank else "")]
