"""The kernels against what torch offers on a GPU: checked against double precision, then timed, in one call.

Enters: options. Leaves: a table, and with all figures as JSON in `bench/results/`. Cases stand in order of importance,
and those that the time does not suffice for are named. Each is compared with the interpreter in double precision at
some of its rows, forward and gradients; everyone is compared with attnc in full; then they take turns, with the L2
flushed before every call.

    python bench/gpu.py                       # under nine minutes
    python bench/gpu.py --only causal window  # cases whose names begin so
    python bench/gpu.py --dry                 # tiny sizes on the CPU, and no FlexAttention: does it run?
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from gpu_cases import CASES, Case, make_small
from gpu_linear import find_linear
from gpu_report import Result, find_work, save, show

from attnc.bench import make_call
from attnc.bench.call import Call
from attnc.bench.contenders import Contender, LeftOut, find_contenders, first_line
from attnc.bench.exact import choose_parts, find_errors
from attnc.bench.machine import find_versions, name_device
from attnc.bench.measure import DIRECTIONS, Measurement
from attnc.bench.timing import Clock, find_clock
from attnc.compiler import Compilation
from attnc.options import make_options
from attnc.source import Source

RESULTS = Path(__file__).parent / "results" / "gpu.json"


class Budget:
    """The seconds there are, and whether another step fits: it may take as long as the longest before."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start, self._seconds = clock, clock(), seconds
        self._longest = 0.0

    @property
    def spent(self) -> float:
        return self._clock() - self._start

    def took(self, seconds: float) -> None:
        self._longest = max(self._longest, seconds)

    @property
    def has_room(self) -> bool:
        return self.spent + 1.2 * self._longest < self._seconds

    @contextmanager
    def limit(self) -> Iterator[None]:
        """Whoever still compiles or computes when the time is over is interrupted, by an exception."""
        signal.signal(signal.SIGALRM, _stop_waiting)
        signal.setitimer(signal.ITIMER_REAL, max(0.1, self._seconds - self.spent))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _stop_waiting(*_: object) -> None:
    raise TimeoutError("there was no time left")


# ---- one case --------------------------------------------------------------------------------------


def run_case(
    case: Case, device: torch.device, clock: Clock, rounds: int, with_flex: bool, budget: Budget
) -> Result:
    """Check it, then time it. What goes wrong ends this case and no other, and is kept."""
    started = budget.spent
    result = Result(case, dict(case.given))
    try:
        with budget.limit():
            _measure(result, device, clock, rounds, with_flex, budget)
    except Exception as problem:
        traceback.print_exc()
        result.problem = first_line(problem)
    result.seconds = budget.spent - started
    budget.took(result.seconds)
    return result


def _measure(
    result: Result, device: torch.device, clock: Clock, rounds: int, with_flex: bool, budget: Budget
) -> None:
    case = result.case
    # Peers check nothing either; a check of `sorted` waits for the GPU.
    compilation = Compilation(Source(f"{case.name}.attn", case.spec), make_options(check_sorted=False))
    call = make_call(compilation.attention, compilation.facts, device, torch.bfloat16, case.values)
    result.numbers = call.numbers
    result.work = None if case.linear else find_work(compilation, call)
    contenders, left_out = _find_contenders(compilation, call, case, with_flex)
    parts = choose_parts(call)
    result.errors = find_errors(compilation.attention, contenders[0].attend, call, parts, case.has_backward)
    measurement = Measurement(call, contenders, left_out, clock, rounds)
    result.left_out = measurement.left_out
    for direction in DIRECTIONS if case.has_backward else DIRECTIONS[:1]:
        if direction == "backward" and not budget.has_room:
            measurement.left_out.append(LeftOut("everyone", direction, "there was no time left"))
        else:
            result.rows += measurement.run(direction)


def _find_contenders(
    compilation: Compilation, call: Call, case: Case, with_flex: bool
) -> tuple[list[Contender], list[LeftOut]]:
    contenders, left_out = find_contenders(compilation, call, with_reference=False, with_flex=with_flex)
    chosen = [each for each in contenders if case.new_mask or each.name != "flex + mask"]
    if case.linear:
        peer = find_linear(case.linear, call)
        (chosen if isinstance(peer, Contender) else left_out).append(peer)  # type: ignore[arg-type]
    return chosen, left_out


# ---- all of them -----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="The kernels against torch's attention on a GPU, in one run."
    )
    parser.add_argument("--only", nargs="+", default=[""], help="cases whose names begin so")
    parser.add_argument("--seconds", type=float, default=510, help="the time there is (default: 510)")
    parser.add_argument("--rounds", type=int, default=15, help="repeats of every call (default: 15)")
    parser.add_argument(
        "--no-flex", action="store_true", help="without FlexAttention, which compiles for long"
    )
    parser.add_argument("--dry", action="store_true", help="tiny sizes on the CPU: does it run?")
    parser.add_argument("--output", type=Path, help=f"the JSON file (default: {RESULTS})")
    options = parser.parse_args(arguments)
    if not options.dry and not torch.cuda.is_available():
        parser.error("there is no GPU here that torch can use; --dry runs on the CPU")
    budget = Budget(options.seconds)
    device = torch.device("cpu" if options.dry else "cuda")
    cases = [case for case in CASES if any(case.name.startswith(name) for name in options.only)]
    if not cases:
        parser.error(f"no case begins with {' or '.join(options.only)}")
    path = options.output or (None if options.dry else RESULTS)
    clock, rounds = find_clock(device), 2 if options.dry else options.rounds
    results: list[Result] = []
    not_reached: list[str] = []
    print(f"{name_device(device)}; {find_versions()}", flush=True)
    for case in map(make_small, cases) if options.dry else cases:
        if not budget.has_room:
            not_reached.append(case.name)
            continue
        with_flex = not (options.dry or options.no_flex)
        results.append(run_case(case, device, clock, rounds, with_flex, budget))
        print("\n".join(show(results[-1])), flush=True)
        if path:
            save(results, not_reached, device, path)
        _forget(device)
    for name in not_reached:
        print(f"no time for: {name}")
    if path:
        save(results, not_reached, device, path)
        print(f"saved in {path} and {path.with_suffix('.txt')}")
    return int(not all(result.holds for result in results))


def _forget(device: torch.device) -> None:
    """What was compiled for a case, and its memory."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
