"""The terms of ranges and the words of their reasons, letter by letter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Literal

import pytest
from effort import at_most
from mask_zoo import attention_of
from turns import in_turn

from attnc.analyze.facts import Interval, Ranges
from attnc.analyze.ranges import find_ranges
from attnc.analyze.requirements import find_requirements
from attnc.analyze.rows import find_rows
from attnc.analyze.tile_intervals import MOST_AROUND, MOST_INTERVALS
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir
from attnc.ir.walk import replace_terms
from attnc.source import Source, Span

ROOT = Path(__file__).parent.parent.parent


def text_of(intervals: tuple[Interval | None, ...]) -> str:
    return " ".join(f"[{print_ir(each.lo)}, {print_ir(each.hi)})" if each else "-" for each in intervals)


FORMS = {
    "true": (
        "[0, M)", "[0, M)",
        "[0, N)", "[0, N)",
    ),
    "j <= i": (
        "[0, last(i) + 1)", "[0, first(i) + 1)",
        "[first(j), N)", "[last(j), N)",
    ),
    "j <= i and i - j < window": (
        "[first(i) - window + 1, last(i) + 1)", "[last(i) - window + 1, first(i) + 1)",
        "[first(j), last(j) + window)", "[last(j), first(j) + window)",
    ),
    "j <= i and i - j < windows[h]": (
        "[first(i) - windows[h] + 1, last(i) + 1)", "[last(i) - windows[h] + 1, first(i) + 1)",
        "[first(j), last(j) + windows[h])", "[last(j), first(j) + windows[h])",
    ),
    "abs(i - j) <= window": (
        "[first(i) - window, last(i) + window + 1)", "[last(i) - window, first(i) + window + 1)",
        "[first(j) - window, last(j) + window + 1)", "[last(j) - window, first(j) + window + 1)",
    ),
    "j <= i and (j < 4 or i - j < window)": (
        "[0, min(last(i) + 1, 4)) [first(i) - window + 1, last(i) + 1)",
        "[0, min(first(i) + 1, 4)) [last(i) - window + 1, first(i) + 1)",
        "[first(j), N if first(j) < 4 else 0) [first(j), last(j) + window)",
        "[last(j), N if last(j) < 4 else 0) [last(j), first(j) + window)",
    ),
    "j < prefix or j <= i": (
        "[0, max(last(i) + 1, prefix))", "[0, max(first(i) + 1, prefix))",
        "[0 if first(j) < prefix else first(j), N)", "[0 if last(j) < prefix else last(j), N)",
    ),
    "i // chunk == j // chunk": (
        "[chunk * (first(i) // chunk), chunk * (last(i) // chunk) + chunk)",
        "[chunk * (last(i) // chunk), chunk * (first(i) // chunk) + chunk)",
        "[chunk * (first(j) // chunk), chunk * (last(j) // chunk) + chunk)",
        "[chunk * (last(j) // chunk), chunk * (first(j) // chunk) + chunk)",
    ),
    "j // chunk <= i // chunk": (
        "[0, chunk * (last(i) // chunk) + chunk)", "[0, chunk * (first(i) // chunk) + chunk)",
        "[chunk * (first(j) // chunk), N)", "[chunk * (last(j) // chunk), N)",
    ),
    "j <= i and i // chunk - 1 <= j // chunk": (
        "[chunk * (first(i) // chunk) - chunk, last(i) + 1)", "[chunk * (last(i) // chunk) - chunk, first(i) + 1)",
        "[first(j), chunk * (last(j) // chunk) + 2 * chunk)", "[last(j), chunk * (first(j) // chunk) + 2 * chunk)",
    ),
    "j <= i + offsets[b]": (
        "[0, last(i) + offsets[b] + 1)", "[0, first(i) + offsets[b] + 1)",
        "[first(j) - offsets[b], N)", "[last(j) - offsets[b], N)",
    ),
    "j <= i and (h < 4 or i - j < window)": (
        "[0 if h < 4 else first(i) - window + 1, last(i) + 1)",
        "[0 if h < 4 else last(i) - window + 1, first(i) + 1)",
        "[first(j), N if h < 4 else last(j) + window)", "[last(j), N if h < 4 else first(j) + window)",
    ),
    "j <= i and doc[i] == doc[j]": (
        "[0, last(i) + 1)", "-",
        "[first(j), N)", "-",
    ),
    "j <= i or doc[i] == doc[j]": (
        "[0, M)", "[0, first(i) + 1)",
        "[0, N)", "[last(j), N)",
    ),
    "i < 5 or j < 3": (
        "[0, M if first(i) < 5 else min(M, 3))", "[0, M if last(i) < 5 else min(M, 3))",
        "[0, N if first(j) < 3 else min(N, 5))", "[0, N if last(j) < 3 else min(N, 5))",
    ),
    "h < 4 and j <= i": (
        "[0, last(i) + 1 if h < 4 else 0)", "[0, first(i) + 1 if h < 4 else 0)",
        "[first(j), N if h < 4 else 0)", "[last(j), N if h < 4 else 0)",
    ),
    "j <= i and j < i": (
        "[0, last(i))", "[0, first(i))",
        "[first(j) + 1, N)", "[last(j) + 1, N)",
    ),
    "i < j and j < i": ("", "", "", ""),
}  # fmt: skip


@pytest.mark.parametrize("mask", FORMS)
def test_terms(mask: str) -> None:
    keys, queries = find_ranges(attention_of(mask), "j"), find_ranges(attention_of(mask), "i")
    found = (text_of(keys.visited), text_of(keys.full), text_of(queries.visited), text_of(queries.full))
    assert found == FORMS[mask]


TILE = "so tiles are listed"
LISTED_KEYS = "queries [i0, i1] read the keys of tiles that are listed before the kernel runs"
LISTED_QUERIES = "keys [j0, j1] are read by the queries of tiles that are listed before the kernel runs"

REASONS = {
    ("j <= i and i - j < window", "j"): [
        "`j <= i` gives keys below i + 1",
        "`i - j < window` gives keys from i - window + 1",
        "queries [i0, i1] read only keys [i0 - window + 1, i1 + 1);"
        " all of them see keys [i1 - window + 1, i0 + 1)",
    ],
    ("j <= i and i - j < window", "i"): [
        "`j <= i` gives queries from j",
        "`i - j < window` gives queries below j + window",
        "keys [j0, j1] are read only by queries [j0, j1 + window); queries [j1, j0 + window) see all of them",
    ],
    ("i // chunk == j // chunk", "j"): [
        "`i // chunk == j // chunk` gives keys [chunk * (i // chunk), chunk * (i // chunk) + chunk)",
        "`i // chunk` divides by `chunk`: the call checks that `chunk` is at least 1",
        "queries [i0, i1] read only keys [chunk * (i0 // chunk), chunk * (i1 // chunk) + chunk);"
        " all of them see keys [chunk * (i1 // chunk), chunk * (i0 // chunk) + chunk)",
    ],
    ("i < 5 or j < 3 and h < 2", "j"): [
        "`i < 5` holds for queries below 5",
        "`j < 3` gives keys below 3",
        "`h < 2` is the same for every pair",
        "queries [i0, i1] read only keys [0, M if i0 < 5 else 0) and [0, 3 if h < 2 else 0);"
        " all of them see keys [0, M if i1 < 5 else 0) and [0, 3 if h < 2 else 0)",
    ],
    ("i != j and not (j < 3 and j < window)", "j"): [
        "`i != j` gives keys below i, or keys from i + 1",
        "`not (j < 3)` gives keys from 3",
        "`not (j < window)` gives keys from window",
        "queries [i0, i1] read only keys [min(window, 3), i1) and [max(i0 + 1, min(window, 3)), M);"
        " all of them see keys [min(window, 3), i0) and [max(i1 + 1, min(window, 3)), M)",
    ],
    ("j <= i and doc[i] == doc[j]", "j"): [
        "`j <= i` gives keys below i + 1",
        "`doc[i] == doc[j]` reads an array at key positions: no closed form, so tiles are listed",
        LISTED_KEYS,
    ],
    ("doc[i] == doc[j]", "i"): [
        f"`doc[i] == doc[j]` reads an array at query positions: no closed form, {TILE}",
        LISTED_QUERIES,
    ],
    ("j <= i or doc[i] == doc[j]", "j"): [
        "`j <= i` gives keys below i + 1",
        "`doc[i] == doc[j]` reads an array at key positions: no closed form, so tiles are listed",
        LISTED_KEYS,
    ],
    ("start[i] <= j", "j"): [
        "`start[i] <= j` gives keys from start[i]",
        "least and greatest are taken over the tile, at the start of each program",
        "queries [i0, i1] read only keys [least(i, start[i]), M); all of them see keys [greatest(i, start[i]), M)",
    ],
    ("start[i] <= j", "i"): [
        f"`start[i] <= j` reads an array at query positions: no closed form, {TILE}",
        LISTED_QUERIES,
    ],
    ("(i - j) % 3 == 0", "j"): [
        "`(i - j) % 3 == 0` is solved in every period of `3` keys",
        "period p has keys [i + 3 * p - 2, i + 3 * p + 1); queries [i0, i1] look at periods"
        " [-(i1 // 3), 1 - (i0 - M + 1) // 3)",
        "queries [i0, i1] read only keys [i0 + 3 * p, i1 + 3 * p + 1);"
        " all of them see keys [i1 + 3 * p, i0 + 3 * p + 1)",
    ],
    ("ispow2(i - j)", "j"): [
        f"`ispow2(i - j)` asks for a power of two: no closed form, {TILE}",
        LISTED_KEYS,
    ],
    ("j in doc[h, :]", "j"): [
        f"`j in doc[h, :]` looks for keys in an array: no closed form, {TILE}",
        LISTED_KEYS,
    ],
    ("real(i - j) < temperature", "j"): [
        f"`real(i - j) < temperature` compares real numbers: no closed form, {TILE}",
        LISTED_KEYS,
    ],
    ("j * j <= i", "j"): [
        f"`j * j <= i` is not solved for `j`: no closed form, {TILE}",
        LISTED_KEYS,
    ],
    ("i // windows[h] == j // windows[h]", "j"): [
        "`i // windows[h] == j // windows[h]` gives keys [windows[h] * (i // windows[h]) if 0 < windows[h] else 0,"
        " windows[h] * (i // windows[h]) + windows[h] if 0 < windows[h] else M)",
        "queries [i0, i1] read only keys [windows[h] * (i0 // windows[h]) if 0 < windows[h] else 0,"
        " windows[h] * (i1 // windows[h]) + windows[h] if 0 < windows[h] else M);"
        " all of them see keys [windows[h] * (i1 // windows[h]) if 0 < windows[h] else 0,"
        " windows[h] * (i0 // windows[h]) + windows[h] if 0 < windows[h] else 0)",
    ],
    ("i < j and j < i", "j"): [
        "`i < j` gives keys from i + 1",
        "`j < i` gives keys below i",
        "no query sees a key",
    ],
    ("true", "i"): ["keys [j0, j1] are read by all queries; all queries see all of them"],
}


@pytest.mark.parametrize(("mask", "target"), REASONS)
def test_reasons(mask: str, target: Literal["i", "j"]) -> None:
    assert [reason.text for reason in find_ranges(attention_of(mask), target).because] == REASONS[
        mask, target
    ]


@pytest.mark.parametrize(
    ("mask", "exact", "closed"),
    [
        ("true", True, True),
        ("j <= i and i - j < window", True, True),
        ("j <= i and (h < 4 or i - j < window)", True, True),
        ("i // chunk == j // chunk", True, True),
        ("j <= i and doc[i] == doc[j]", False, True),
        ("j <= i or doc[i] == doc[j]", False, False),
        ("3 * i <= j and j <= 3 * i + 1", False, True),  # the keys of neighboring queries leave gaps
        ("2 * i <= j and j <= 2 * i + 1", True, True),
        (
            "j <= i and i + j <= 9",
            False,
            True,
        ),  # the last keys of neighboring queries move against each other
        ("window - i <= j and j <= window + i", True, True),
    ],
)
def test_exact_and_closed(mask: str, exact: bool, closed: bool) -> None:
    ranges = find_ranges(attention_of(mask), "j")
    assert (ranges.exact, ranges.closed) == (exact, closed)


def test_a_reason_points_at_what_was_written() -> None:
    source = Source("window.attn", "attention a(w: int):\n    mask j <= i and  \\\n        i - j < w\n")
    at = source.text.index("j <= i")
    span = Span(source, at, at + 6)
    whole = Span(source, source.text.index("i - j"), len(source.text))
    mask = build.conj(
        ir.Compare("<=", ir.Index("j"), ir.Index("i"), span=span),
        ir.Compare("<", ir.IntOp("-", ir.Index("i"), ir.Index("j")), ir.IntParam("w"), span=whole),
    )
    first, second, _ = find_ranges(attention_of(mask), "j").because
    assert str(first) == "`j <= i` gives keys below i + 1 (window.attn:2)"
    assert str(second) == "`i - j < w` gives keys from i - w + 1 (window.attn:3)"


# ---- limits ----------------------------------------------------------------------------------------


def keys_of(mask: ir.Bool) -> Ranges:
    return find_ranges(attention_of(mask), "j")


def windows_at(count: int) -> ir.Bool:
    """Keys 100 * n - 5 ... 100 * n relative to the query, for so many n."""
    gap = ir.IntOp("-", ir.Index("i"), ir.Index("j"))
    starts = [ir.IntConst(100 * n) for n in reversed(range(count))]
    return build.disj(
        *(
            build.conj(build.compare("<=", start, gap), build.compare("<=", gap, ir.IntConst(start.value + 5)))
            for start in starts
        )
    )  # fmt: skip


def test_as_many_intervals_as_a_kernel_sweeps_stay_apart_and_in_order() -> None:
    ranges = keys_of(windows_at(MOST_INTERVALS))
    starts = [print_ir(each.lo) for each in ranges.visited]
    assert starts == [f"first(i) - {100 * n + 5}" for n in reversed(range(MOST_INTERVALS))]


def test_more_intervals_than_a_kernel_sweeps_become_one() -> None:
    ranges = keys_of(windows_at(MOST_INTERVALS + 1))
    assert text_of(ranges.visited) == "[first(i) - 605, last(i) + 1)"
    assert not ranges.exact
    said = "7 intervals are more than a kernel should sweep, so one around all of them is visited"
    assert said in [reason.text for reason in ranges.because]


def test_two_intervals_in_no_certain_order_are_put_in_order_at_run_time() -> None:
    ranges = find_ranges(
        attention_of("j <= i and prefix <= j and j < prefix + 3 or i - window <= j and j < i - 9"), "j"
    )
    first = "prefix + window <= first(i)"
    assert text_of(ranges.visited) == (
        f"[min(first(i) - window, prefix), min(last(i) + 1, prefix + 3) if {first} else last(i) - 9) "
        f"[max(first(i) - window, prefix), last(i) - 9 if {first} else min(last(i) + 1, prefix + 3))"
    )
    assert not ranges.loose


def test_of_three_intervals_one_is_certain_to_start_last_where_it_matters() -> None:
    """`prefix` may be anything; but an interval which ends before `M - 9` and holds a key starts there too."""
    ranges = find_ranges(
        attention_of(
            "j < M - 9 and (prefix <= j and j < prefix + 3 or i - window <= j and j < i - 9) or M - 3 <= j"
        ),
        "j",
    )
    first = "prefix + window <= first(i)"
    assert text_of(ranges.visited) == (
        f"[min(first(i) - window, prefix), min(M - 9, prefix + 3) if {first} else min(last(i) - 9, M - 9)) "
        f"[max(first(i) - window, prefix), min(last(i) - 9, M - 9) if {first} else min(M - 9, prefix + 3)) "
        "[M - 3, M)"
    )
    assert not ranges.loose


def test_which_starts_first_is_asked_where_both_are_there() -> None:
    """That is in a tile of keys below `shared` and from it on, so the question speaks of no `max`."""
    mask = (
        "j < shared and j <= i and i < j + 3 or "
        "shared <= j and j - shared + prefix <= i and i < j - shared + prefix + 3"
    )
    ranges = find_ranges(attention_of(mask), "i")
    above = "max(first(j), shared) + prefix - shared"
    assert print_ir(ranges.visited[0].lo) == f"first(j) if first(j) <= prefix else {above}"
    assert print_ir(ranges.visited[1].lo) == f"{above} if first(j) <= prefix else first(j)"
    assert not ranges.loose


def test_intervals_in_no_certain_order_become_one() -> None:
    ranges = find_ranges(
        attention_of(
            "j <= i and "
            "(prefix <= j and j < prefix + 3 or shared <= j and j < shared + 3 or i - window <= j and j < i - 9)"
        ),
        "j",
    )
    assert text_of(ranges.visited) == (
        "[min(min(first(i) - window, prefix), shared), "
        "max(max(last(i) - 9, min(last(i) + 1, prefix + 3)), min(last(i) + 1, shared + 3)))"
    )
    said = "it is not certain which interval starts first, so one around all of them is visited"
    assert said in [reason.text for reason in ranges.because]


def test_too_many_pieces_are_said_to_be() -> None:
    keys = [build.compare("==", ir.Index("j"), ir.IntConst(10 * n)) for n in range(40)]
    ranges = keys_of(build.disj(*keys))
    assert text_of(ranges.visited) == "[0, M)"
    assert not ranges.closed
    said = "the mask falls apart into too many pieces, so the ranges are wider than they need be"
    assert said in [reason.text for reason in ranges.because]


def test_intervals_too_many_to_go_around_are_everything() -> None:
    ranges = keys_of(windows_at(MOST_AROUND + 1))
    assert text_of(ranges.visited) == "[0, M)"
    said = "13 intervals are more than a kernel should sweep, so every tile is visited"
    assert said in [reason.text for reason in ranges.because]


def repeated(term: ir.Int, step: Callable[[ir.Int, int], ir.Int], times: int) -> ir.Int:
    return reduce(step, range(times), term)


I, J, W = ir.Index("i"), ir.Index("j"), ir.IntParam("w")
NUMBERS = [ir.IntConst(n) for n in range(1_000)]
AT_HEAD = [ir.IntLoad("start", (n, ir.Index("h"))) for n in NUMBERS]
HEAVY: dict[str, ir.Bool] = {
    "nested remainders": ir.Compare("<=", J, repeated(I, lambda a, n: ir.IntOp("%", a, NUMBERS[n + 3]), 60)),
    "nested distances": ir.Compare("<=", repeated(J, lambda a, n: ir.IntAbs(ir.IntOp("-", a, NUMBERS[n])), 60), W),
    "powers": ir.Compare("<=", repeated(ir.IntOp("+", I, ir.IntOp("+", J, W)), lambda a, n: ir.IntOp("*", a, a), 9), W),
    "nested extremes": ir.Compare(
        "<=", repeated(J, lambda a, n: ir.IntOp("min" if n % 2 else "max", ir.IntOp("+", a, W), AT_HEAD[n]), 50), W
    ),
    "nested alternatives": reduce(
        lambda a, n: (ir.Or if n % 2 else ir.And)((ir.Compare("<", J, AT_HEAD[n]), a)), range(110), ir.Truth(True)
    ),
    "nested choices": ir.Compare("<=", J, repeated(I, lambda a, n: ir.IntIf(ir.Compare("<", a, AT_HEAD[n]), a, J), 9)),
    "a sum of distances": ir.Compare(
        "<=", repeated(W, lambda a, n: ir.IntOp("+", a, ir.IntAbs(ir.IntOp("-", J, AT_HEAD[n]))), 30), I
    ),
    "many keys": ir.Or(tuple(ir.Compare("==", J, at) for at in AT_HEAD)),
    "all but many keys": ir.And(tuple(ir.Compare("!=", J, at) for at in AT_HEAD)),
    "many ends": ir.And(tuple(ir.Compare("<=", J, ir.IntLoad("start", (n, I))) for n in NUMBERS)),
    "many conditions": ir.And((ir.Compare("<=", J, I), *(ir.Compare("<", W, at) for at in AT_HEAD))),
    "many alternatives": ir.And(
        tuple(ir.Or((ir.Compare("<=", J, ir.IntOp("+", I, at)), ir.Compare("<", at, J))) for at in AT_HEAD[:300])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", in_turn(HEAVY, turns=4))
def test_no_mask_takes_long(name: str) -> None:
    """Each of them takes for ever to a solver without limits."""
    attention = attention_of(HEAVY[name])
    with at_most(20_000_000):
        for target in ("j", "i"):
            assert find_ranges(attention, target).because  # type: ignore[arg-type]
        assert find_rows(attention).because


def test_an_analysis_that_runs_out_of_steps_says_so() -> None:
    said = "the analysis ran out of steps, so the ranges may be wider than they need be"
    assert said in [reason.text for reason in keys_of(HEAVY["a sum of distances"]).because]


# ---- requirements ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "required"),
    [
        ("i // chunk == j // chunk", ["chunk"]),
        ("j <= i and i // chunk == j // chunk", ["chunk"]),
        ("i % chunk == 0", ["chunk"]),
        ("j // (chunk // 2 + 1) < i // stride", ["chunk // 2 + 1", "stride"]),
        ("i // chunk == j // chunk or j % chunk == 0", ["chunk"]),
        ("j // 3 == i // 3", []),
        ("j // N == i // N", []),
        ("j < N // chunk", []),  # no position is divided
        ("i // windows[h] == j // windows[h]", []),  # no scalar of the call
        ("0 < chunk and i // chunk == j // chunk", []),  # not divided where the chunk is 0
        ("chunk == 0 or i // chunk == j // chunk", []),
        ("window < chunk and i // chunk == j // chunk", []),
        # conditions on positions switch nothing off
        ("i - j < window and i // chunk == j // chunk", ["chunk"]),
        ("j < window or i // chunk == j // chunk", ["chunk"]),
        ("j < chunk or i // chunk == j // chunk", []),  # unless they speak of the chunk
        ("on or i // chunk == j // chunk", []),
        ("on[h] or i // chunk == j // chunk", []),
        ("N < 1 or i // chunk == j // chunk", ["chunk"]),  # which no call passes
        ("j < i or i // chunk == j // chunk", ["chunk"]),
        ("i < 1 or i // chunk == j // chunk", ["chunk"]),
        ("i // chunk == j // chunk if i == j else true", ["chunk"]),
        ("i // chunk == j // chunk if on else true", []),
        ("(i // chunk if on else i) < j", []),
        ("(i // chunk if i < 3 else i) < j", ["chunk"]),
    ],
)
def test_requirements(mask: str, required: list[str]) -> None:
    attention = attention_of(mask)
    found = find_requirements(attention.mask)
    assert [print_ir(each.term) for each in found] == required
    assert find_ranges(attention, "j").requires == find_ranges(attention, "i").requires == found


def test_no_requirement_is_needed_where_the_divisor_is_known() -> None:
    attention = attention_of("i // chunk == j // chunk")
    known = replace_terms(
        attention.mask, lambda node: ir.IntConst(8) if node == ir.IntParam("chunk") else None
    )
    assert isinstance(known, ir.Bool)
    ranges = keys_of(known)
    assert ranges.requires == ()
    assert text_of(ranges.visited) == "[8 * (first(i) // 8), 8 * (last(i) // 8) + 8)"


def test_ranges_load_nothing_heavy() -> None:
    program = (
        "import sys; import attnc.analyze.ranges, attnc.analyze.rows;"
        "print([name for name in ('torch', 'triton', 'sympy', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
