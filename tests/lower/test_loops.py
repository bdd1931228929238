"""The emitted bounds of tiles, run as plain Python and compared with every pair of the mask.

The lines that a `Visits` writes are executed with Python ints in place of Triton's scalars, where `//` truncates
as it does on a GPU. The tiles that the two loops then go through must hold every visible pair, once; a full tile must
hold no hidden one; and for masks with a tight closed form no visited tile is without need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from types import CodeType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_oracle import heads
from mask_zoo import ALL, NEARLY_TIGHT, TIGHT, attention_of, mask_of, nasty, usual
from properties import cases
from random_masks import calls, unions
from range_checks import GARBAGE, Counts, check_ranges, requirements_hold, transposed
from truth import pairs_seen
from turns import TURNS

from attnc.analyze.facts import Ranges
from attnc.analyze.ranges import find_ranges
from attnc.emit.writer import Writer
from attnc.ir import nodes as ir
from attnc.ir.nodes import Attention, Param, Size
from attnc.kernel.arguments import pointer_to, stride_of
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Lit, Var
from attnc.lower.int_ranges import find_int_ranges
from attnc.lower.proofs import Proofs
from attnc.lower.tiled.bounds import Bounds
from attnc.lower.tiled.loops import find_visits
from attnc.lower.triton_terms import TritonTerms

CALLS = 6
H, B = Size("H"), Size("B")
ARRAYS = (
    Param("windows", "int", sizes=(H,)),
    Param("offsets", "int", sizes=(B,)),
    Param("lengths", "int", sizes=(B,)),
    Param("global_head", "bool", sizes=(H,)),
)


class Number(int):
    """An int whose `//` and `%` truncate, as Triton's do at run time, and that knows Triton's methods."""

    def __floordiv__(self, other: int) -> Number:
        if other == 0:
            return Number(GARBAGE)
        quotient = abs(int(self)) // abs(int(other))
        return Number(-quotient if (self < 0) != (other < 0) else quotient)

    def __mod__(self, other: int) -> Number:
        return Number(int(self) - int(self // other) * int(other))

    def __and__(self, other: int) -> Number:  # type: ignore[override]
        return Number(bool(self) and bool(other))

    def __or__(self, other: int) -> Number:  # type: ignore[override]
        return Number(bool(self) or bool(other))

    def __add__(self, other: int) -> Number:
        return Number(int(self) + int(other))

    def __sub__(self, other: int) -> Number:
        return Number(int(self) - int(other))

    def __rsub__(self, other: int) -> Number:
        return Number(int(other) - int(self))

    def __mul__(self, other: int) -> Number:
        return Number(int(self) * int(other))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Number:
        return Number(-int(self))

    def to(self, dtype: object) -> Number:
        return self


@dataclass(frozen=True)
class Pointer:
    array: list[int]
    at: int = 0

    def __add__(self, offset: int) -> Pointer:
        return Pointer(self.array, self.at + offset)


class Triton:
    """The few functions that bounds call."""

    int32 = int64 = float32 = None

    @staticmethod
    def maximum(a: int, b: int) -> Number:
        return Number(max(a, b))

    @staticmethod
    def minimum(a: int, b: int) -> Number:
        return Number(min(a, b))

    @staticmethod
    def cdiv(a: int, b: int) -> Number:
        return (Number(a) + b - 1) // b

    @staticmethod
    def where(cond: object, a: int, b: int) -> Number:
        return Number(a if cond else b)

    @staticmethod
    def abs(a: int) -> Number:
        return Number(abs(int(a)))

    @staticmethod
    def cast(a: int, dtype: None) -> Number:
        return Number(a)

    @staticmethod
    def multiple_of(a: int, b: int) -> int:
        return a

    @staticmethod
    def load(pointer: Pointer, mask: object = True, other: int = 0) -> Number:
        return Number(pointer.array[pointer.at] if mask else other)


def floor_divide(a: int, b: int) -> Number:
    return Number(int(a) // int(b)) if b else Number(GARBAGE)


def load_bound(places: Pointer, inside: object) -> Number:
    return Number(max(-(2**30), min(int(Triton.load(places, inside)), 2**30)))


def floor_modulo(a: int, b: int) -> Number:
    return Number(int(a) % int(b)) if b else Number(GARBAGE)


def emitted_loops(attention: Attention, ranges: Ranges) -> tuple[str, bool]:
    """The text of bounds and loops, whose bodies note first position and kind; does it have full tiles?"""
    block = Block()
    size, step = (Size("M"), "BLOCK_K") if ranges.target == "j" else (Size("N"), "BLOCK_Q")

    def body(inside: Block, first: Expr, is_edge: bool) -> None:
        inside.do(function("note")(first, Lit(is_edge)))

    def body_again(inside: Block, first: Expr, is_edge: bool) -> None:
        inside.do(function("note_again")(first, Lit(is_edge)))

    ints = find_int_ranges(attention, (ranges,), Proofs(()))
    terms = TritonTerms(attention, ints, {})
    terms.moving = ranges.target
    visits = find_visits(Bounds(block, terms, size, Var(step)), ranges)
    visits.loop(block, body)
    visits.loop(block, body_again)
    writer = Writer()
    writer.body(block.stmts)
    return writer.text, any(whole is not None for whole in ranges.full)


def run(text: str, names: dict[str, Any]) -> list[tuple[int, bool]]:
    """The tiles that the loops visit, and visit again where they are written twice."""
    noted: list[tuple[int, bool]] = []
    again: list[tuple[int, bool]] = []
    scope = {name: Number(value) if isinstance(value, int) else value for name, value in names.items()}
    scope |= {f"{name}_": value for name, value in scope.items()}  # a name that loops have is set apart
    scope |= {pointer_to(p.name): Pointer(names[p.name]) for p in ARRAYS}
    scope |= {stride_of(p.name, 0): Number(1) for p in ARRAYS}
    scope |= {"_floor_divide": floor_divide, "_floor_modulo": floor_modulo, "_load_bound": load_bound}
    scope["tl"] = Triton
    scope["note"] = lambda first, is_edge: noted.append((int(first), is_edge))
    scope["note_again"] = lambda first, is_edge: again.append((int(first), is_edge))
    exec(_code(text), scope)
    assert again == noted or "note_again" not in text
    return noted


@cache
def _code(text: str) -> CodeType:
    return compile(text, "loops", "exec")


def check_zoo(name: str, draw: Any) -> dict[str, int]:
    mask, random = mask_of(ALL[name]), Random(name)
    attention = replace(attention_of(mask), params=ARRAYS, apart=("period",))
    totals = {"visited": 0, "seen": 0, "full": 0, "truly full": 0}
    for target in ("j", "i"):
        ranges = find_ranges(attention, target)  # type: ignore[arg-type]
        text, _ = emitted_loops(attention, ranges)
        assert not re.search(r"\b(if|while|break)\b", text)
        for _ in range(CALLS):
            call = draw(random)
            step, rows = random.choice([3, 7, 16]), random.choice([3, 7, 16])
            for values in heads(mask, call.values):
                if requirements_hold(ranges, values):
                    seen = pairs_seen(mask, values)
                    pairs = seen if target == "j" else transposed(seen)
                    check_call(text, target, pairs, values, rows, step, totals)
    return totals


def check_call(
    text: str, target: str, pairs: list[list[bool]], values: Any, rows: int, step: int, totals: dict[str, int]
) -> None:
    size, axis = len(pairs[0]), "i" if target == "j" else "j"
    for first in range(0, len(pairs), rows):
        tile = pairs[first : first + rows]
        names = {**values, f"{axis}_first": first, f"{axis}_last": first + len(tile) - 1}
        names |= {"BLOCK_K": step, "BLOCK_Q": step, "b": values.get("b", 0), "h": values.get("h", 0)}
        visits = run(text, names)
        places = [at for at, _ in visits]
        assert len(set(places)) == len(places), "a tile is visited twice"
        assert all(at % step == 0 and 0 <= at < max(size, 1) for at in places), (
            "a tile outside of the sequence"
        )
        visited = {at: is_edge for at, is_edge in visits}
        for at in range(0, size, step):
            part = [row[at : at + step] for row in tile]
            some, every = any(map(any, part)), all(map(all, part)) and at + step <= size
            assert at in visited or not some, f"missed tile {at}"
            assert visited.get(at, True) or every, f"tile {at} is not full"
            totals["visited"] += at in visited
            totals["seen"] += some
            totals["full"] += visited.get(at) is False
            totals["truly full"] += every


# Ends that read an array of positions, or look through the tile, or are found through reals: plain ints do not stand
# for those. Kernels of such masks are in tests/kernels/zoo.py.
SKIPPED = {"floored_distance", "row_or_column"} | {
    name for name, text in ALL.items() if re.search(r"\b(doc|valid|start)\[", text)
}


@pytest.mark.parametrize("name", sorted(ALL.keys() - SKIPPED))
def test_loops_of_the_zoo(name: str) -> None:
    totals = check_zoo(name, usual)
    if name in TIGHT or name in NEARLY_TIGHT:
        assert totals["visited"] == totals["seen"]
    if name in TIGHT:
        assert totals["full"] == totals["truly full"]


@pytest.mark.parametrize("name", sorted(ALL.keys() - SKIPPED))
def test_loops_for_arguments_nobody_expects(name: str) -> None:
    check_zoo(name, nasty)


def check_union(mask: ir.Bool, values: dict[str, Any], rows: int, step: int) -> None:
    attention = replace(attention_of(mask), params=ARRAYS, apart=("period",))
    seen = pairs_seen(mask, values)
    totals = {"visited": 0, "seen": 0, "full": 0, "truly full": 0}
    for target in ("j", "i"):
        ranges = find_ranges(attention, target)  # type: ignore[arg-type]
        pairs = seen if target == "j" else transposed(seen)
        check_ranges(ranges, pairs, values, rows, step, Counts())
        text, _ = emitted_loops(attention, ranges)
        unread = {name: [0] for name in ("windows", "offsets", "lengths", "global_head")}
        check_call(text, target, pairs, {**values, **unread}, rows, step, totals)


@cases(150, 40)
@given(unions, calls(), st.integers(1, 5), st.integers(1, 5))
def test_loops_of_random_unions(mask: ir.Bool, values: dict[str, Any], rows: int, step: int) -> None:
    check_union(mask, values, rows, step)


@pytest.mark.slow
@cases(6000 // TURNS)
@given(unions, calls(), st.integers(1, 5), st.integers(1, 5))
def test_loops_of_many_random_unions(mask: ir.Bool, values: dict[str, Any], rows: int, step: int) -> None:
    check_union(mask, values, rows, step)
