"""Every stage of every example, as committed text: reviewed like code, updated by `--update-golden`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from compilations import NAMES, example

from attnc.compiler import STAGES
from attnc.version import __version__


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", NAMES)
def test_stage(name: str, stage: str, golden: Callable[[str, str], None]) -> None:
    text = example(name).show(stage)
    suffix = "py" if stage == "module" else "txt"
    golden(
        f"{name}/{stage}.{suffix}", text.replace(f"attnc {__version__}", "attnc VERSION").rstrip("\n") + "\n"
    )
