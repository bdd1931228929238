"""Arrays that bound positions are read in 32 bits: which ones."""

from __future__ import annotations

import pytest

from attnc.compiler import Compilation
from attnc.ir.nodes import Attention
from attnc.lower.narrow import find_narrow
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


@pytest.mark.parametrize(("params", "mask", "names"), COUNTED)
def test_masks(params: str, mask: str, names: set[str]) -> None:
    assert find_narrow(attention_of(f"attention zoo({params}):\n    mask {mask}\n")) == names


def test_a_read_elsewhere_counts() -> None:
    """In a score, the number itself matters."""
    head = "attention zoo(a: int[N]):\n    mask a[i] <= j\n"
    assert find_narrow(attention_of(head)) == {"a"}
    assert find_narrow(attention_of(head + "    score dot(q, k) * a[i]\n")) == set()
