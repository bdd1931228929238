"""How much of the longest lists of cases runs: of `TURNS` in a row one, and all of them where `TURNS=1`.

Which one is `TURN`, another in every run; the head of a run says it, and with it a run repeats. So as many runs as
there are turns see all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")
TURNS = int(os.environ.get("TURNS", "16"))
# Processes that pytest starts take what the first of them has drawn.
TURN = int(os.environ.setdefault("TURN", str(random.SystemRandom().randrange(TURNS))))


def in_turn(cases: Iterable[T], first: int = 0, turns: int = TURNS) -> list[T]:
    """Those whose turn it is, where the turns begin with this one; all of them come up in so many `turns`.

    Of fewer cases there are fewer turns: one is there in every run.
    """
    cases = list(cases)
    turns = max(1, min(turns, TURNS, len(cases)))
    return cases[(first + TURN) % turns :: turns]
