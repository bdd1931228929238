"""The order in which tiles are begun: known where later tiles visit no less, and some of them more."""

from __future__ import annotations

import pytest
from compilations import example
from mask_zoo import ALL, attention_of

from attnc.analyze.ranges import find_ranges
from attnc.compiler import Compilation
from attnc.lower.proofs import Proofs
from attnc.lower.tiled.order import visits_more_later
from attnc.source import Source

# Of queries that look for keys, and of keys that look for queries.
MORE_LATER = {
    "causal": (True, False),
    "anticausal": (False, True),
    "prefix_lm": (True, False),
    "block_causal": (True, False),
    "some_heads_global": (True, False),
    "compressed_keys": (True, False),
    "sliding_window": (False, False),
    "bidirectional_window": (False, False),
    "longformer": (False, False),
    "chunked_causal": (False, False),
    "causal_with_previous_chunk": (False, False),
    "documents": (True, False),  # in any order: what is known is `j <= i`
    "not_the_same": (False, False),
}


@pytest.mark.parametrize("name", MORE_LATER)
def test_masks(name: str) -> None:
    attention = attention_of(ALL[name])
    found = []
    for target in ("j", "i"):
        ranges = find_ranges(attention, target)
        found.append(visits_more_later(ranges, Proofs(ranges.requires, attention.params)))
    assert tuple(found) == MORE_LATER[name]


def test_a_document_may_end_anywhere() -> None:
    plan = example("packed_documents").plan
    assert plan.last.cover.more_later == frozenset()
    texts = [reason.text for reason in plan.because]
    assert "tiles of queries begin with the first: no later one is known to have more keys" in texts
    assert "tiles of keys begin with the first: no later one is known to have more queries" in texts


def test_the_longest_are_begun_first() -> None:
    """In the kernels of queries of a causal mask, in that of keys of the mask turned around, and nowhere else."""
    reversed_tile = "(tiles - 1 - tile_id) * "
    for mask, kernels in (
        ("j <= i", {"_forward", "_backward_queries", "_backward_pairs"}),
        ("i <= j", {"_backward_keys"}),
        ("j <= i and i - j < 9", set()),
    ):
        text = f"attention zoo(t: float[H, 3]):\n    mask {mask}\n    score dot(q, k) * scale + t[h, (i - j) % 3]\n"
        parts = Compilation(Source("zoo.attn", text)).module.split("\ndef ")
        assert {part.partition("(")[0] for part in parts if reversed_tile in part} == kernels, mask
