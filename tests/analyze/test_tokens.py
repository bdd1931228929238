"""Masks that a state of the keys is enough for: what is found shows the pairs of the mask; and why others are not."""

from __future__ import annotations

import pytest
import torch
from compilations import compiled
from rebuilt import sides_of, visible

from attnc.analyze.facts import Reason, TokenMask
from attnc.analyze.tokens import find_tokens
from attnc.ir.text import print_ir

PARAMS = (
    "doc: sorted int[B, N], part: sorted int[N], loose: int[B, N], starts: sorted int[B, w], "
    "length: int[B], back: int[H], marked: bool[B, M], w: int, n: int, on: bool"
)


def found_in(mask: str) -> TokenMask | Reason:
    attention = compiled(f"attention a({PARAMS}):\n    mask {mask}\n    normalize none\n").attention
    found = find_tokens(attention, attention.mask)
    return found if isinstance(found, Reason) else found[0]


def said_of(mask: str) -> tuple[str | None, str | None, str, str]:
    found = found_in(mask)
    assert isinstance(found, TokenMask), found
    causal, document = (term and print_ir(term) for term in (found.causal, found.document))
    return causal, document, print_ir(found.sees_query), print_ir(found.sees_key)


FOUND = {
    "true": (None, None, "true", "true"),
    "j <= i": ("0", None, "true", "true"),
    "j < i": ("-1", None, "true", "true"),
    "i - j >= 0": ("0", None, "true", "true"),
    "not (j > i)": ("0", None, "true", "true"),
    "j <= i + M - N": ("M - N", None, "true", "true"),
    "j <= i + back[h]": ("back[h]", None, "true", "true"),
    "j <= i + w and j - w < i": ("min(w, w - 1)", None, "true", "true"),
    "2 * j <= 2 * i + 1": ("0", None, "true", "true"),
    "j <= i and j < length[b]": ("0", None, "true", "j < length[b]"),
    "j <= i and marked[b, j] and i < n": ("0", None, "i < n", "marked[b, j]"),
    "on and (marked[b, j] or j < 4) and j <= i": ("0", None, "on", "marked[b, j] or j < 4"),
    "doc[b, i] == doc[b, j]": (None, "doc[b, i]", "true", "true"),
    "doc[b, j] == doc[b, i] and j <= i": ("0", "doc[b, i]", "true", "true"),
    "doc[b, i] == doc[b, j] and part[i] == part[j] and j <= i": (
        "0", "doc[b, i] + part[i]", "true", "true"
    ),
    "i // 8 == j // 8 and j <= i": ("0", "i // 8", "true", "true"),
    "i // w == j // w": (None, "i // w", "true", "true"),
    "(i + n) // 8 == (j + n) // 8": (None, "(i + n) // 8", "true", "true"),
    "doc[b, i // 2] == doc[b, j // 2]": (None, "doc[b, i // 2]", "true", "true"),
    "min(part[i], 3) == min(part[j], 3)": (None, "min(part[i], 3)", "true", "true"),
    "2 * doc[b, i] + i // 8 == 2 * doc[b, j] + j // 8": (None, "i // 8 + 2 * doc[b, i]", "true", "true"),
    "i == j": (None, "i", "true", "true"),
}  # fmt: skip

WINDOW = (
    "keys leave the window again, and a state cannot forget one key; "
    "with a window, tiles are linear in the length already"
)
OTHER = "is neither causal nor a document nor a condition on one side"
SORTED = "documents have to be `sorted`, else a state would have to be kept for each"
ONE_ARRAY = "the documents of queries and of keys are numbered by one array, or a state is kept for each"
REFUSED = {
    "j <= i and i - j < w": f"`i - j < w`: {WINDOW}",
    "i <= j": f"`i <= j`: {WINDOW}",
    "abs(i - j) < w": f"`abs(i - j) < w` {OTHER}",
    "j <= i or j < n": f"`j <= i or j < n` {OTHER}",
    "j <= i and (i - j) % 4 == 0": f"`(i - j) % 4 == 0` {OTHER}",
    "j <= 2 * i": f"`j <= 2 * i` {OTHER}",
    "j <= i + loose[b, i]": f"`j <= i + loose[b, i]` {OTHER}",
    "j // 8 <= i // 8": f"`j // 8 <= i // 8` {OTHER}",
    "loose[b, i] == loose[b, j]": f"`loose[b, i] == loose[b, j]`: {SORTED}",
    "i % 8 == j % 8": f"`i % 8 == j % 8`: {SORTED}",
    "doc[b, i] - i == doc[b, j] - j": f"`doc[b, i] - i == doc[b, j] - j`: {SORTED}",
    "n * doc[b, i] == n * doc[b, j]": f"`n * doc[b, i] == n * doc[b, j]`: {SORTED}",
    "doc[b, i] == part[j]": f"`doc[b, i] == part[j]`: {ONE_ARRAY}",
    "doc[b, i] == doc[b, j] + 1": f"`doc[b, i] == doc[b, j] + 1` {OTHER}",
    "doc[b, i] != doc[b, j]": f"`doc[b, i] != doc[b, j]` {OTHER}",
}


@pytest.mark.parametrize("mask", FOUND)
def test_found(mask: str) -> None:
    assert said_of(mask) == FOUND[mask]


@pytest.mark.parametrize("mask", FOUND)
def test_it_shows_the_pairs_of_the_mask(mask: str) -> None:
    """At every pair; and tokens of a document stand together."""
    compilation = compiled(f"attention a({PARAMS}):\n    mask {mask}\n    normalize none\n")
    make = torch.Generator().manual_seed(1)
    tokens = 24
    values = {
        "doc": torch.randint(0, 4, (2, tokens), generator=make).sort().values,
        "part": torch.randint(0, 3, (tokens,), generator=make).sort().values,
        "loose": torch.randint(0, 3, (2, tokens), generator=make),
        "starts": torch.randint(0, 9, (2, 5), generator=make).sort().values,
        "length": torch.tensor([9, 20]),
        "back": torch.tensor([-2, 3]),
        "marked": torch.rand(2, tokens, generator=make) < 0.5,
        "w": 5, "n": 11, "on": True,
    }  # fmt: skip
    q = torch.zeros(2, 2, tokens, 2, dtype=torch.float64)
    sides = sides_of(compilation.attention, q, q, values)
    found = found_in(mask)
    assert isinstance(found, TokenMask)
    expected = sides.condition(compilation.attention.mask, "i", "j")
    assert torch.equal(visible(found, sides), expected)
    if found.document is not None:
        number = sides.integer(found.document, "i")
        assert (number.diff(dim=-1) >= 0).all()


@pytest.mark.parametrize("mask", REFUSED)
def test_refused(mask: str) -> None:
    found = found_in(mask)
    assert isinstance(found, Reason)
    assert found.text == REFUSED[mask]
    assert found.span is not None and found.span.line == 2
