"""What a kernel is given when it is launched.

Enters: a kernel and its sweep. Leaves: its arguments in the order of its signature, and the line that finds
its tiles.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from attnc.emit.writer import Writer
from attnc.kernel.nodes import Function
from attnc.lower.names import pointer, stride, variable
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
    constants = [f"{p.name}={_constant(p.name)}" for p in kernel.params if p.annotation and p.name != "AGAIN"]
    return [*constants, 'num_warps=tiles["num_warps"]', "enable_fp_fusion=True"]


def looks_again(kernel: Function) -> bool:
    """Is a kernel launched a second time, where a sum is no number?"""
    return any(p.name == "AGAIN" for p in kernel.params)


def write_looks(writer: Writer, kernel: Function, tiles: str = "tiles") -> AbstractContextManager[None]:
    """Around a launch: the loop over the first time and the second, where the kernel looks again."""
    if not looks_again(kernel):
        return nullcontext()
    return writer.block(f"for again, {tiles} in _looks({tiles}):")


def _constant(name: str) -> str:
    if name == "LARGE":
        return "large"
    if name.startswith("BLOCK_D"):
        return f"triton.next_power_of_2({name.removeprefix('BLOCK_')})"
    return f'tiles["{name}"]'


def arguments(kernel: Function, sweep: Sweep) -> list[str]:
    """What a kernel is given, in the order of its signature; constants come with the tiles."""
    names = [p.name for p in kernel.params if not p.annotation]
    arrays = {pointer(p.name): variable(p.name) for p in sweep.attention.params if p.sizes}
    strides = {
        stride(p.name, dim): (variable(p.name), dim, len(p.sizes))
        for p in sweep.attention.params
        for dim in range(len(p.sizes))
    }
    for tensor in dict.fromkeys([*(n for pair in sweep.dots for n in (pair.query, pair.key)), "v", "dout"]):
        strides |= {f"{tensor}_stride_{axis}": (tensor, dim, 4) for dim, axis in enumerate("bht")}
    taken: dict[str, list[int]] = {}
    for tensor, dim, _ in (strides[name] for name in names if name in strides):
        taken.setdefault(tensor, []).append(dim)
    given: list[str] = []
    for name in names:
        if name in arrays:
            given.append(arrays[name])
        elif name in strides:
            tensor, dim, count = strides[name]
            dims = taken[tensor]
            if dims != list(range(len(dims))):
                given.append(f"{tensor}.stride({dim})")
            elif dim == 0:
                given.append(f"*{tensor}.stride()" + (f"[:{len(dims)}]" if len(dims) < count else ""))
        else:
            given.append(name.removesuffix("_ptr"))
    constants = [variable(p.name) for p in sweep.attention.params if p.const and not p.sizes]
    return given + [f"{name}={name}" for name in constants if name in {p.name for p in kernel.params}]
