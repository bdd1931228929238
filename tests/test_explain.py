"""What `attnc explain` prints, beyond the golden files."""

from __future__ import annotations

import json

import pytest

import attnc
from attnc.compiler import Compilation
from attnc.options import make_options
from attnc.source import Source


def explain(mask: str, params: str = "") -> str:
    return attnc.compile(f"attention a({params}):\n    mask {mask}\n").explain()


def cost(mask: str, params: str = "") -> str:
    """The paragraph on cost, as one line."""
    return " ".join(explain(mask, params).split("\ncost ")[1].split())


def test_no_line_breaks_inside_an_interval() -> None:
    text = explain("j <= i and (j < sinks or i - j < window)", "sinks: int, window: int")
    for line in text.splitlines():
        assert line.count("[") == line.count(")") - line.count("(") + line.count("]"), line
        assert len(line) <= 110


@pytest.mark.parametrize(
    ("mask", "share"),
    [("true", "100 % of all tiles are visited, 100 % without a mask"),
     ("j <= i", "50.8 % of all tiles are visited, 49.2 % without a mask"),
     ("i == j", "1.56 % of all tiles are visited, 0 % without a mask")],
)  # fmt: skip
def test_cost_is_a_share_of_all_tiles(mask: str, share: str) -> None:
    assert cost(mask) == f"{share} (N = M = 8192, tiles of 128 x 128)"


def test_cost_names_the_defaults_it_was_taken_at() -> None:
    assert cost("j <= i and i - j < w", "w: int = 128").endswith(
        "(N = M = 8192, tiles of 128 x 128, w = 128)"
    )


def test_cost_says_what_it_would_need() -> None:
    assert cost("j < prefix", "prefix: int") == "`prefix` decides which tiles are visited, and has no value"


def test_json_has_every_reason() -> None:
    source = Source("<string>", "attention a():\n    mask j < i\n")
    compilation = Compilation(source, make_options())
    found = json.loads(compilation.explain_json())
    facts = compilation.facts
    assert found["keys"]["because"] == [str(reason) for reason in facts.keys.because]
    assert found["rows"] == {"can_be_empty": True, "because": [str(reason) for reason in facts.rows.because]}
    assert found["place"] == "<string>:1"
