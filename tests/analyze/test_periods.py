"""Masks that repeat: which have a closed form in each of their periods, and what it says."""

from __future__ import annotations

from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_oracle import evaluate
from mask_zoo import attention_of, mask_of
from properties import cases, tries
from random_masks import MANY
from range_checks import Counts, check_ranges, requirements_hold, transposed
from truth import pairs_seen

from attnc.analyze.periods import find_periods
from attnc.analyze.ranges import find_ranges, make_plane, make_tile
from attnc.analyze.requirements import find_requirements
from attnc.analyze.tile_intervals import TileInterval, around
from attnc.ir.text import print_ir
from attnc.sets.convert import to_bool, to_predicate
from attnc.sets.divisions import find_divisions, flat, map_divisions
from attnc.sets.pieces import Piece
from attnc.sets.polynomial import ONE, ZERO
from attnc.sets.prover import BUDGET, Budget, Prover

Target = Literal["i", "j"]

WINDOW = "abs(i // chunk - j // chunk) <= window and abs(i % chunk - j % chunk) <= window"


@pytest.mark.parametrize(
    ("mask", "length"),
    [
        (WINDOW, "chunk"),
        (f"j <= i and {WINDOW}", "chunk"),
        ("i // chunk == j // chunk or i % chunk == j % chunk", "chunk"),
        ("j <= i and (i // chunk == j // chunk or chunk - window <= j % chunk)", "chunk"),
        # the shorter one, where the longer does not help
        ("i // (chunk * stride) == j // (chunk * stride) and i % chunk <= j % chunk", "chunk"),
        # of tiles of `stride` tokens
        (
            "i // stride // chunk == j // stride // chunk"
            " and abs(i // stride % chunk - j // stride % chunk) <= window",
            "chunk * stride",
        ),
        ("j < prefix or abs((i - prefix) % chunk - (j - prefix) % chunk) < window", "chunk"),
        # begins elsewhere for each query
        ("(i - j) % chunk == 0", "chunk"),
        ("abs(i - j) <= window and abs(i - j) % chunk == 0", "chunk"),
        ("j <= i and (i - j < window or (i - j) % chunk == 0)", "chunk"),
        ("(i + j) % chunk < window and (j + i) // (chunk * stride) != 1", "chunk"),
        ("abs(i - j) <= window and (j - i) % chunk <= (i - j) % chunk", "chunk"),
    ],
)
@pytest.mark.parametrize("target", ["j", "i"])
def test_what_repeats(mask: str, length: str, target: Target) -> None:
    ranges = find_ranges(attention_of(mask), target)
    assert ranges.periods is not None and not ranges.loose, ranges.loose
    assert print_ir(ranges.periods.length) == length


def test_what_repeats_for_keys_alone() -> None:
    attention = attention_of("j % chunk == 0")
    keys, queries = find_ranges(attention, "j"), find_ranges(attention, "i")
    assert keys.periods is not None and not keys.loose and queries.loose


@pytest.mark.parametrize(
    "mask",
    [
        "(i - j) % chunk == 0 and j % chunk == stride",  # begins elsewhere for each query, and does not
        "(i - 2 * j) % chunk == 0",
        "i % chunk == j % chunk and i % stride == j % stride",  # no one length
        "i % windows[h] <= 2 and j % windows[h] == 1",  # perhaps of no length
        "chunk == 0 or i % chunk == j % chunk",
        "doc[j] % chunk == 0",
        "ispow2(j % chunk)",
    ],
)
def test_what_is_listed_all_the_same(mask: str) -> None:
    ranges = find_ranges(attention_of(mask), "j")
    assert ranges.periods is None and ranges.loose


@pytest.mark.parametrize(
    "mask", ["true", "j <= i", "i // chunk == j // chunk", "i // 8 == j // 8 and j % 8 <= i % 8"]
)
def test_what_has_a_closed_form_without(mask: str) -> None:
    assert find_ranges(attention_of(mask), "j").periods is None


def test_words() -> None:
    keys, queries = find_ranges(attention_of(WINDOW), "j"), find_ranges(attention_of(WINDOW), "i")
    texts = [reason.text for reason in keys.because]
    assert texts[:3] == [
        "`abs(i // chunk - j // chunk) <= window` gives keys"
        " [chunk * (i // chunk) - chunk * window, chunk * (i // chunk) + chunk + chunk * window)",
        "`abs(i % chunk - j % chunk) <= window` is solved in every period of `chunk` keys",
        "`i // chunk` divides by `chunk`: the call checks that `chunk` is at least 1",
    ]
    assert texts[-2] == (
        "period p has keys [chunk * p, chunk * p + chunk); queries [i0, i1] look at periods"
        " [max(i0 // chunk - window, 0), min(i1 // chunk + window + 1, (M - 1) // chunk + 1))"
    )
    assert "keys [j0, j1] look at periods" in queries.because[-2].text


def test_full_tiles_that_nobody_would_read_are_given_up() -> None:
    """Those of windows that begin elsewhere for each head, and end at the edges of an image."""
    row, column = (f"({{x}} {op} chunk + windows[h]) // stride" for op in ("//", "%"))
    mask = " and ".join(f"{each.format(x='i')} == {each.format(x='j')}" for each in (row, column))
    keys = find_ranges(attention_of(mask), "j")
    assert not any(keys.full) and (
        "no tile is known to be full: in every period of `chunk` keys the bounds of those that are would be too"
        " long to read"
    ) in [reason.text for reason in keys.because]


def test_words_for_distances() -> None:
    keys = find_ranges(attention_of("abs(i - j) <= window and (i - j) % chunk == 0"), "j")
    assert [reason.text for reason in keys.because[1:]] == [
        "`(i - j) % chunk == 0` is solved in every period of `chunk` keys",
        "`(i - j) % chunk` divides by `chunk`: the call checks that `chunk` is at least 1",
        "period p has keys [chunk * p + i - chunk + 1, chunk * p + i + 1); queries [i0, i1] look at periods"
        " [max(-(i1 // chunk), -(window // chunk)),"
        " min(1 - (i0 - M + 1) // chunk, 1 - -window // chunk))",
        "queries [i0, i1] read only keys [chunk * p + i0, i1 + min(chunk * p + 1, window + 1));"
        " all of them see keys [chunk * p + i1, i0 + min(chunk * p + 1, window + 1))",
    ]


# ---- what is behind all periods --------------------------------------------------------------------

TEXT = f"{WINDOW} or prefix <= i or prefix <= j"


@pytest.mark.parametrize("target", ["j", "i"])
def test_what_is_behind_all_periods(target: Target) -> None:
    ranges = find_ranges(attention_of(TEXT), target)
    assert ranges.periods is not None and not ranges.loose and ranges.suffix is not None
    seen, whole = ranges.suffix
    other = "i" if target == "j" else "j"
    assert print_ir(seen.lo) == f"0 if prefix <= last({other}) else prefix"
    assert whole is not None and print_ir(whole.lo) == f"0 if prefix <= first({other}) else prefix"
    assert print_ir(seen.hi) == print_ir(whole.hi) == ("M" if target == "j" else "N")


def test_words_for_what_is_behind() -> None:
    keys = find_ranges(attention_of(TEXT), "j")
    assert keys.because[-2].text == (
        "period p has keys [chunk * p, chunk * p + chunk); queries [i0, i1] look at periods"
        " [max(i0 // chunk - window, 0), 0 if prefix <= i1 else"
        " min(min(i1 // chunk + window + 1, (prefix - 1) // chunk + 1), (M - 1) // chunk + 1)),"
        " then at keys [0 if prefix <= i1 else prefix, M)"
    )


@pytest.mark.parametrize(
    "mask",
    [
        TEXT,
        f"{WINDOW} or i <= j",  # behind each query is something else
        f"{WINDOW} or max(prefix, i // chunk * chunk) <= j",
        "i % chunk == j % chunk or prefix <= j // stride",
        "(i % chunk < window and j % chunk < window) or prefix <= i or chunk <= j - i",
    ],
)
def test_what_is_behind_is_sound(mask: str) -> None:
    """Also where it begins before everything, behind everything, and within a period."""
    found, random = {target: find_ranges(attention_of(mask), target) for target in ("j", "i")}, Random(mask)  # type: ignore[arg-type]
    assert any(ranges.suffix for ranges in found.values())
    for _ in range(tries(150, 25)):
        values: dict[str, Any] = {
            "N": random.randint(1, 40), "M": random.randint(1, 40), "chunk": random.randint(1, 12),
            "stride": random.randint(1, 4), "window": random.randint(-1, 5), "prefix": random.randint(-5, 50),
        }  # fmt: skip
        seen, rows, columns = pairs_seen(mask_of(mask), values), random.randint(1, 9), random.randint(1, 9)
        for target, ranges in found.items():
            assert requirements_hold(ranges, values)
            check_ranges(ranges, seen if target == "j" else transposed(seen), values, rows, columns, Counts())


@pytest.mark.parametrize(
    "mask",
    [
        f"{WINDOW} or prefix <= j and j <= i",  # not all up to the last
        f"{WINDOW} or j <= prefix",
        f"{WINDOW} and prefix <= j",
        f"{WINDOW} or prefix <= i",  # no position of a key
        "(i - j) % chunk == 0 or prefix <= j",  # periods that begin elsewhere for each query
    ],
)
def test_what_is_not_behind(mask: str) -> None:
    assert find_ranges(attention_of(mask), "j").suffix is None


def test_intervals_that_may_start_before_those_of_the_period_before_are_listed() -> None:
    """Queries from 50 on see one interval more, which begins behind what earlier queries see of the next period."""
    mask = "(i - j) % chunk == 0 or 50 <= i and (i - j) % chunk == 1"
    for target in ("j", "i"):
        ranges = find_ranges(attention_of(mask), target)  # type: ignore[arg-type]
        for values in ({"N": 90, "M": 90, "chunk": chunk} for chunk in (1, 2, 3, 7, 40)):
            seen = pairs_seen(mask_of(mask), values)
            check_ranges(ranges, seen if target == "j" else transposed(seen), values, 64, 16, Counts())


def test_an_interval_ends_in_its_period() -> None:
    """Also where what some row of a tile sees is found for each condition by itself, and goes further."""
    mask = mask_of("start[i] <= j % 8 and j % 8 <= 7 - abs(doc[i]) or j % 8 == 0")
    for doc in ([9, -9] * 5, [1, -2] * 5, [0] * 10):
        values = {"N": 10, "M": 40, "start": [12] * 10, "doc": doc}
        ranges = find_ranges(attention_of(mask), "j")
        assert ranges.periods is not None
        check_ranges(ranges, pairs_seen(mask, values), values, 4, 4, Counts())


@pytest.mark.parametrize("steps", [BUDGET, 2 * BUDGET, 3 * BUDGET])
def test_full_tiles_are_looked_for_with_steps_of_their_own(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With twice the steps of an analysis there were enough to begin with them, and none were left for the others."""
    monkeypatch.setattr(Prover.afresh, "__defaults__", (steps,))
    monkeypatch.setattr(Budget.__init__, "__defaults__", (steps, None))
    row = "min(max(i // chunk - left // 2, 0), frames - left)"
    place = "min(max(i % chunk - window // 2, 0), chunk - window)"
    mask = (
        f"{row} <= j // chunk and j // chunk < {row} + left"
        f" and {place} <= j % chunk and j % chunk < {place} + window"
    )
    queries = find_ranges(attention_of(mask), "i")
    assert queries.periods is not None and not any(queries.full)
    ran_out = "the analysis ran out of steps before it knew which tiles are full"
    assert (ran_out in [reason.text for reason in queries.because]) == (steps < 3 * BUDGET)


def test_one_interval_around_others_says_that_steps_ran_out() -> None:
    whole, cut = TileInterval(ZERO, ONE, None, True), TileInterval(ONE, ONE + 1, None, True, searched=False)
    assert not around([whole, cut]).searched and around([whole, whole]).searched


def test_bounds_that_nobody_would_read_are_not_taken() -> None:
    """The closed form of queries of a neighborhood in two dimensions, with some that see all, fills a page."""
    start = "min(max({q} - left // 2, 0), {n} - left)"
    near = f"{start} <= {{k}} and {{k}} < {start} + left"
    rows = near.format(q="i // chunk", k="j // chunk", n="N // chunk")
    mask = f"{rows} and {near.format(q='i % chunk', k='j % chunk', n='chunk')}"
    assert all(find_ranges(attention_of(mask), target).periods is not None for target in ("j", "i"))
    mask = f"{mask} or prefix <= i and prefix <= j"
    keys, queries = find_ranges(attention_of(mask), "j"), find_ranges(attention_of(mask), "i")
    assert queries.loose and (
        "the bounds in every period of `chunk` keys would be too long to read, so they are not taken"
    ) in [reason.text for reason in keys.because]


DIVIDED = [
    WINDOW,
    "i // stride // chunk == j // stride // chunk and i // stride % chunk <= j // stride % chunk",
    "(j + prefix) // chunk % stride < min(i % chunk, (j + prefix) % chunk)"
    " if j < prefix else max(j // chunk, i // chunk) % stride == 0",
]


@pytest.mark.parametrize("mask", DIVIDED)
def test_divisions_of_divisions_mean_the_same_at_once(mask: str) -> None:
    attention, random = attention_of(mask), Random(mask)
    plane = make_plane("j", find_requirements(attention.mask))
    flattened = map_divisions(to_predicate(attention.mask), lambda each: flat(each, plane.prover))
    for _ in range(300):
        values: dict[str, Any] = {
            name: random.randint(1, 9) for name in ("chunk", "stride", "window", "prefix")
        }
        values |= {"N": 200, "M": 200, "i": random.randrange(200), "j": random.randrange(200)}
        assert evaluate(to_bool(flattened), values) == evaluate(attention.mask, values), values


def test_divisions_are_found_inside_of_others() -> None:
    text = "max(i // 3, j // chunk) < 4 if j // stride < 2 else i // 5 == 0"
    found = {each.key for each in find_divisions(to_predicate(attention_of(text).mask))}
    assert found == {
        key for part in ("i // 3", "j // chunk", "j // stride", "i // 5") for key in _keys_of(part)
    }


def _keys_of(text: str) -> list[str]:
    return [each.key for each in find_divisions(to_predicate(attention_of(f"{text} == 1").mask))]


@pytest.mark.parametrize("target", ["j", "i"])
def test_there_is_no_period_without_a_division(target: Target) -> None:
    plane, tile = make_plane(target, ()), make_tile("i" if target == "j" else "j")
    everything = (Piece(exact=False),)
    assert find_periods(to_predicate(attention_of("ispow2(i - j)").mask), everything, tile, plane) == (
        None,
        [],
    )


# ---- random masks that repeat ----------------------------------------------------------------------


def _of_position(position: str) -> st.SearchStrategy[str]:
    """A position, its row, its place in the row, and the same of rows that begin elsewhere or hold tiles."""
    shifted = st.sampled_from([position, position, f"({position} - offset)", f"({position} + prefix)"])
    forms = ["{x}", "{x} // chunk", "{x} // chunk", "{x} % chunk", "{x} % chunk"]
    forms += [
        "{x} % chunk // 2",
        "{x} // chunk // per_frame",
        "{x} // chunk % per_frame",
        "{x} // (chunk * per_frame)",
    ]
    return st.builds(lambda form, x: form.format(x=x), st.sampled_from(forms), shifted)


def _clauses() -> st.SearchStrategy[str]:
    i, j = _of_position("i"), _of_position("j")
    forms = [
        "{i} == {j}", "{j} <= {i}", "{i} - {j} < window", "abs({i} - {j}) <= window", "{j} < window", "{i} < prefix",
        "{j} == {i} + 1", "max({i} - window, 0) <= {j}", "{j} < min(max({i}, 1), chunk) + 1", "{i} + {j} <= offset + 9",
    ]  # fmt: skip
    apart = ["i - j", "j - i", "abs(i - j)", "i + j", "i - j + offset", "max(i, window) - j", "i // 2 - j"]
    distances = [
        "({x}) % chunk == 0", "({x}) % chunk < window", "window <= ({x}) % chunk", "({x}) // chunk <= offset",
        "({x}) % chunk <= (j - i) % chunk", "({x}) // chunk % per_frame == 0", "({x}) % (chunk * per_frame) < chunk",
    ]  # fmt: skip
    return st.one_of(
        st.builds(lambda form, i, j: form.format(i=i, j=j), st.sampled_from(forms), i, j),
        st.builds(lambda form, x: form.format(x=x), st.sampled_from(distances), st.sampled_from(apart)),
    )


def _masks() -> st.SearchStrategy[str]:
    both = st.builds(
        lambda a, b, op: f"({a} {op} {b})", _clauses(), _clauses(), st.sampled_from(["and", "or"])
    )
    more = st.builds(
        lambda a, b, op: f"{a} {op} {b}", both, _clauses(), st.sampled_from(["and", "or", "and"])
    )
    starts = ["prefix", "chunk * per_frame", "i", "i - offset", "i // chunk * chunk", "window", "N - prefix"]
    ends = [f"{start} <= j" for start in starts] + [
        "offset < j // chunk",
        "prefix <= i or chunk <= j",
        "j <= i",
    ]
    behind = st.builds(lambda a, b: f"{a} or {b}", st.one_of(_clauses(), both), st.sampled_from(ends))
    return st.one_of(_clauses(), both, more, behind)


def _calls() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "N": st.integers(1, 40), "M": st.integers(1, 40),
            "chunk": st.integers(1, 17), "per_frame": st.integers(1, 4),
            "window": st.integers(-2, 9), "prefix": st.integers(-3, 12), "offset": st.integers(-9, 9),
        }
    )  # fmt: skip


def _check(text: str, values: dict[str, Any], rows: int) -> None:
    mask = mask_of(text)
    seen = pairs_seen(mask, values)
    for target in ("j", "i"):
        ranges = find_ranges(attention_of(mask), target)  # type: ignore[arg-type]
        if requirements_hold(ranges, values):
            check_ranges(ranges, seen if target == "j" else transposed(seen), values, rows, rows, Counts())


@cases(200, 40)
@given(_masks(), _calls(), st.integers(1, 9))
def test_ranges_of_masks_that_repeat_are_sound(text: str, values: dict[str, Any], rows: int) -> None:
    _check(text, values, rows)


@pytest.mark.slow
@cases(MANY // 4)
@given(_masks(), _calls(), st.integers(1, 9))
def test_ranges_of_many_masks_that_repeat_are_sound(text: str, values: dict[str, Any], rows: int) -> None:
    _check(text, values, rows)
