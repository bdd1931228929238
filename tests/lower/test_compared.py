"""Arrays that bound positions are read in 32 bits, and those of remainders: which ones."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from attnc.compiler import Compilation
from attnc.ir.nodes import Attention, Int, IntConst
from attnc.ir.text import print_ir
from attnc.lower.compared import find_bounds, find_compared, find_remainders
from attnc.run.interpreter import interpret
from attnc.source import Source

COUNTED = (
    ("end: int[B, M]", "i < end[b, j]", {"end"}),
    ("end: int[B, M]", "i < end[b, j] and j <= i", {"end"}),
    ("a: int[N], z: int[N]", "a[i] <= j and j < z[i]", {"a", "z"}),
    ("a: int[N]", "j + 3 >= a[i] and not a[i] == j - 1000", {"a"}),
    ("doc: int[N], first: int[100]", "first[doc[i]] <= j", {"first"}),
    ("doc: int[N]", "doc[i] == doc[j]", set()),
    ("a: int[N], z: int[M]", "a[i] <= z[j]", set()),
    ("a: int[N]", "a[i] <= j + i", set()),
    ("a: int[N], w: int", "a[i] <= j + w", set()),
    ("a: int[N]", "a[i] <= j + 2000000", set()),
    ("a: int[N]", "a[i] + 1 <= j", set()),
    ("a: int[N]", "a[i] <= j and a[i] % 2 == 0", set()),
    ("a: int[N], z: int[N]", "a[i] <= j and j < z[i] or z[i] == a[i]", set()),
    ("a: int[H]", "j < a[h]", set()),
    ("a: int[N]", "j < a[a[i]]", set()),
)


def attention_of(text: str) -> Attention:
    return Compilation(Source("zoo.attn", text)).attention


def remainders_of(attention: Attention) -> Mapping[str, Int]:
    return find_remainders(attention, find_compared(attention))


@pytest.mark.parametrize(("params", "mask", "names"), COUNTED)
def test_masks(params: str, mask: str, names: set[str]) -> None:
    assert find_bounds(attention_of(f"attention zoo({params}):\n    mask {mask}\n")) == names


def test_a_read_elsewhere_counts() -> None:
    """In a score, the number itself matters."""
    head = "attention zoo(a: int[N]):\n    mask a[i] <= j\n"
    assert find_bounds(attention_of(head)) == {"a"}
    assert find_bounds(attention_of(head + "    score dot(q, k) * a[i]\n")) == set()


PERIODIC = (
    ("shift: int[H], size: int", "(i + shift[h]) // size == (j + shift[h]) // size", {"shift": "size"}),
    ("shift: int[H]", "(i + shift[h]) // 8 == (j + shift[h]) // 8", {"shift": "8"}),
    ("shift: int[N]", "(j + shift[i]) % 8 < 3", {"shift": "8"}),
    ("shift: int[H]", "(j + 3 * shift[h]) % 8 < 3", {"shift": "8"}),
    ("a: int[H], z: int[H]", "(i + a[h] - z[h]) % 8 == 0", {"a": "8", "z": "8"}),
    ("a: int[H], n: int", "(i + a[h]) % n == 0 or (j - a[h]) % n == 1", {"a": "n"}),
    ("a: int[H]", "(i + a[h]) % 8 == 0 or (j - a[h]) % 4 == 1", {"a": "8"}),
    ("a: int[H]", "(i + a[h]) % 6 == 0 or (j - a[h]) % 4 == 1", {}),
    ("a: int[H]", "(i + a[h]) // 8 == j // 8", {}),
    ("a: int[H]", "(i + a[h]) % 8 == 0 and j < a[h]", {}),
    ("a: int[N]", "a[i] // 8 == a[j] // 8", {}),
    ("a: int[N]", "a[i] % 8 == a[j] % 8", {"a": "8"}),
    ("a: sorted int[N]", "a[i] % 8 == a[j] % 8", {}),
    ("a: int[N]", "j < a[a[i] % 8]", {}),
    ("a: int[H], n: int[H]", "(i + a[h]) % n[h] == 0", {}),
)


@pytest.mark.parametrize(("params", "mask", "divisors"), PERIODIC)
def test_remainders(params: str, mask: str, divisors: dict[str, str]) -> None:
    found = remainders_of(attention_of(f"attention zoo({params}):\n    mask {mask}\n"))
    assert {name: print_ir(by) for name, by in found.items()} == divisors


def test_a_remainder_read_elsewhere_counts() -> None:
    head = "attention zoo(a: int[H]):\n    mask (i + a[h]) % 8 == 0\n"
    assert set(remainders_of(attention_of(head))) == {"a"}
    assert remainders_of(attention_of(head + "    score dot(q, k) * a[h]\n")) == {}


@given(st.data())
def test_remainders_say_as_much(data: st.DataObject) -> None:
    """The mask of what is read as a remainder is that of the number itself."""
    term = st.builds(
        "{} * i + {} * j + {} * a[h] + {} * z[{}]".format,
        *[st.integers(-3, 3)] * 4,
        st.sampled_from(["i", "j"]),
    )
    divisor = st.sampled_from(["n", "2", "3", "4", "8"])
    side = st.builds("({}) {} {}".format, term, st.sampled_from(["//", "%"]), divisor)
    pair = st.builds(
        "{} {} {}".format, side, st.sampled_from(["==", "<", "!="]), st.one_of(side, st.just("1"))
    )
    mask = data.draw(st.lists(pair, min_size=1, max_size=2).map(" or ".join))
    attention = attention_of(f"attention zoo(a: int[H], z: int[N], n: int):\n    mask {mask}\n")
    found = remainders_of(attention)
    assume(found)
    n = data.draw(st.integers(1, 9))
    numbers = st.integers(-(2**40), 2**40)
    arrays = {
        name: torch.tensor(data.draw(st.lists(numbers, min_size=size, max_size=size)))
        for name, size in (("a", 2), ("z", 7))
    }
    divisors = {name: by.value if isinstance(by, IntConst) else n for name, by in found.items()}
    taken = {name: array % divisors[name] if name in found else array for name, array in arrays.items()}
    q = torch.zeros(1, 2, 7, 4, dtype=torch.float64)
    values = torch.eye(7, dtype=torch.float64).expand(1, 2, 7, 7)
    mine, theirs = (interpret(attention, q, q, values, {**each, "n": n}) for each in (taken, arrays))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
