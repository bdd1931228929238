"""What is found to be linear, and what not: the weights that the terms make, at every pair, and exact reasons."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from linear_page import LINEAR, NOT_LINEAR, PAGE, attentions, page
from rebuilt import Rebuilt, draw, weights_of

from attnc.analyze.facts import NotLinear
from attnc.compiler import Compilation
from attnc.run.values import int_value
from attnc.syntax.parser import parse_file
from attnc.syntax.printer import print_file
from attnc.syntax.reading import read_source

each_linear = pytest.mark.parametrize(
    "compilation", attentions(LINEAR), ids=lambda compilation: compilation.attention.name
)


@each_linear
def test_terms_make_the_weight_of_every_pair(compilation: Compilation) -> None:
    call = draw(compilation)
    expected = weights_of(compilation.attention, *call)
    found = Rebuilt(compilation, *call).weights
    assert expected.isfinite().all()
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11 * float(expected.abs().max()))


@each_linear
def test_the_rank_is_not_above_the_features(compilation: Compilation) -> None:
    rebuilt = Rebuilt(compilation, *draw(compilation, tokens=80))
    assert rebuilt.weights.isfinite().all()  # earlier passes leave their numbers
    kernel = rebuilt.sides.kernel(rebuilt.linear.weight)[0, 0, 40:, :40]
    rank = int(torch.linalg.matrix_rank(kernel, rtol=1e-9))
    assert rank <= int_value(rebuilt.linear.features, {"D": 4})


@pytest.mark.parametrize(
    "compilation", attentions(NOT_LINEAR), ids=lambda compilation: compilation.attention.name
)
def test_what_is_not_linear_says_where(compilation: Compilation) -> None:
    found = compilation.facts.linear
    assert isinstance(found, NotLinear) and len(found.because) == 1
    assert found.because[0].span is not None


def test_the_page_has_what_is_found() -> None:
    """Terms, features and reasons, to the letter."""
    kept = PAGE.read_text(encoding="utf-8").split("\n")
    (times,) = [line for line in kept if line.startswith("Taking a formula apart")]
    assert page(times).split("\n") == kept


@pytest.mark.parametrize("path", [LINEAR, NOT_LINEAR], ids=lambda path: path.stem)
def test_specs_are_well_kept(path: Path) -> None:
    source = read_source(path)
    assert print_file(parse_file(source)) == source.text, "not formatted"
