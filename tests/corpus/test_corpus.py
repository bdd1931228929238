"""The masks that people use: what is found of their tiles is never too little, and for most of them not too much."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from compilations import file
from corpus import CORPUS, FLASHMASK, FORTY, GYM, LISTED, SPECS, Mask, file_of
from effort import at_most
from found import is_listed
from integer_oracle import evaluate
from judge import MANY_CALLS, judge
from truth import EDGE, FULL, NONE, ROLES, classes_of, pairs_of
from turns import in_turn

from attnc.compiler import Compilation
from attnc.options import make_options
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_file
from attnc.syntax.reading import read_source

ROOT = Path(__file__).parent.parent.parent

each_mask = pytest.mark.parametrize("mask", CORPUS, ids=lambda mask: mask.name)


@pytest.mark.parametrize("mask", in_turn(CORPUS, turns=4), ids=lambda mask: mask.name)
def test_no_tile_is_missed(mask: Mask) -> None:
    """Nor wrongly full: whoever judges raises. How many too many are visited, three calls do not tell."""
    for role, score in judge(mask, calls=3, seed=1).items():
        assert score.visited >= score.seen and score.full <= score.truly_full, f"{role}: {score}"


@pytest.mark.slow
@pytest.mark.parametrize("mask", in_turn(CORPUS, turns=2), ids=lambda mask: mask.name)
def test_few_are_visited_without_need(mask: Mask) -> None:
    """Over the many calls of docs/masks.md."""
    for role, score in judge(mask, MANY_CALLS).items():
        assert score.is_tight, f"{role}: {score}"


@pytest.mark.parametrize("mask", in_turn(CORPUS, turns=2), ids=lambda mask: mask.name)
def test_marks_of_listed_masks_are_right(mask: Mask) -> None:
    """A mask that has got a closed form loses its mark, and docs/masks.md is made anew."""
    compilation = mask.compilation()
    listed = tuple(role for role in ROLES if is_listed(compilation, role))
    assert listed == LISTED.get(mask.name, ())


@each_mask
def test_truth_is_what_the_mask_says_pair_by_pair(mask: Mask) -> None:
    random = np.random.default_rng(crc32(mask.name.encode()))
    term = mask.compilation().attention.mask
    drawn = {**mask.draw(random), "b": 0, "h": 1}
    seen = pairs_of(term, drawn)
    for i, j in zip(random.integers(0, drawn["N"], 100), random.integers(0, drawn["M"], 100), strict=True):
        assert seen[i, j] == evaluate(term, {**drawn, "i": int(i), "j": int(j)}), (i, j)


# Calls of functions: less than two seconds of a processor of 2025. The mask that takes most of them is in every run.
MOST_CALLS = 20_000_000
LONGEST = "sliding_tiles_3d"


@pytest.mark.parametrize(
    "mask",
    [pytest.param(mask, marks=[] if mask.name == LONGEST else pytest.mark.slow) for mask in CORPUS],
    ids=lambda mask: mask.name,
)
def test_no_analysis_takes_long(mask: Mask) -> None:
    compilation = Compilation(read_source(file_of(mask)), make_options(name=mask.spec or mask.name))
    assert compilation.attention
    with at_most(MOST_CALLS):
        assert compilation.facts


def test_classes_of_tiles() -> None:
    seen = np.array([[1, 1, 0, 0, 1], [1, 1, 0, 1, 1], [0, 0, 0, 0, 1]], bool)
    assert classes_of(seen, 2, 2).tolist() == [[FULL, EDGE, FULL], [NONE, NONE, FULL]]


def test_corpus_covers_what_it_should() -> None:
    names = [mask.name for mask in CORPUS]
    assert len(set(names)) == len(names) >= 60
    counts = {origin: sum(origin in mask.origins for mask in CORPUS) for origin in (GYM, FLASHMASK, FORTY)}
    assert counts[GYM] == 21 and counts[FLASHMASK] >= 12 and counts[FORTY] == 40
    assert set(LISTED) <= set(names)


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.attn")), ids=lambda path: path.stem)
def test_specs_are_well_kept_and_all_used(path: Path) -> None:
    source = read_source(path)
    assert print_file(parse_file(source)) == source.text, "not formatted"
    held = {attention.name for attention in file(path).attentions}
    assert held <= {mask.spec or mask.name for mask in CORPUS}


def test_page_has_a_row_for_each_mask() -> None:
    lines = (ROOT / "docs" / "masks.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert rows == [mask.name for mask in CORPUS]
