"""Figures of machine code that were read once are kept, as golden files are.

They are named by all that they follow from (`attnc/inspect/remember.py`): the kernel, how it is specialized, the GPU,
Triton, and the rooms that read them. So a kernel that changes is built anew, and nothing else is. Of those that are
kept the ones whose turn it is are built anew in each run, and have to be what they were.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from turns import in_turn

from attnc.run.loader import cache_directory
from attnc.run.own import write_own

KEPT = Path(__file__).parent / "figures"


@pytest.fixture(autouse=True, scope="session")
def _kept_figures(request: pytest.FixtureRequest, _own_cache: None) -> Iterator[None]:
    cache, kept = cache_directory() / "figures", sorted(KEPT.glob("*.json"))
    is_update = request.config.getoption("--update-golden")
    anew = set(kept) if is_update else set(in_turn(kept))
    for path in kept:
        if path not in anew:
            write_own(cache / path.name, path.read_bytes())
    yield
    for path in cache.glob("*.json"):
        if is_update:
            KEPT.mkdir(exist_ok=True)
            shutil.copy(path, KEPT)
        elif KEPT / path.name in anew:
            assert path.read_text() == (KEPT / path.name).read_text(), f"{path.name} is no longer what it was"
