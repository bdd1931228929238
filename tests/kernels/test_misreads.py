"""An index outside of its array: refused where the interpreter refuses it, and nowhere else, in the same words.

Random specs read small arrays at indices that may be negative or too large, at visible pairs and at hidden ones: under
`and`, `or` and `if`, in masks and scores, and in the maps of single tokens. The CPU path looks always, kernels where
the module was built to be checked.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from compilations import compiled
from hypothesis import given
from hypothesis import strategies as st
from kernel_checks import evaluated
from properties import cases
from torch import Tensor

import attnc
from attnc.analyze.misreads import MOST_MISREADS
from attnc.errors import AttncError

PARAMS = (
    "t: float[H, 6], u: float[B, 9], flag: bool[B, 7], near: int[H, 5, 2], at: int[B, N], to: int[B, M], "
    "pair: int[N, M], f: float[7, D], g: float[7, DV], w: int"
)
B, H, N, M, D = 2, 2, 9, 11, 16
INDICES = (
    *("i - j", "j - i", "i", "j", "abs(i - j)", "j // 2", "w", "h + w", "i - 2", "i % 7", "i + j"),
    *("at[b, i]", "to[b, j]", "to[b, j] - 1", "pair[i, j]", "at[b, i] + to[b, j]", "at[b, j - 1]"),
)


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> str:
    index = draw(st.sampled_from(INDICES))
    leaf = draw(
        st.sampled_from(
            (
                *("j <= i", "i - j < 5", "j < 6", "i != j", "0 <= i - j", "w <= i"),
                *(f"flag[b, {index}]", f"u[b, {index}] < 0.5", f"j in near[h, {index}, :]", f"0 <= {index}"),
            )
        )
    )
    if depth == 0 or draw(st.booleans()):
        return leaf
    a, b = draw(conditions(depth - 1)), draw(conditions(depth - 1))
    return draw(st.sampled_from((f"({a} and {b})", f"({a} or {b})", f"(not {a})", f"({a} and {leaf})")))


@st.composite
def specs(draw: st.DrawFn) -> str:
    index, other = draw(st.sampled_from(INDICES)), draw(st.sampled_from(INDICES))
    read = draw(st.sampled_from((f"t[h, {index}]", f"u[b, {index}]", f"t[h, {index}] * u[b, {other}]")))
    condition = draw(st.one_of(conditions(1), st.just("dot(q, k) * scale < 0.1")))
    branches = f"({read} if {condition} else u[b, {draw(st.sampled_from(INDICES))}])"
    score = draw(st.sampled_from(("", "dot(q, k) * scale", read, branches, branches)))
    lines = [f"mask {draw(conditions())}"] * draw(st.booleans())
    lines += [f"score dot(q, k) + {score}"] * bool(score)
    if draw(st.integers(0, 3)) == 0:
        of_query = draw(st.sampled_from(("i", "at[b, i]", "i - 2", "w")))
        lines.append(draw(st.sampled_from((f"query q + f[{of_query}, :]", f"output o * g[{of_query}, :]"))))
    if draw(st.integers(0, 3)) == 0:
        of_key = draw(st.sampled_from(("j", "to[b, j]", "j - 1")))
        lines.append(draw(st.sampled_from((f"key k * f[{of_key}, :]", f"value v + g[{of_key}, :]"))))
    if draw(st.integers(0, 3)) == 0:
        lines.append(f"normalize sigmoid(s + u[b, {draw(st.sampled_from(INDICES))}])")
    return f"attention zoo({PARAMS}):\n    " + "\n    ".join(lines or ["mask j <= i"]) + "\n"


def arguments(seed: int, least: int, most: int) -> dict[str, Any]:
    make = torch.Generator().manual_seed(seed)

    def ints(*shape: int) -> Tensor:
        return torch.randint(least, most, shape, generator=make)

    def reals(*shape: int) -> Tensor:
        return torch.rand(shape, generator=make)

    found = {"at": ints(B, N), "to": ints(B, M), "pair": ints(N, M), "near": ints(H, 5, 2), "w": least + 2}
    found |= {
        "t": reals(H, 6),
        "u": reals(B, 9),
        "f": reals(7, D),
        "g": reals(7, D),
        "flag": reals(B, 7) < 0.6,
    }
    return found


def outcome(f: Any, given: dict[str, Any]) -> Tensor | str:
    """The result, or the words of the refusal."""
    make = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(B, H, n, D, generator=make) for n in (N, M, M))
    try:
        out: Tensor = f(q, k, v, **given)
    except AttncError as refused:
        (mistake,) = refused.diagnostics
        assert mistake.code == "index-out-of-range", refused
        return mistake.message
    except ValueError as refused:
        return str(refused)
    return out


def assert_same(found: Tensor | str, meant: Tensor | str) -> None:
    if isinstance(found, str) or isinstance(meant, str):
        assert found == meant
    else:
        torch.testing.assert_close(found, meant, rtol=1e-3, atol=1e-3)


def test_a_checked_module_says_so() -> None:
    text = "attention zoo(t: float[H, 6]):\n    score dot(q, k) + t[h, i - j]\n"
    usual, checked = compiled(text).module, compiled(text, check_reads=True).module
    assert "attnc build spec.attn --check-reads" in checked
    call = "    _check_reads(q, k)\n"
    assert (usual.count(call), checked.count(call)) == (1, 2)  # on the CPU always
    proved = "attention zoo(t: float[H, N]):\n    mask j <= i\n    score dot(q, k) + t[h, i - j]\n"
    assert "_check_reads" not in compiled(proved, check_reads=True).module


def test_a_process_asks_for_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNC_CHECK_READS", "1")
    text = "attention zoo(t: float[H, 6]):\n    score dot(q, k) + t[h, i - j]\n"
    assert attnc.compile(text).source == compiled(text, "<string>", check_reads=True).module
    monkeypatch.setenv("ATTNC_CHECK_READS", "0")
    assert attnc.compile(text).source == compiled(text, "<string>").module


values = st.tuples(st.integers(0, 9), st.sampled_from((-2, -1, 0)), st.integers(3, 8))


@cases(3000, 40)
@given(specs(), values)
def test_the_cpu_path_refuses_what_the_interpreter_refuses(text: str, drawn: tuple[int, int, int]) -> None:
    given = arguments(*drawn)
    meant = outcome(attnc.compile(text, backend="reference"), given)
    assert_same(outcome(attnc.compile(text, backend="cpu"), given), meant)


@cases(1000, 15)
@given(specs(), values)
def test_checked_kernels_refuse_it_too(text: str, drawn: tuple[int, int, int]) -> None:
    given = arguments(*drawn)
    meant = outcome(attnc.compile(text, backend="reference"), given)
    module = evaluated(compiled(text, "zoo.attn", check_reads=True))
    assert_same(outcome(partial(module.zoo, backend="triton"), given), meant)


@pytest.mark.parametrize(
    ("score", "words"),
    [
        ("t[h, j - 3]", "`t` has size 6 along axis 1, and index -3 is read at b = 0, h = 0, i = 0, j = 0"),
        ("t[h, i]", "`t` has size 6 along axis 1, and index 6 is read at b = 0, h = 0, i = 6, j = 0"),
        ("t[h, w]", "`t` has size 6 along axis 1, and index -1 is read at b = 0, h = 0, i = 0, j = 0"),
        (
            "u[b, at[b, i] - 9]",
            "`u` has size 9 along axis 1, and index -9 is read at b = 0, h = 0, i = 0, j = 0",
        ),
        (
            "t[h, pair[i, j] + 6 * i]",
            "`t` has size 6 along axis 1, and index 7 is read at b = 0, h = 0, i = 1, j = 0",
        ),
    ],
)
def test_words(score: str, words: str) -> None:
    text = f"attention zoo({PARAMS}):\n    score dot(q, k) + {score}\n"
    given = arguments(0, 0, 2) | {"w": -1, "at": torch.zeros(B, N, dtype=torch.int64)}
    given["pair"] = torch.ones(N, M, dtype=torch.int64)
    checked = evaluated(compiled(text, "zoo.attn", check_reads=True))
    for f in (attnc.compile(text, backend="cpu"), partial(checked.zoo, backend="triton")):
        assert outcome(f, given) == words


@pytest.mark.parametrize("size", [0, 1])
def test_arrays_of_no_element(size: int) -> None:
    """A constant index is beyond the end of an array that has none."""
    text = "attention zoo(t: float[H, w], w: int):\n    score dot(q, k) + t[h, 0]\n"
    given = {"t": torch.zeros(H, size), "w": size}
    found = outcome(attnc.compile(text, backend="cpu"), given)
    assert_same(found, outcome(attnc.compile(text, backend="reference"), given))
    assert isinstance(found, str) == (size == 0)


@pytest.mark.parametrize(
    ("clause", "is_refused"),
    [
        ("score t[h, i - j] if 0 <= i - j and i - j < 6 else 0", False),
        ("score u[b, 0] if i - j < 0 or 5 < i - j else t[h, i - j]", False),
        ("score t[h, i - j] if i - j < 0 or 5 < i - j else u[b, 0]", True),
        ("mask j <= i and i - j < 6 and u[b, i - j] < 0.9", False),
        ("mask i - j < 6 and u[b, i - j] < 0.9 and j <= i", True),
        ("mask j > i or i - j > 6 or flag[b, i - j]", False),
        ("mask flag[b, i - j] or j > i", True),
        ("mask not (j > i or i - j > 6) and flag[b, i - j]", False),
        ("mask i < 6\n    query q * f[i, :]", False),
        ("mask i < 8\n    query q * f[i, :]", True),
        ("mask j < 7\n    value v * g[j, :]", False),
        ("mask j != 7\n    value v * g[j, :]", True),
        ("mask i < 6 and j < i\n    output o * g[i + 1, :]", False),
        ("mask i - j < 3\n    normalize sigmoid(s + u[b, i - j + 9])", True),
        ("mask i - j < 0 and j - i < 9\n    normalize sigmoid(s + u[b, i - j + 9])", False),
    ],
)
def test_what_leads_to_a_read(clause: str, is_refused: bool) -> None:
    text = f"attention zoo({PARAMS}):\n    {clause}\n"
    given = arguments(0, 0, 2)
    meant = outcome(attnc.compile(text, backend="reference"), given)
    assert isinstance(meant, str) == is_refused
    checked = evaluated(compiled(text, "zoo.attn", check_reads=True))
    for f in (attnc.compile(text, backend="cpu"), partial(checked.zoo, backend="triton")):
        assert_same(outcome(f, given), meant)


@pytest.mark.parametrize(
    "score",
    [
        "dot(q, k) + (t[h, i] if dot(q, k) > 0.3 else 0)",
        "dot(q, k) + (t[h, i - j] if j <= i and dot(q, k) < 0.2 and i - j < 6 else u[b, 0])",
    ],
)
def test_conditions_on_the_score(score: str) -> None:
    text = f"attention zoo({PARAMS}):\n    score {score}\n"
    given = arguments(0, 0, 2)
    meant = outcome(attnc.compile(text, backend="reference"), given)
    checked = evaluated(compiled(text, "zoo.attn", check_reads=True))
    for f in (attnc.compile(text, backend="cpu"), partial(checked.zoo, backend="triton")):
        assert_same(outcome(f, given), meant)


def test_what_is_said_of_reads() -> None:
    text = (
        "attention zoo(t: float[H, 6]):\n    normalize sigmoid(s + (t[h, i] if mean(s) < 0 else t[h, j]))\n"
    )
    said = [reason.text for reason in compiled(text).plan.because if "inside" in reason.text]
    what = "an index of `t` is not proved to stay inside of axis 1"
    assert said == [
        f"{what}, and no call checks it",
    ]
    text = "attention zoo(t: float[H, 6]):\n    score dot(q, k) + t[h, i]\n"
    said = [reason.text for reason in compiled(text).plan.because if "inside" in reason.text]
    assert said == [f"{what}: calls on the CPU check it, and kernels that are built with `check_reads`"]


@pytest.mark.parametrize("sizes", [(0, 3, 3), (1, 0, 3), (1, 3, 0), (0, 0, 0)])
@pytest.mark.parametrize("index", ["j - 3", "w", "pair[i, j]", "at[b, i]"])
def test_where_there_is_no_pair_nothing_is_read(index: str, sizes: tuple[int, int, int]) -> None:
    b, n, m = sizes
    text = f"attention zoo({PARAMS}):\n    score dot(q, k) + t[h, {index}]\n"
    given = arguments(0, -3, -1) | {"at": torch.full((b, n), 9), "to": torch.zeros(b, m, dtype=torch.int64)}
    given |= {
        "pair": torch.full((n, m), 9),
        "u": torch.zeros(b, 9),
        "flag": torch.ones(b, 7, dtype=torch.bool),
    }
    q, k = torch.randn(b, H, n, D), torch.randn(b, H, m, D)
    assert not attnc.compile(text, backend="cpu")(q, k, k, **given).any()


def test_many_reads_are_bounded() -> None:
    """What is written does not grow with the square of a mask."""

    def text(clauses: int) -> str:
        mask = " or ".join(f"i - j == {n} and flag[b, j - {n}]" for n in range(1, clauses))
        return f"attention zoo(flag: bool[B, 7]):\n    mask {mask}\n"

    fewer, more = (compiled(text(n)) for n in (50, 100))
    assert len(fewer.plan.misreads) == len(more.plan.misreads) == MOST_MISREADS
    added = len(more.module) - len(fewer.module)
    assert added < 2 * len(fewer.module)
    assert any("and no call checks it" in reason.text for reason in more.plan.because)


@pytest.mark.parametrize("index", ["h", "h_kv", "h // 2", "h % HKV", "HKV - h"])
def test_key_heads_behind_a_map_by_head(index: str) -> None:
    """Kernels see the keys of every query head there, and arrays of key heads have as many as the call."""
    score = f"dot(q, k) * scale + w[{index}, j]"
    f = attnc.compile(f"attention a(x: float[H], w: float[HKV, M]):\n    key k * x[h]\n    score {score}\n")
    q, k, x = torch.randn(1, 4, 5, 8), torch.randn(1, 2, 5, 8), torch.randn(4)
    given = {"x": x, "w": torch.randn(2, 5)}
    if index in ("h", "HKV - h"):
        with pytest.raises(AttncError) as meant:
            f.reference(q, k, k, **given)
        with pytest.raises((AttncError, ValueError)) as caught:
            f(q, k, k, **given)
        assert meant.value.diagnostics[0].message in str(caught.value)
    else:
        torch.testing.assert_close(f(q, k, k, **given), f.reference(q, k, k, **given))
