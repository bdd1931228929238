"""Counts of tiles against a look at every pair."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from effort import at_most
from hypothesis import given
from hypothesis import strategies as st
from mask_zoo import ALL, attention_of, nasty, usual
from properties import cases

import attnc
from attnc.analyze.facts import Interval, Ranges, Reason, Requirement, Shown
from attnc.analyze.ranges import find_ranges
from attnc.errors import AttncError
from attnc.ir.nodes import Index, IntConst, IntLoad, IntOp, IntParam, Size, TileEnd
from attnc.run.coordinates import period_end, tile_end
from attnc.run.tiles import (
    MOST_STRIPS,
    TileRow,
    Tiles,
    count_rows,
    count_tiles,
    find_density,
    find_tile_rows,
    join,
)
from attnc.run.values import int_value

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
Sees = Callable[[int, int], bool]


def look(sees: Sees, n: int, m: int, block_q: int, block_k: int) -> Tiles:
    visited = full = total = 0
    for q0 in range(0, n, block_q):
        for k0 in range(0, m, block_k):
            queries, keys = range(q0, min(q0 + block_q, n)), range(k0, min(k0 + block_k, m))
            seen = [sees(i, j) for i in queries for j in keys]
            visited, full, total = visited + any(seen), full + all(seen), total + 1
    return Tiles(visited, full, total)


CASES: dict[str, Callable[[int, int], tuple[dict[str, int], Sees]]] = {
    "causal": lambda a, b: ({}, lambda i, j: j <= i),
    "sliding_window": lambda a, b: ({"window": a}, lambda i, j: j <= i and i - j < a),
    "prefix_lm": lambda a, b: ({"prefix": a}, lambda i, j: j < a or j <= i),
    "streaming_llm": lambda a, b: (
        {"window": a, "sinks": b},
        lambda i, j: j <= i and (j < b or i - j < a),
    ),
}
FUNCTIONS = {name: attnc.load(EXAMPLES / f"{name}.attn") for name in CASES}


@pytest.mark.parametrize("name", CASES)
@given(
    n=st.integers(0, 40),
    m=st.integers(0, 40),
    block_q=st.integers(1, 9),
    block_k=st.integers(1, 9),
    a=st.integers(1, 45),
    b=st.integers(1, 9),
)
@cases(60)
def test_counts_are_those_of_a_look_at_every_pair(
    name: str, n: int, m: int, block_q: int, block_k: int, a: int, b: int
) -> None:
    arguments, sees = CASES[name](a, b)
    counted = FUNCTIONS[name].tiles(N=n, M=m, block_q=block_q, block_k=block_k, **arguments)
    seen = look(sees, n, m, block_q, block_k)
    assert (counted.visited, counted.total) == (seen.visited, seen.total)
    if name == "streaming_llm":  # a tile may be seen by the sinks in one part and the window in the other
        assert counted.full <= seen.full
    else:
        assert counted.full == seen.full


def test_a_long_sequence_is_counted_at_once() -> None:
    tiles = FUNCTIONS["sliding_window"].tiles(N=2**20, M=2**20, block_q=128, block_k=128, window=1024)
    assert tiles.total == 2**26
    assert tiles.visited == 9 * 2**13 - 36  # eight full tiles and the diagonal, but for the first eight rows
    assert tiles.full == 7 * 2**13 - 28


@given(
    blocks=st.integers(1, 400), block=st.integers(1, 9), reach=st.integers(1, 50), rest=st.integers(0, 3000)
)
def test_counts_of_a_window_follow_a_formula(blocks: int, block: int, reach: int, rest: int) -> None:
    """A window of `reach` blocks and one: the diagonal, `reach` tiles before it, all but the first of them whole."""
    n = blocks * block
    tiles = FUNCTIONS["sliding_window"].tiles(
        N=n, M=n + rest, block_q=block, block_k=block, window=reach * block + 1
    )
    before = sum(min(row, reach) for row in range(blocks))
    assert tiles.visited == blocks + before
    if block > 1:  # a tile of one pair is full where it is visited
        assert tiles.full == before - (blocks - reach if blocks > reach else 0)
    assert tiles.total == blocks * -(-(n + rest) // block)


def test_counting_holds_no_more_for_a_long_sequence() -> None:
    """What is kept at one time does not grow with the number of tiles, of which there are 2**26."""
    tracemalloc.start()
    try:
        FUNCTIONS["sliding_window"].tiles(N=2**20, M=2**20, block_q=128, block_k=128, window=4096)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_defaults_are_filled_in() -> None:
    window = FUNCTIONS["sliding_window"]
    assert window.tiles(N=8192, M=8192, block_q=128, block_k=128) == window.tiles(
        N=8192, M=8192, block_q=128, block_k=128, window=4096
    )


# ---- rows and density ------------------------------------------------------------------------------


@given(
    spans=st.lists(st.tuples(st.integers(-5, 60), st.integers(-5, 60)), max_size=5),
    size=st.integers(1, 50),
    block=st.integers(1, 9),
)
def test_rows_are_disjoint_intervals_in_order(spans: list[tuple[int, int]], size: int, block: int) -> None:
    intervals = tuple(Interval(IntConst(lo), IntConst(hi)) for lo, hi in spans)
    keys = Ranges("j", intervals, intervals, True, True, (Reason("given"),))
    (row,) = find_tile_rows(keys, {"N": 1, "M": size}, 1, block)
    tiles = range(-(-size // block))
    within = [range(max(lo, 0), min(hi, size)) for lo, hi in spans]
    touched = {key // block for keys in within for key in keys}
    whole = {
        t
        for t in tiles
        if any(set(range(t * block, min((t + 1) * block, size))) <= set(keys) for keys in within)
    }
    for runs, expected in ((row.visited, touched), (row.full, whole)):
        assert {tile for lo, hi in runs for tile in range(lo, hi)} == expected
        ends = [end for run in runs for end in run]
        assert ends == sorted(set(ends))


def rows_one_by_one(keys: Ranges, values: dict[str, Any], block_q: int, block_k: int) -> list[TileRow]:
    """The same, from the ends of one tile, and of one period, after the other."""
    rows, at, size = [], dict(values), int(values["M"])
    step = 1
    if keys.periods and keys.takes_several_periods:
        step = max(block_k // int_value(keys.periods.length, at), 1)

    def clipped(interval: Interval) -> tuple[int, int]:
        return max(int_value(interval.lo, at), 0), min(int_value(interval.hi, at), size)

    for first_query in range(0, values["N"], block_q):
        at[tile_end("i", "first")] = first_query
        at[tile_end("i", "last")] = min(first_query + block_q, values["N"]) - 1
        near, whole = list[tuple[int, int]](), list[tuple[int, int]]()

        def look_at(shown: Sequence[Shown]) -> None:
            for visited, full in shown:
                lo, hi = clipped(visited)
                if lo < hi:
                    near.append((lo // block_k, -(-hi // block_k)))  # noqa: B023
                lo, hi = clipped(full) if full else (0, 0)
                if lo < hi:
                    end = -(-size // block_k) if hi == size else hi // block_k
                    whole.append((-(-lo // block_k), end))  # noqa: B023

        if keys.periods:
            end = int_value(keys.periods.hi, at)
            for number in range(int_value(keys.periods.lo, at), end, step):
                at[period_end("first")], at[period_end("last")] = number, min(number + step, end) - 1
                look_at(keys.shown)
            look_at([keys.suffix] if keys.suffix else [])
        else:
            look_at(keys.shown)
        rows.append(TileRow(join(near), join(whole)))
    return rows


@pytest.mark.parametrize("name", sorted(ALL))
def test_tiles_found_at_once_are_those_of_one_after_the_other(name: str) -> None:
    keys, random = find_ranges(attention_of(ALL[name]), "j"), Random(name)
    for draw in (usual, nasty, usual):
        values = {**draw(random).values, "h": random.randrange(3), "b": random.randrange(2)}
        block_q, block_k = random.choice([(1, 1), (4, 4), (3, 8), (16, 5)])
        expected = rows_one_by_one(keys, values, block_q, block_k)
        assert list(find_tile_rows(keys, values, block_q, block_k)) == expected
        assert count_tiles(keys, values, block_q, block_k) == count_rows(
            expected, -(-values["N"] // block_q) * -(-values["M"] // block_k)
        )
        least = sum(hi - lo for row in rows_one_by_one(keys, values, 1, 1) for lo, hi in row.full)
        most = sum(hi - lo for row in rows_one_by_one(keys, values, 1, 1) for lo, hi in row.visited)
        pairs = values["N"] * values["M"]
        assert find_density(keys, values) == (least / pairs, most / pairs)


def test_rows_of_another_source_are_counted_alike() -> None:
    rows = [TileRow(((0, 2), (5, 6)), ((1, 2),)), TileRow((), ()), TileRow(((0, 9),), ((0, 4), (5, 9)))]
    assert count_rows(rows, 27) == Tiles(12, 9, 27)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("n", "m", "a", "b"), [(37, 37, 9, 3), (1, 50, 4, 4), (50, 7, 3, 2)])
def test_density_is_the_share_of_visible_pairs(name: str, n: int, m: int, a: int, b: int) -> None:
    arguments, sees = CASES[name](a, b)
    share = sum(sees(i, j) for i in range(n) for j in range(m)) / (n * m)
    assert find_density(FUNCTIONS[name].facts.keys, {"N": n, "M": m, **arguments}) == (share, share)


@pytest.mark.parametrize("n", [MOST_STRIPS + 1, 10 * MOST_STRIPS - 3])
def test_density_of_a_long_sequence_lies_between_its_bounds(n: int) -> None:
    least, most = find_density(FUNCTIONS["causal"].facts.keys, {"N": n, "M": n})
    assert least < (n + 1) / (2 * n) < most < least + 11 / n


# ---- how much work it is ---------------------------------------------------------------------------

WINDOW_3D = """
attention window_3d(r: int):
    grid  z: 16, y: 32, x: 32
    mask  abs(i.z - j.z) <= r and abs(i.y - j.y) <= r and abs(i.x - j.x) <= r
"""


def test_tiles_of_a_grid_are_found_at_once() -> None:
    """16,384 tokens in 512 rows: each query looks at hundreds of them."""
    keys = attnc.compile(WINDOW_3D).facts.keys
    values = {"N": 16384, "M": 16384, "r": 3}
    assert keys.periods is not None
    with at_most(300_000):
        tiles = count_tiles(keys, values, 128, 128)
        least, most = find_density(keys, values)
    assert tiles.total == 128**2
    seen = [sum(min(a + 3, size - 1) - max(a - 3, 0) + 1 for a in range(size)) for size in (16, 32, 32)]
    assert least <= seen[0] * seen[1] * seen[2] / 16384**2 <= most <= tiles.visited / tiles.total


def test_documents_of_a_million_tokens_are_counted_at_once() -> None:
    keys, n = attnc.load(EXAMPLES / "packed_documents.attn").facts.keys, 2**20
    doc = (torch.arange(n) // 1000)[None]
    values = {"N": n, "M": n, "b": 0, "doc": doc}
    with at_most(100_000):
        least, most = find_density(keys, values)
    whole, rest = divmod(n, 1000)
    seen = (whole * 1000 * 1001 + rest * (rest + 1)) / 2 / n**2
    assert least <= seen <= most <= 1.05 * seen


# ---- ends that no example has ----------------------------------------------------------------------

first, last = TileEnd("i", "first"), TileEnd("i", "last")


def ranges(
    *visited: Interval, full: Interval | None = None, requires: tuple[Requirement, ...] = ()
) -> Ranges:
    return Ranges(
        "j", visited, tuple(full for _ in visited), True, True, (Reason("given"),), requires=requires
    )


def test_overlapping_intervals_count_a_tile_once() -> None:
    keys = ranges(Interval(IntConst(0), IntConst(20)), Interval(IntConst(10), IntConst(30)))
    assert count_tiles(keys, {"N": 4, "M": 100}, 4, 10) == Tiles(3, 0, 10)


def test_ends_outside_the_keys_are_clipped() -> None:
    keys = ranges(Interval(IntConst(-50), IntConst(500)), full=Interval(IntConst(-50), IntConst(500)))
    assert count_tiles(keys, {"N": 1, "M": 95}, 4, 10) == Tiles(10, 10, 10)


def test_an_empty_interval_visits_nothing() -> None:
    keys = ranges(Interval(IntConst(40), IntConst(20)), full=Interval(IntConst(97), IntConst(500)))
    assert count_tiles(keys, {"N": 1, "M": 95}, 4, 10) == Tiles(0, 0, 10)


def test_arrays_are_read_at_the_head_and_the_batch_entry() -> None:
    keys = ranges(Interval(IntConst(0), IntLoad("kv_len", (Index("b"), IntOp("%", Index("h"), Size("HKV"))))))
    values = {"N": 4, "M": 100, "HKV": 2, "kv_len": [[10, 20], [30, 40]]}
    counts = [count_tiles(keys, {**values, "b": b, "h": h}, 4, 10).visited for b in (0, 1) for h in (0, 1, 2)]
    assert counts == [1, 2, 1, 3, 4, 3]


@pytest.mark.parametrize("b", [0, 1])
def test_tensors_are_read_as_lists_are(b: int) -> None:
    documents = attnc.load(EXAMPLES / "packed_documents.attn")
    doc = torch.tensor([[0] * 7 + [1] * 30 + [2] * 13, [0] * 50])
    seen = look(lambda i, j: j <= i and bool(doc[b, i] == doc[b, j]), 50, 50, 4, 4)
    for array in (doc, doc.tolist(), doc.numpy(), doc.int()):
        assert documents.tiles(N=50, M=50, block_q=4, block_k=4, b=b, doc=array) == seen


@pytest.mark.parametrize("entry", [0.0, 2.0])
def test_a_condition_on_vectors_may_decide_where_a_range_ends(entry: float) -> None:
    text = "attention a(u: float[2]):\n    mask j <= i and (i - j < 8 or sum_d(2.0 * u[:]) > 2.0)\n"
    found = attnc.compile(text).tiles(N=32, M=32, block_q=8, block_k=8, u=torch.tensor([entry, 1.0]))
    assert found == look(lambda i, j: j <= i and (i - j < 8 or entry > 0), 32, 32, 8, 8)


def test_a_parameter_may_be_called_like_a_tile_end() -> None:
    keys = ranges(Interval(first, IntOp("+", last, IntParam("first"))))
    assert count_tiles(keys, {"N": 8, "M": 100, "first": 1, "last": 77}, 4, 1) == Tiles(8, 0, 200)


@pytest.mark.parametrize(
    ("values", "code"),
    [({"kv_len": [3], "b": 1}, "index-out-of-range"), ({"kv_len": [3], "b": -1}, "index-out-of-range"),
     ({"b": 0}, "missing-argument")],
)  # fmt: skip
def test_values_that_do_not_serve(values: dict[str, object], code: str) -> None:
    keys = ranges(Interval(IntConst(0), IntLoad("kv_len", (Index("b"),))))
    with pytest.raises(AttncError) as caught:
        count_tiles(keys, {"N": 4, "M": 4, **values}, 4, 4)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_a_requirement_that_does_not_hold() -> None:
    keys = ranges(Interval(first, last), requires=(Requirement(IntParam("c"), Reason("`i // c`")),))
    with pytest.raises(AttncError, match="`c` needs 1 or more, got 0"):
        count_tiles(keys, {"N": 4, "M": 4, "c": 0}, 4, 4)
    assert count_tiles(keys, {"N": 4, "M": 4, "c": 1}, 4, 4).total == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"block_q": 0}, "wrong-size"),
        ({"N": -1}, "wrong-size"),
        ({"N": 1.5}, "wrong-type"),
        ({"window": "wide"}, "wrong-type"),
        ({"widow": 3}, "unknown-argument"),
    ],
)
def test_mistakes_of_the_caller(arguments: dict[str, object], code: str) -> None:
    with pytest.raises(AttncError) as caught:
        FUNCTIONS["sliding_window"].tiles(**{"N": 8, "M": 8, "block_q": 4, "block_k": 4, **arguments})
    assert [d.code for d in caught.value.diagnostics] == [code]
