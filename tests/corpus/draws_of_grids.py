"""Random grids, trees and tables, for the masks that need them. What enters and leaves is as in `draws`."""

from __future__ import annotations

from typing import Any

import numpy as np
from draws import Drawer, Values, length, oblong, sizes, square
from numpy.random import Generator


def image(r: Generator) -> Values:
    rows, cols = int(r.integers(1, 25)), int(r.choice([5, 7, 16, 20, 28, 32]))
    return sizes(rows * cols, rows * cols) | {"rows": rows, "cols": cols}


def wide_image(r: Generator) -> Values:
    """A row is longer than a tile."""
    rows, cols = int(r.integers(1, 6)), int(r.choice([100, 130]))
    return sizes(rows * cols, rows * cols) | {"rows": rows, "cols": cols}


def odd(r: Generator, most: int) -> int:
    """An odd window of at most `most`."""
    return 2 * int(r.integers(0, (max(most, 1) + 1) // 2)) + 1


def windows_2d(y: str, x: str) -> Drawer:
    """An image, and odd windows that it has room for."""

    def draw(r: Generator) -> Values:
        v = image(r)
        return v | {y: odd(r, min(v["rows"], 9)), x: odd(r, min(v["cols"], 9))}

    return draw


def windows_3d(r: Generator) -> Values:
    frames, rows, cols = (int(size) for size in r.integers(2, 10, 3))
    v = sizes(frames * rows * cols, frames * rows * cols) | {"frames": frames, "rows": rows, "cols": cols}
    return v | {"wt": odd(r, min(frames, 5)), "wy": odd(r, min(rows, 5)), "wx": odd(r, min(cols, 5))}


def windows_1d(r: Generator) -> Values:
    v = square(r)
    return v | {"window": int(r.integers(1, min(v["N"], 120) + 1)), "stride": int(r.integers(1, 40))}


def tiled_image(r: Generator) -> Values:
    th, tw = (int(size) for size in r.choice([2, 4], 2))
    rows, cols = th * int(r.integers(1, 7)), tw * int(r.integers(1, 7))
    v = sizes(rows * cols, rows * cols) | {"rows": rows, "cols": cols, "th": th, "tw": tw}
    return v | {"window": odd(r, min(rows, cols, 7))}


def morton_image(r: Generator) -> Values:
    side = int(r.choice([4, 8, 16, 16]))
    return sizes(side * side, side * side) | {"side": side, "window": odd(r, 5)}


def tiles_of_pixels(axes: int) -> Drawer:
    """Tiles of pixels along each axis, and a few tokens of text behind them."""

    def draw(r: Generator) -> Values:
        counts = [int(count) for count in r.integers(1, 7 if axes == 2 else 5, axes)]
        tile, text = int(r.choice([4, 16])), int(r.integers(0, 50))
        n = int(np.prod(counts)) * tile + text
        names = ("frames", "rows", "cols")[-axes:], ("kt", "ky", "kx")[-axes:]
        kernels = [odd(r, min(count, 5)) for count in counts]
        found = dict(zip(names[0], counts, strict=True)) | dict(zip(names[1], kernels, strict=True))
        return sizes(n, n) | found | {"tile": tile}

    return draw


def video(r: Generator) -> Values:
    prompt, per_frame, frames = int(r.integers(0, 40)), int(r.choice([20, 48, 64, 90])), int(r.integers(1, 8))
    n = prompt + per_frame * frames
    return sizes(n, n) | {"prompt": prompt, "per_frame": per_frame, "length": frames}


def spatial_video(r: Generator) -> Values:
    v = video(r)
    frames = int(r.integers(1, 3))
    return {key: v[key] for key in ("N", "M", "B", "H", "prompt", "per_frame")} | {
        "frames": frames,
        "rounding": 16,
    }


def temporal_video(r: Generator) -> Values:
    v = video(r)
    width = max(int(r.integers(1, 4)) * v["per_frame"] // max(v["length"], 1), 1)
    return {key: v[key] for key in ("N", "M", "B", "H", "prompt", "per_frame")} | {"width": width}


def pooled_image(r: Generator) -> Values:
    rows, cols, factor = int(r.integers(2, 13)), int(r.choice([4, 8, 12])), int(r.integers(1, 4))
    v = sizes(rows * cols, rows * cols * factor**2)
    return v | {"rows": rows, "cols": cols, "factor": factor}


def shifts(r: Generator) -> Values:
    v, size = image(r), int(r.choice([4, 7, 8]))
    return v | {"size": size, "shift": np.array([0, size // 2])}


# ---- trees and tables ------------------------------------------------------------------------------


def parents(r: Generator, n: int) -> np.ndarray[Any, Any]:
    """A tree in depth-first order: the parent of a node is the one before it, or one of that one's ancestors."""
    found = np.full(n, -1)
    for node in range(1, n):
        parent = node - 1
        while found[parent] >= 0 and r.random() < 0.4:
            parent = found[parent]
        found[node] = parent
    return found


def tree(r: Generator) -> Values:
    n, prefix = length(r, 120), int(r.integers(0, 400))
    ancestor = np.zeros((2, n, n), bool)
    for b in range(2):
        above = parents(r, n)
        for node in range(n):
            ancestor[b, node] = ancestor[b, above[node]] if above[node] >= 0 else False
            ancestor[b, node, node] = True
    return sizes(n, prefix + n) | {"prefix": prefix, "ancestor": ancestor}


def ordered_tree(r: Generator) -> Values:
    v = square(r)
    leave = np.empty((2, v["N"]), np.int64)
    for b in range(2):
        above = parents(r, v["N"])
        leave[b] = np.arange(1, v["N"] + 1)
        for node in range(v["N"] - 1, 0, -1):
            leave[b, above[node]] = max(leave[b, above[node]], leave[b, node])
    return v | {"leave": leave}


def walked_tree(r: Generator) -> Values:
    """One tree, with the times at which a walk enters its nodes."""
    v = ordered_tree(r)
    return v | {"enter": np.arange(v["N"]), "leave": v["leave"][0]}


def guesses(r: Generator) -> Values:
    block, prefix = int(r.choice([4, 7, 16])), int(r.integers(0, 200))
    n = block * int(r.integers(1, 16))
    return sizes(n, prefix + n) | {"prefix": prefix, "block": block}


def noisy_and_clean(r: Generator) -> Values:
    n = length(r, 240)
    return sizes(2 * n, 2 * n) | {"length": n, "block": int(r.choice([4, 16, 33, 64]))}


def table(block: int, name: str, letters: str, kept: int, by_block: bool = True) -> Drawer:
    """Numbers of blocks of `block` keys, -1 for none, for each query or each block of them."""

    def draw(r: Generator) -> Values:
        v = square(r) if letters.startswith("B") else oblong(r)
        rows = -(-v["N"] // block) if by_block else v["N"]
        shape = (*(v[letter] for letter in letters), rows, kept)
        return v | {name: r.integers(-1, -(-v["M"] // block), shape)}

    return draw


def bits(r: Generator) -> Values:
    v = oblong(r)
    blocks = -(-v["N"] // 16), -(-v["M"] // 16)
    return v | {"block": 16, "on": r.random((v["B"], v["H"], *blocks)) < 0.3}


def slashes(r: Generator) -> Values:
    v = square(r)
    marked = r.random((v["B"], v["H"], v["M"])) < 0.03
    return v | {"kept": 4, "vertical": marked, "slashes": r.integers(-1, v["N"], (v["B"], v["H"], 4))}
