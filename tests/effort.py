"""How much work something is, counted in calls of functions: the same on every machine, as no clock is.

Enters: what to do. Leaves: how many functions were called in it, those of C included. Where a number of calls is the
most, the next one raises, so that what grows without bounds fails soon.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class TooMuchWork(AssertionError):
    pass


@contextmanager
def at_most(calls: int) -> Iterator[None]:
    """What is done inside may call this many functions."""
    with _counted(calls) as seen:
        yield
    assert seen[0] <= calls, f"more than {calls:,} calls"


def count_calls(do: Callable[[], object]) -> int:
    with _counted(sys.maxsize) as seen:
        do()
    return seen[0]


def assert_linear(do: Callable[[int], object], size: int) -> None:
    """Twice as much is twice the work, and not four times."""
    do(1)  # what is made once, as a parser is
    half, whole = (count_calls(lambda n=n: do(n)) for n in (size // 2, size))
    assert whole <= 2.5 * half, f"{half:,} calls for {size // 2}, {whole:,} for {size}"


@contextmanager
def _counted(most: int) -> Iterator[list[int]]:
    seen = [0]

    def tick(frame: FrameType, event: str, of: object) -> None:
        if event == "call" or event == "c_call":
            seen[0] += 1
            if seen[0] > most:
                raise TooMuchWork(f"more than {most:,} calls")

    before = sys.getprofile()
    sys.setprofile(tick)
    try:
        yield seen
    finally:
        sys.setprofile(before)
