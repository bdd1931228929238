"""The tiles that are tried, best first.

Enters: a target, a kernel and the width of its heads. Leaves: tiles in order of preference. A larger tile needs fewer
instructions and loads for a pair of a query and a key, and takes more registers and shared memory: so the largest come
first, with as many stages as the shared memory may hold, and what is small enough for any spec comes last: behind it
only tiles that are loaded when they are needed, for loops whose products Triton 3.6 puts one after the other otherwise.
"""

from __future__ import annotations

from attnc.errors import CompilerBug
from attnc.inspect.targets import Target
from attnc.tiles import Tile

WIDTHS = (64, 96, 128, 192, 256)
# Which table a kernel takes its tile from. Kernels of the same table have the same tile.
TABLES = {
    "forward": "forward",
    "backward_keys": "backward_keys",
    "backward_queries": "backward_queries",
    "backward_pairs": "backward_queries",
    "delta": "backward_queries",
}

_Rows = dict[str, dict[int, list[tuple[int, int, int, int]]]]

# A product on these units has at least 64 rows for each four warps: queries, in dK/dV keys.
_ASYNCHRONOUS: _Rows = {
    "forward": {
        64: [
            (128, 128, 8, 3),
            (128, 64, 8, 3),
            (128, 64, 8, 2),
            (128, 32, 8, 2),
            (64, 32, 4, 2),
            (64, 16, 4, 2),
        ],
        128: [
            (128, 128, 8, 2),
            (128, 64, 8, 3),
            (128, 64, 8, 2),
            (128, 32, 8, 3),
            (128, 32, 8, 2),
            (128, 16, 8, 2),
            (64, 32, 4, 2),
            (128, 32, 8, 1),
        ],
        192: [(128, 64, 8, 2), (128, 32, 8, 2), (128, 16, 8, 2), (64, 16, 4, 2)],
        256: [(128, 64, 8, 2), (128, 32, 8, 2), (128, 16, 8, 2), (64, 16, 4, 2)],
    },
    "backward_keys": {
        64: [
            (64, 128, 8, 3),
            (64, 128, 8, 2),
            (32, 128, 8, 3),
            (32, 64, 4, 2),
            (16, 128, 8, 3),
            (16, 64, 4, 2),
        ],
        128: [(64, 128, 8, 2), (32, 128, 8, 3), (32, 64, 4, 2), (16, 128, 8, 3), (16, 64, 4, 2)],
        256: [(32, 64, 8, 2), (16, 64, 8, 2), (16, 64, 4, 2)],
    },
    "backward_queries": {
        64: [
            (128, 64, 8, 3),
            (128, 64, 8, 2),
            (128, 32, 8, 2),
            (64, 32, 4, 2),
            (64, 16, 4, 2),
            (128, 32, 8, 1),
        ],
        128: [(128, 64, 8, 2), (128, 32, 8, 2), (64, 32, 4, 2), (128, 16, 8, 2), (64, 16, 4, 2)],
        192: [(128, 64, 8, 2), (128, 32, 8, 2), (128, 16, 8, 2), (64, 16, 4, 2)],
        256: [(128, 32, 8, 2), (128, 16, 8, 2), (64, 16, 4, 2)],
    },
}
_OF_A_WARP: _Rows = {
    "forward": {
        64: [(128, 64, 8, 3), (128, 64, 8, 2), (64, 64, 4, 2), (64, 32, 4, 2), (32, 32, 4, 2)],
        128: [
            (128, 64, 8, 2),
            (128, 32, 8, 2),
            (64, 64, 4, 2),
            (64, 32, 4, 2),
            (64, 32, 8, 2),
            (32, 32, 4, 2),
        ],
        256: [(64, 32, 4, 2), (64, 64, 8, 1), (64, 32, 4, 1), (32, 32, 4, 1), (32, 16, 4, 1)],
    },
    "backward_keys": {
        64: [
            (64, 128, 8, 2),
            (64, 64, 4, 2),
            (32, 128, 8, 2),
            (32, 64, 4, 2),
            (32, 32, 4, 2),
            (16, 32, 4, 2),
        ],
        128: [(64, 64, 8, 2), (32, 64, 4, 2), (32, 32, 4, 2), (32, 64, 8, 2), (16, 32, 4, 2), (16, 32, 4, 1)],
        256: [(32, 64, 8, 2), (32, 32, 4, 1), (32, 64, 8, 1), (16, 32, 4, 1), (16, 16, 4, 1)],
    },
    "backward_queries": {
        64: [(128, 64, 8, 2), (64, 64, 4, 2), (64, 32, 4, 2), (64, 32, 8, 2), (32, 32, 4, 2)],
        128: [(128, 32, 8, 2), (64, 32, 4, 2), (32, 32, 4, 2), (32, 16, 4, 2)],
        256: [(64, 32, 4, 1), (32, 32, 4, 1), (64, 32, 8, 2), (32, 16, 4, 1)],
    },
}


def find_candidates(kernel: str, width: int, target: Target) -> list[Tile]:
    """What is tried for heads of a width: what is tried for the next one that has candidates."""
    rows = _rows(target)[kernel]
    return [Tile(*tile) for tile in rows[min(size for size in rows if size >= width)]]


def _rows(target: Target) -> _Rows:
    match target.unit:
        case "tcgen05" | "wgmma":
            return _ASYNCHRONOUS
        case "mma":
            return _OF_A_WARP
        case _:
            raise CompilerBug(f"no unit for matrices: {target.unit!r}")
