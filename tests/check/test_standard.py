"""The standard library means what the papers say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checking import attention, clause
from scalar_meaning import Scene, meaning

from attnc.check.standard import standard_modules, standard_names
from attnc.syntax import tree
from attnc.syntax.printer import print_file

N = 12
DOCS = [[0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3]]
GLOBAL = [[t in (0, 5) for t in range(N)]]

Mask = Callable[[int, int], bool]


def shifted(i: int, j: int, w: int) -> bool:
    """NATTEN: the window around the nearest position whose whole window fits."""
    low, high = w // 2, (w - 1) // 2
    center = min(max(i, low), N - 1 - high)
    return center - low <= j <= center + high


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ("causal", lambda i, j: j <= i),
        ("causal_end", lambda i, j: j <= i + 8),
        ("window(3)", lambda i, j: -3 < i - j < 3),
        ("causal and window(3)", lambda i, j: 0 <= i - j < 3),
        ("sliding_window(4)", lambda i, j: i - 4 < j <= i),
        ("dilated(2, 3)", lambda i, j: i - j in (-6, -3, 0, 3, 6)),
        ("prefix_lm(5)", lambda i, j: j < 5 or j <= i),
        ("first(4) or sliding_window(2)", lambda i, j: j < 4 or 0 <= i - j < 2),
        ("blocks(5)", lambda i, j: i // 5 == j // 5),
        ("block_causal(5)", lambda i, j: j // 5 <= i // 5),
        ("documents(doc)", lambda i, j: DOCS[0][i] == DOCS[0][j]),
        ("padding(length)", lambda i, j: j < 7),
        ("global_tokens(is_global) or window(2)", lambda i, j: i in (0, 5) or j in (0, 5) or abs(i - j) < 2),
        ("powers_of_two", lambda i, j: i - j in (1, 2, 4, 8, 16)),
        *((f"near(i, j, {w}, N)", lambda i, j, w=w: shifted(i, j, w)) for w in (1, 2, 3, 4, 7, 12)),
    ],
)
def test_mask(use: str, expected: Mask) -> None:
    names = ", ".join(name for name in standard_names() if re.search(rf"\b{name}\b", use))
    text = f"""
from std import {names}

attention spec(doc: int[B, N], length: int[B], is_global: bool[B, N]):
    mask {use}
"""
    mask = attention(text).mask
    values: dict[str, Any] = {"b": 0, "N": N, "M": N + 8, "doc": DOCS, "length": [7], "is_global": GLOBAL}
    for i in range(N):
        for j in range(N):
            assert meaning(mask, Scene(values | {"i": i, "j": j})) == expected(i, j), (i, j)


def bias_of(use: str, params: str = "x: float[H], y: float[B, H, N]", **values: Any) -> float:
    names = ", ".join(name for name in standard_names() if re.search(rf"\b{name}\b", use))
    score = attention(f"from std import {names}\n\nattention spec({params}):\n    score {use}\n").score
    return float(meaning(score, Scene(values)))


def test_alibi() -> None:
    for i, j, h in [(5, 2, 0), (7, 7, 3), (2, 9, 1)]:
        scene = {"i": i, "j": j, "h": h, "H": 8, "x": [0.5, 0.25, 0.125, 2.0]}
        assert bias_of("alibi(x[h])", **scene) == scene["x"][h] * (j - i)
        assert bias_of("alibi_symmetric(x[h])", **scene) == -scene["x"][h] * abs(j - i)
        # "for 8 heads the slopes are 1/2, 1/4, ..., 1/256"
        assert bias_of("alibi_slope", **scene) == 1 / 2 ** (h + 1)


def test_softcap_kerple_and_forgetting() -> None:
    scene = {"i": 6, "j": 2, "h": 0, "b": 0, "x": [30.0], "y": [[[-0.5 * t for t in range(8)]]]}
    assert bias_of("softcap(x[h] * 4, 50)", **scene) == pytest.approx(50 * math.tanh(120 / 50))
    assert bias_of("kerple_log(x[h], 0.5)", **scene) == pytest.approx(-30 * math.log(1 + 0.5 * 4))
    assert bias_of("forgetting(y)", **scene) == pytest.approx(-3.0 + 1.0)


def test_elu1() -> None:
    """elu(x) + 1, of a vector and of a number."""
    for x in (-3.0, -0.25, 0.0, 2.0):
        expected = x + 1 if x > 0 else math.exp(x)
        assert bias_of("elu1(x[h])", h=0, x=[x]) == pytest.approx(expected)
    query = attention("from std import elu1\n\nattention spec():\n    query elu1(q)\n").query
    found = meaning(query, Scene({}, {"q": lambda: [-1.0, 0.5]}))
    assert found == pytest.approx([math.exp(-1), 1.5])


def test_decay_and_gated() -> None:
    scene = {"i": 6, "j": 2, "h": 0, "b": 0, "x": [0.5], "y": [[[-0.25 * t for t in range(8)]]]}
    assert bias_of("decay(x[h])", **scene) == 0.5**4
    assert bias_of("gated(y)", **scene) == pytest.approx(math.exp(-1))


def t5_bucket(distance: int, buckets: int, max_distance: int, bidirectional: bool) -> int:
    """T5's own function, `distance` being key position minus query position, one number at a time."""
    bucket = 0
    if bidirectional:
        buckets //= 2
        bucket += buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return bucket + distance
    large = exact + int(math.log(distance / exact) / math.log(max_distance / exact) * (buckets - exact))
    return bucket + min(large, buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (64, 256), (16, 20)])
def test_t5_bucket(buckets: int, max_distance: int, bidirectional: bool) -> None:
    truth = str(bidirectional).lower()
    text = f"""
from std import t5_bucket

attention spec(table: float[H, n], n: int, reach: int):
    score table[h, t5_bucket(j - i, n, reach, {truth})]
"""
    score = attention(text).score
    scene = {"h": 0, "n": buckets, "reach": max_distance, "table": [list(range(buckets))]}
    for distance in range(-300, 301):
        i, j = max(-distance, 0), max(distance, 0)
        found = meaning(score, Scene(scene | {"i": i, "j": j}))
        assert found == t5_bucket(distance, buckets, max_distance, bidirectional), distance


NORMALIZATIONS: dict[str, Callable[[list[float]], list[float]]] = {
    "softmax": lambda s: [math.exp(x) / sum(map(math.exp, s)) for x in s],
    "softmax1": lambda s: [math.exp(x) / (1 + sum(map(math.exp, s))) for x in s],
    "sink(0.5)": lambda s: [math.exp(x) / (math.exp(0.5) + sum(map(math.exp, s))) for x in s],
    "sigmoid": lambda s: [1 / (1 + math.exp(-x)) for x in s],
    "relu": lambda s: [max(x, 0) for x in s],
    "relu2": lambda s: [max(x, 0) ** 2 for x in s],
    "none": lambda s: s,
    "l1": lambda s: [x / sum(map(abs, s)) for x in s],
    "softplus_l1": lambda s: [math.log1p(math.exp(x)) / sum(math.log1p(math.exp(y)) for y in s) for x in s],
}


@pytest.mark.parametrize("use", NORMALIZATIONS)
def test_normalization(use: str) -> None:
    weight = attention(f"attention spec():\n    normalize {use}\n").normalize
    scores = [-1.5, 0.0, 0.25, 3.0]
    row = tuple(Scene(score=s) for s in scores)
    found = [meaning(weight, Scene(score=s, row=row)) for s in scores]
    assert found == pytest.approx(NORMALIZATIONS[use](scores))


def test_every_normalization_is_tested() -> None:
    macros = [
        item.name.id
        for item in standard_modules()["normalizations"].file.items
        if isinstance(item, tree.Macro)
    ]
    assert set(macros) <= {use.partition("(")[0] for use in NORMALIZATIONS}


def test_every_macro_is_used_by_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    helpers = {"near_start", "t5_far", "t5_near_or_far", "t5_one_sided", "t5_two_sided"}
    assert [name for name in standard_names() if name not in helpers and name not in text] == []


@pytest.mark.parametrize("title", ["normalizations", "masks", "biases", "features"])
def test_files(title: str) -> None:
    module = standard_modules()[title]
    assert module.file.doc
    assert print_file(module.file) == module.source.text, "not formatted"
    first_of_group = [m for m in module.file.items if isinstance(m, tree.Macro) and m.blank_above]
    assert all(m.comments.above for m in first_of_group), "a group of macros says where it comes from"


def test_no_name_stands_in_two_files() -> None:
    named = [
        item.name.id
        for module in standard_modules().values()
        for item in module.file.items
        if isinstance(item, tree.Macro)
    ]
    assert len(named) == len(set(named))


def test_conversion_is_visible_in_the_ir() -> None:
    assert clause("score", "alibi(0.5)", before="from std import alibi\n") == "0.5 * real(j - i)"
