"""Masks without a closed form, masks whose bounds read arrays, and how their arguments are drawn.

Enters: a generator of random numbers and sizes. Leaves: values by name, as `find_mask` and an emitted module take them.
A drawer is a function of these; numbers are drawn so that every branch of a mask is met.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from compilations import compiled
from torch import Generator, Tensor

from attnc.compiler import Compilation

Values = dict[str, Any]


@dataclass(frozen=True)
class Draw:
    """Sizes of a call, and where random numbers come from."""

    generator: Generator
    B: int
    H: int
    N: int
    M: int

    def ints(self, low: int, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.randint(low, high, shape, generator=self.generator, dtype=dtype)

    def bools(self, share: float, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator) < share

    def reals(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def some_of(self, size: int, *choices: int) -> Tensor:
        return torch.tensor([self.one_of(*choices) for _ in range(size)], dtype=torch.int32)

    def one_of(self, *choices: Any) -> Any:
        return choices[int(self.ints(0, len(choices), 1))]

    @property
    def sizes(self) -> Values:
        return {
            "B": self.B,
            "H": self.H,
            "HKV": self.H,
            "N": self.N,
            "M": self.M,
            "D": 8,
            "DV": 8,
            "dtype": torch.float64,
        }


@dataclass(frozen=True)
class Spec:
    """`square` asks for as many keys as queries."""

    params: str
    mask: str
    draw: Callable[[Draw], Values]
    square: bool = False

    @property
    def text(self) -> str:
        return f"attention listed({self.params}):\n    mask {self.mask}\n"

    def compilation(self) -> Compilation:
        return compiled(self.text, "listed.attn")


def _blocks(size: int) -> int:
    return (size + 3) // 4


LISTED = {
    "documents": Spec(
        "doc: int[B, N]",
        "doc[b, i] == doc[b, j] and j <= i",
        lambda d: {"doc": d.ints(0, 4, d.B, d.N)},
        square=True,
    ),
    "long_documents": Spec(
        "doc: int[B, N]",
        "doc[b, i] == doc[b, j]",
        lambda d: {"doc": d.ints(0, 6, d.B, d.N).sort()[0].flip(-1)},
        square=True,
    ),
    "documents_of_two_sides": Spec(
        "row: int[B, N], column: int[B, M]",
        "row[b, i] == column[b, j]",
        lambda d: {"row": d.ints(-2, 3, d.B, d.N, dtype=torch.int32), "column": d.ints(-2, 3, d.B, d.M)},
    ),
    "near_documents": Spec(
        "row: int[N], column: int[H, M], far: int",
        "abs(row[i] - column[h, j]) <= far",
        lambda d: {"row": d.ints(0, 9, d.N), "column": d.ints(0, 9, d.H, d.M), "far": d.one_of(-1, 0, 3, 9)},
    ),
    "marked_keys": Spec(
        "marked: bool[B, M], window: int",
        "marked[b, j] or abs(i - j) <= window",
        lambda d: {"marked": d.bools(0.1, d.B, d.M), "window": d.one_of(-3, 0, 5, 99)},
    ),
    "marked_queries_and_keys": Spec(
        "row: bool[B, N], column: bool[H, M]",
        "not (row[b, i] and column[h, j])",
        lambda d: {"row": d.bools(0.9, d.B, d.N), "column": d.bools(0.8, d.H, d.M)},
    ),
    "every_other_key": Spec(
        "dilation: int, window: int",
        "(i - 2 * j) % dilation == 0 and i - j < window",
        lambda d: {"dilation": d.one_of(1, 2, 7, 50), "window": d.one_of(0, 9, 1000)},
    ),
    "table_of_blocks": Spec(
        "table: int[B, H, (N + 3) // 4, 3]",
        "j // 4 in table[b, h, i // 4, :]",
        lambda d: {"table": d.ints(-2, _blocks(d.M) + 2, d.B, d.H, _blocks(d.N), 3)},
    ),
    "not_in_a_table": Spec(
        "table: int[H, 5]",
        "not (j - i in table[h, :])",
        lambda d: {"table": d.ints(-3, 20, d.H, 5)},
    ),
    "keys_or_none_chosen": Spec(
        "on: bool, flat: int",
        "ispow2(flat if on else j)",
        lambda d: {"on": d.one_of(True, False), "flat": d.one_of(-1, 7, 8)},
    ),
    "queries_or_none_chosen": Spec(
        "on: bool, row: int[B, N]",
        "ispow2(M if on else row[b, i]) or ispow2(i - j)",
        lambda d: {"on": d.one_of(True, False), "row": d.ints(-2, 9, d.B, d.N)},
    ),
    "bits_of_blocks": Spec(
        "on: bool[B, (N + 3) // 4, (M + 3) // 4]",
        "on[b, i // 4, j // 4] and j <= i",
        lambda d: {"on": d.bools(0.5, d.B, _blocks(d.N), _blocks(d.M))},
    ),
    "pairs": Spec(
        "seen: bool[H, N, M]",
        "seen[h, i, j]",
        lambda d: {"seen": d.bools(d.one_of(0.02, 0.9), d.H, d.N, d.M)},
    ),
    "real_keys": Spec(
        "t: float[H, M], far: float",
        "t[h, j] < far or i == j",
        lambda d: {"t": d.reals(d.H, d.M), "far": d.one_of(0.0, -0.3, 9.0, -9.0)},
    ),
    "real_pairs": Spec(
        "t: float[N], u: float[B, M]",
        "t[i] * u[b, j] < 0.3",
        lambda d: {"t": d.reals(d.N), "u": d.reals(d.B, d.M)},
    ),
    "real_distance": Spec(
        "t: float[H]",
        "(i - j) * t[h] < 3.5",
        lambda d: {"t": d.reals(d.H)},
    ),
    "no_number": Spec(
        "t: float[M]",
        "t[j] < 0.5 or j <= i",
        lambda d: {"t": d.reals(d.M).masked_fill(d.bools(0.5, d.M), float("nan"))},
    ),
    "by_head_and_batch": Spec(
        "doc: int[B, N], window: int[H]",
        "doc[b, i] == doc[b, j] and i - j < window[h]",
        lambda d: {"doc": d.ints(0, 3, d.B, d.N), "window": d.ints(-4, 40, d.H)},
        square=True,
    ),
    "by_head_alone": Spec(
        "period: int[H]",
        "(i + j) % period[h] < 2",
        lambda d: {"period": d.ints(1, 9, d.H)},
    ),
    "guarded_read": Spec(
        "first: int[4]",
        "i < 4 and first[i] <= j or ispow2(i - j)",
        lambda d: {"first": d.ints(0, d.M + 1, 4)},
    ),
    "read_of_a_read": Spec(
        "kind: int[B, M], start: int[5]",
        "start[kind[b, j]] <= i",
        lambda d: {"kind": d.ints(0, 5, d.B, d.M), "start": d.ints(0, d.N + 1, 5)},
    ),
    "powers": Spec("", "ispow2(i - j) or ispow2(j - i)", lambda d: {}),
    "turned_by_choice": Spec(
        "row: bool[N], t: int[M]",
        "j <= i - t[j] if row[i] else i <= j + t[j]",
        lambda d: {"row": d.bools(0.5, d.N), "t": d.ints(-9, 9, d.M)},
    ),
    "by_parameter": Spec(
        "on: bool, off: bool, marked: bool[B, M]",
        "on or marked[b, j] and not off",
        lambda d: (
            dict(zip(("on", "off"), d.one_of((True, True), (False, True), (False, False)), strict=True))
            | {"marked": d.bools(0.5, d.B, d.M)}
        ),
    ),
    "nothing": Spec(
        "marked: bool[B, M], c: int[H]",
        "marked[b, j] and (i + j) % c[h] == c[h]",
        lambda d: {"marked": d.bools(0.5, d.B, d.M), "c": d.ints(1, 4, d.H)},
    ),
    "all_but_first_corners": Spec(
        "c: int[H]",
        "i % c[h] != 0 or j % c[h] != 0",
        lambda d: {"c": d.some_of(d.H, 1, 8, 16, 64, 64)},
    ),
    "all_but_last_corners": Spec(
        "c: int[H]",
        "(N - 1 - i) % c[h] != 0 or (M - 1 - j) % c[h] != 0",
        lambda d: {"c": d.some_of(d.H, 1, 8, 16, 64, 64)},
    ),
    "only_first_corners": Spec(
        "c: int[H]",
        "i % c[h] == 0 and j % c[h] == 0",
        lambda d: {"c": d.some_of(d.H, 1, 8, 16, 64, 64)},
    ),
    "neighbors": Spec(
        "cols: int[H], radius: int",
        "abs(i // cols[h] - j // cols[h]) <= radius and abs(i % cols[h] - j % cols[h]) <= radius",
        lambda d: {"cols": d.some_of(d.H, 1, 3, 5, 100), "radius": d.one_of(-1, 0, 1, 2)},
    ),
    "floors": Spec(
        "t: float[N]",
        "(j + floor(t[i] * 3.0)) % 3 == 0",
        lambda d: {"t": d.reals(d.N)},
    ),
    "first_of_two": Spec(
        "a: int[M], c: int[N]",
        "min(a[j], c[i]) < max(i - a[j], 3)",
        lambda d: {"a": d.ints(-5, 30, d.M), "c": d.ints(-5, 30, d.N)},
    ),
    "large_numbers": Spec(
        "doc: int[B, N]",
        "doc[b, i] <= doc[b, j] and doc[b, j] - doc[b, i] < 3",
        lambda d: {"doc": d.ints(0, 4, d.B, d.N) + 2**30},
        square=True,
    ),
    # Divisions that some pairs or some calls must not do.
    "guarded_division": Spec(
        "c: int, marked: bool[M]",
        "c == 0 or i // c == j // c or marked[j]",
        lambda d: {"c": d.one_of(0, 0, 1, 6, -5), "marked": d.bools(0.1, d.M)},
    ),
    "guarded_remainder": Spec(
        "c: int",
        "c == 0 or i % c == j % c",
        lambda d: {"c": d.one_of(0, 0, 1, 6, -5)},
    ),
    "division_guarded_by_head": Spec(
        "c: int[H]",
        "c[h] == 0 or i // c[h] % 2 == j // c[h] % 2",
        lambda d: {"c": d.ints(-3, 4, d.H)},
    ),
    "division_guarded_by_key": Spec(
        "c: int[B, M]",
        "c[b, j] != 0 and i % c[b, j] == 1",
        lambda d: {"c": d.ints(0, 3, d.B, d.M)},
    ),
}

# Bounds of intervals, some of which are read from arrays or are the least or greatest of a tile.
SWEPT = {
    "all_but_last_corners": Spec(
        "c: int", "(N - 1 - i) % c != 0 or (M - 1 - j) % c != 0", lambda d: {"c": d.one_of(1, 8, 16, 64, 64)}
    ),
    "dilated": Spec(
        "dilation: int, window: int",
        "(i - j) % dilation == 0 and i - j < window",
        lambda d: {"dilation": d.one_of(1, 2, 7, 50), "window": d.one_of(0, 9, 1000)},
    ),
    "strided": Spec(
        "stride: int, window: int",
        "j <= i and (i - j < window or abs(i - j) % stride <= 1)",
        lambda d: {"stride": d.one_of(1, 3, 9, 40), "window": d.one_of(0, 9, 1000)},
    ),
    "columns_then_text": Spec(
        "cols: int, window: int, pixels: int",
        "abs(i // cols - j // cols) <= window and abs(i % cols - j % cols) <= window or i >= pixels or j >= pixels",
        lambda d: {
            "cols": d.one_of(1, 5, 16, 21),
            "window": d.one_of(0, 1, 3),
            "pixels": d.one_of(-1, 0, 17, 32, 45, 70),
        },
    ),
    "columns_then_what_follows": Spec(
        "cols: int, ahead: int",
        "i % cols == j % cols or i + ahead <= j",
        lambda d: {"cols": d.one_of(3, 8, 19), "ahead": d.one_of(-20, 0, 7, 30)},
    ),
    "sorted_documents": Spec(
        "doc: sorted int[B, N]",
        "doc[b, i] == doc[b, j]",
        lambda d: {"doc": d.ints(0, 5, d.B, d.N).sort()[0]},
        square=True,
    ),
    "sorted_documents_causal": Spec(
        "doc: sorted int[B, N]",
        "doc[b, i] == doc[b, j] and j <= i",
        lambda d: {"doc": d.ints(0, 5, d.B, d.N).sort()[0]},
        square=True,
    ),
    "sorted_documents_of_two_sides": Spec(
        "row: sorted int[B, N], column: sorted int[B, M]",
        "row[b, i] == column[b, j]",
        lambda d: {"row": d.ints(0, 6, d.B, d.N).sort()[0], "column": d.ints(0, 6, d.B, d.M).sort()[0]},
    ),
    "sorted_documents_by_head": Spec(
        "doc: sorted int[H, N]",
        "doc[h, i] == doc[h, j] and abs(i - j) < 20",
        lambda d: {"doc": d.ints(0, 3, d.H, d.N).sort()[0]},
        square=True,
    ),
    "sorted_keys_of_unsorted_queries": Spec(
        "row: int[N], column: sorted int[B, M]",
        "row[i] == column[b, j]",
        lambda d: {"row": d.ints(0, 6, d.N), "column": d.ints(0, 6, d.B, d.M).sort()[0]},
    ),
    "bounds_of_queries": Spec(
        "start: int[B, N], end: int[H, N]",
        "start[b, i] <= j and j < end[h, i]",
        lambda d: {"start": d.ints(-3, 20, d.B, d.N), "end": d.ints(-3, 50, d.H, d.N)},
    ),
    "late_starts_of_queries": Spec(
        "start: int[N]", "start[i] <= j", lambda d: {"start": d.ints(d.M - 6, d.M + 2, d.N)}
    ),
    "late_ends_of_queries": Spec(
        "end: int[N]", "j < end[i]", lambda d: {"end": d.ints(d.M - 6, d.M + 2, d.N)}
    ),
    "ends_of_keys": Spec(
        "end: sorted int[B, M]",
        "j <= i and i < end[b, j]",
        lambda d: {"end": d.ints(0, 50, d.B, d.M).sort()[0]},
    ),
    "sums_of_bounds": Spec("end: int[N]", "j < end[i] + i // 3 - 4", lambda d: {"end": d.ints(0, 30, d.N)}),
    "offsets": Spec(
        "doc: sorted int[N], offsets: sorted int[9]",
        "offsets[doc[i]] <= j and j < offsets[doc[i] + 1]",
        lambda d: {"doc": d.ints(0, 8, d.N).sort()[0], "offsets": d.ints(0, d.M + 1, 9).sort()[0]},
    ),
    "causal": Spec("", "j <= i", lambda d: {}),
    "sinks_and_window": Spec(
        "window: int", "j <= i and (j < 4 or i - j < window)", lambda d: {"window": d.one_of(-1, 0, 6, 99)}
    ),
    "three_intervals": Spec("", "j < 5 or abs(i - j) < 6 or j >= M - 4", lambda d: {}),
    "blocks": Spec("block: int", "i // block == j // block", lambda d: {"block": d.one_of(1, 5, 16, 99)}),
    "switch": Spec(
        "on: bool, w: int[H]",
        "j <= i if on else abs(i - j) <= w[h]",
        lambda d: {"on": d.one_of(True, False), "w": d.ints(-1, 30, d.H)},
    ),
}

# Lengths that tiles divide and lengths that they do not.
LENGTHS = ((37, 37), (29, 41), (41, 29), (32, 32), (1, 1), (1, 19), (23, 1), (3, 50), (0, 7), (7, 0), (0, 0))
TILES = ((16, 16), (8, 16), (16, 8), (7, 5), (1, 1), (64, 64), (3, 64))


def draws(
    spec: Spec, seed: int, lengths: Sequence[tuple[int, int]] = LENGTHS, heads: int = 3
) -> list[tuple[Draw, Values]]:
    """A call of each pair of lengths."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for n, m in dict.fromkeys((n, n) if spec.square else (n, m) for n, m in lengths):
        draw = Draw(generator, B=2, H=heads, N=n, M=m)
        found.append((draw, spec.draw(draw)))
    return found
