"""The timing of calls, which take turns.

Enters: for each name what makes a call ready, how many rounds, and a clock. Leaves: the milliseconds of every call in
every round. Within a round each is called once, so what else the machine does meets all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Call = Callable[[], Any]
Clock = Callable[[Call], float]

# Larger than the L2 of any GPU there is; a wait in which the CPU gets ahead, so that no gap between launches is timed.
FLUSHED_BYTES, AHEAD_CYCLES = 2**28, 2_000_000


def take_turns(
    ready: Mapping[str, Callable[[], Call]],
    rounds: int,
    clock: Clock,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Milliseconds by name. What `ready` does is not timed, nor is the first round, which warms up."""
    found: dict[str, list[float]] = {name: [] for name in ready}
    for number in range(rounds + 1):
        for name, make in ready.items():
            milliseconds = clock(make())
            if number:
                found[name].append(milliseconds)
            tick()
    return found


def find_clock(device: torch.device) -> Clock:
    """The clock for calls on this device."""
    return time_on_gpu(device) if device.type == "cuda" else time_on_cpu


def time_on_cpu(call: Call) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def time_on_gpu(device: torch.device) -> Clock:
    """Between two events of the stream, with nothing of earlier calls in the L2."""
    junk = torch.empty(FLUSHED_BYTES, dtype=torch.int8, device=device)

    def clock(call: Call) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        junk.zero_()
        torch.cuda._sleep(AHEAD_CYCLES)  # type: ignore[no-untyped-call]
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    return clock
