"""The examples are right, short and well kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from effort import at_most
from verify_ir import verify

from attnc.check import find_mistakes
from attnc.ir.text import print_ir
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_file
from attnc.syntax.reading import read_source

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.attn"))

# What each says, clause by clause where it is not the default.
MEANINGS: dict[str, dict[str, str]] = {
    "causal": {"mask": "j <= i"},
    "sliding_window": {"mask": "j <= i and i - j < window"},
    "gemma2_local": {
        "mask": "j <= i and i - j < window",
        "score": "cap * tanh(dot(q, k) * scale / cap)",
    },
    "alibi": {"mask": "j <= i", "score": "dot(q, k) * scale - slope[h] * real(i - j)"},
    "prefix_lm": {"mask": "j < prefix or j <= i"},
    "streaming_llm": {"mask": "j <= i and (j < sinks or i - j < window)"},
    "packed_documents": {"mask": "doc[b, i] == doc[b, j] and j <= i"},
    "t5_bias": {},
    "gpt_oss_sinks": {
        "mask": "j <= i and i - j < window",
        "normalize": "exp(s) / (exp(sinks[h]) + sum(exp(s)))",
    },
}
DEFAULTS = {
    "query": "q",
    "key": "k",
    "value": "v",
    "mask": "true",
    "score": "dot(q, k) * scale",
    "normalize": "exp(s) / sum(exp(s))",
    "output": "o",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path) -> None:
    checked = find_mistakes(parse_file(read_source(path)))
    assert checked.diagnostics == ()
    (found,) = checked.attentions
    assert found.name == path.stem
    verify(found)
    if MEANINGS.get(path.stem):
        clauses = {word: print_ir(getattr(found, word)) for word in DEFAULTS}
        assert clauses == DEFAULTS | MEANINGS[path.stem]


def test_meanings_are_those_of_examples() -> None:
    assert set(MEANINGS) <= {path.stem for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_well_kept(path: Path) -> None:
    source = read_source(path)
    assert print_file(parse_file(source)) == source.text, "not formatted"
    first, second, third, *spec = source.text.splitlines()
    assert first.startswith("# ") and first.endswith(".")
    assert second.startswith("# attnc finds: ") and second.endswith(".")
    assert third == ""
    assert len(spec) <= 10
    assert max(map(len, source.text.splitlines())) <= 120


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_check_is_quick(path: Path) -> None:
    """Once the parser is there: 100,000 calls are below 50 ms, and nobody waits for it in an editor."""
    source = read_source(path)
    find_mistakes(parse_file(source))
    with at_most(100_000):
        find_mistakes(parse_file(source))
