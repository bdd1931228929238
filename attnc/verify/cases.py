"""The grid of edge cases: which calls are compared.

Enters: the backend, and whether the spec needs as many keys as queries. Leaves: `Case`s. The full product of all values
would take hours; mistakes show where two unusual things meet, so every two values of any two factors meet in a case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

Backend = Literal["cpu", "numpy", "triton"]
Layout = Literal["contiguous", "transposed", "sliced", "expanded", "strided"]
Unit = Literal["mma", "wgmma"]

LENGTHS = (1, 7, 64, 127, 129, 200)
KEYS = ("same", "longer", "shorter", "one")
WIDTHS = ((16, 16), (40, 24), (64, 64), (72, 128), (96, 40), (128, 72))
HEADS = ((1, 1), (8, 1), (2, 2), (3, 1), (6, 2))
LAYOUTS: tuple[Layout, ...] = ("contiguous", "transposed", "sliced", "expanded", "strided")
SCALES = (None, 0.3, -0.2)
VARIANTS = range(6)
# Kernels are ordered otherwise where matrix products run beside other work.
UNITS: tuple[Unit, ...] = ("wgmma", "mma")
TILES = ((32, 16), (16, 32), (16, 16), (64, 32))
SPLITS = (0, 3)
# Triton's interpreter multiplies the bits of bfloat16 as integers, so that dtype is left to the evaluator.
DTYPES: dict[Backend, tuple[str, ...]] = {
    "cpu": ("float64", "float32", "bfloat16", "float16"),
    "numpy": ("float32", "bfloat16", "float16"),
    "triton": ("float32", "float16"),
}
# What one case may cost: pairs of a query and a key on the CPU path, tiles of them in kernels.
PAIRS, TILE_PAIRS = 200_000, 80


@dataclass(frozen=True)
class Case:
    """One call. `variant` chooses parameter values; `numbers` and `entries` fix scalars and ranges of int arrays.

    `backend` says which emitted code, and what runs it: "cpu" is the CPU path, "numpy" the kernels by the evaluator,
    "triton" the kernels in Triton's interpreter.
    Kernels are launched with tiles of one size, and else as on a GPU whose matrix unit is `unit`. With `splits`, a
    kernel of few queries is taken where there is one, and its keys are split into so many shares; so are the heads of
    a group, for the gradients of keys.
    """

    backend: Backend
    dtype: str
    N: int
    M: int
    D: int = 16
    DV: int = 16
    H: int = 1
    HKV: int = 1
    B: int = 1
    layout: Layout = "contiguous"
    scale: float | None = None
    variant: int = 0
    tile: tuple[int, int] = (32, 16)
    splits: int = 0
    unit: Unit = "wgmma"
    numbers: tuple[tuple[str, int | float | bool], ...] = ()
    entries: tuple[tuple[str, int, int], ...] = ()


def plan_cases(backend: Backend, is_square: bool, quick: bool = False) -> list[Case]:
    """The cases for a backend, in a fixed order; `quick` has every value once instead of every pair of values."""
    factors: dict[str, Sequence[Any]] = {
        "N": LENGTHS,
        "M": KEYS[:1] if is_square else KEYS,
        "width": WIDTHS,
        "heads": HEADS,
        "B": (1, 2),
        "layout": LAYOUTS,
        "dtype": DTYPES[backend],
        "scale": SCALES,
        "variant": VARIANTS,
        "tile": TILES if backend != "cpu" else TILES[:1],
        "splits": SPLITS if backend != "cpu" else SPLITS[:1],
        "unit": UNITS if backend != "cpu" else UNITS[:1],
    }
    usual: dict[str, Any] = {
        "N": 1,
        "M": "same" if is_square else "shorter",
        "heads": (1, 1),
        "B": 1,
        "tile": TILES[-1],
    }
    strength = 1 if quick else 2
    return [
        _case(backend, row) for row in cover(factors, strength, lambda row: _fits(backend, {**usual, **row}))
    ]


def _case(backend: Backend, row: Mapping[str, Any]) -> Case:
    (d, dv), (h, hkv) = row["width"], row["heads"]
    return Case(
        backend, row["dtype"], row["N"], _keys(row), d, dv, h, hkv,
        row["B"], row["layout"], row["scale"], row["variant"], row["tile"], row["splits"], row["unit"],
    )  # fmt: skip


def _keys(row: Mapping[str, Any]) -> int:
    n: int = row["N"]
    return {"same": n, "longer": n + 13, "shorter": n // 2 + 1, "one": 1}[row["M"]]


def _fits(backend: Backend, row: Mapping[str, Any]) -> bool:
    """Is the case cheap enough?"""
    heads, n, m = row["heads"][0] * row["B"], row["N"], _keys(row)
    if backend == "cpu":
        return bool(heads * n * m <= PAIRS)
    block_q, block_k = row["tile"]
    return bool(heads * -(-n // block_q) * -(-m // block_k) <= TILE_PAIRS)


def cover(
    factors: Mapping[str, Sequence[Any]], strength: int, fits: Callable[[Mapping[str, Any]], bool]
) -> Iterator[dict[str, Any]]:
    """Rows in which every `strength` values of as many factors meet, as far as they fit together."""
    open_ = {
        combination: None
        for names in combinations(factors, strength)
        for combination in _products({name: factors[name] for name in names})
        if fits(dict(combination))
    }
    count = 0
    while open_:
        row = dict(next(iter(open_)))
        for name in sorted(factors, key=lambda name: -len(factors[name])):
            if name not in row:
                values = factors[name]
                turned = [values[(n + count) % len(values)] for n in range(len(values))]
                possible = [value for value in turned if fits({**row, name: value})]
                row[name] = max(possible, key=lambda value: _gain(open_, row, name, value))
        count += 1
        for covered in combinations([(name, row[name]) for name in factors], strength):
            open_.pop(covered, None)
        yield row


def _gain(open_: Mapping[Any, None], row: Mapping[str, Any], name: str, value: Any) -> int:
    """How many open combinations the row closes with this value, by what is chosen so far."""
    known = {**row, name: value}
    return sum(
        (name, value) in combination and all(n in known and known[n] == v for n, v in combination)
        for combination in open_
    )


def _products(factors: Mapping[str, Sequence[Any]]) -> Iterator[tuple[tuple[str, Any], ...]]:
    rows: list[tuple[tuple[str, Any], ...]] = [()]
    for name, values in factors.items():
        rows = [(*row, (name, value)) for row in rows for value in values]
    yield from rows
