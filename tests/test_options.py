"""The table of options, as keywords and as a key."""

from __future__ import annotations

import dataclasses

import pytest

from attnc.errors import AttncError
from attnc.options import OPTIONS, Options, make_options


def test_every_field_is_a_row_of_the_table() -> None:
    assert [option.name for option in OPTIONS] == [field.name for field in dataclasses.fields(Options)]
    assert all(option.help and not option.help.endswith(".") for option in OPTIONS)
    assert Options() == make_options()
    assert Options() == make_options(**{option.name: option.default for option in OPTIONS})


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"backnd": "cpu"}, "did you mean `backend`?"),
        ({"backend": "cuda"}, "give one of `auto`, `triton`, `cpu`, `reference`"),
        ({"backend": None}, "give a text"),
        ({"check_sorted": 1}, "give true or false"),
        ({"name": 3}, "give a text"),
    ],
)
def test_a_mistake_says_what_to_do(keywords: dict[str, object], says: str) -> None:
    with pytest.raises(AttncError) as caught:
        make_options(**keywords)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.helps == (says,)


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(AttncError) as caught:
        make_options(check_sorted=3, whatever=1, name="causal", backend="gpu")
    assert [d.code for d in caught.value.diagnostics] == ["bad-option", "unknown-option", "bad-option"]


def test_the_key_tells_what_shapes_the_text() -> None:
    assert make_options().key == make_options(backend="cpu").key == ""
    assert make_options(check_sorted=False, name="a").key == "name=a check_sorted=False"
