"""How much of the longest lists of cases runs: of `TURNS` in a row one, and all of them where `TURNS=1`.

`make test-slow` takes every eighth, always the same; `make fuzz` takes all, which needs hours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
TURNS = int(os.environ.get("TURNS", "8"))


def in_turn(cases: Iterable[T], first: int = 0) -> list[T]:
    """Those whose turn it is, where the turns begin with this one."""
    return list(islice(cases, first % TURNS, None, TURNS))
