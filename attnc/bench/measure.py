"""A benchmark: the contenders of a call are compared, and then timed.

Enters: a compilation, a call, and how often. Leaves: a `Report`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from attnc.bench.call import Call
from attnc.bench.compare import find_difference, limit_of
from attnc.bench.contenders import Attend, Contender, LeftOut, find_contenders, first_line
from attnc.bench.machine import find_versions, name_device
from attnc.bench.report import Report, Row
from attnc.bench.timing import Clock, find_clock, take_turns
from attnc.errors import AttncError, Diagnostic

if TYPE_CHECKING:
    from attnc.compiler import Compilation

Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
Progress = Callable[[int, int], None]


def bench(
    compilation: Compilation,
    call: Call,
    directions: Sequence[Direction] = DIRECTIONS,
    rounds: int = 7,
    *,
    with_reference: bool = False,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compare and time everyone who can compute the call; `progress(done, of)` is told after every step."""
    contenders, left_out = find_contenders(compilation, call, with_reference)
    measurement = Measurement(call, contenders, left_out, clock or find_clock(call.device), rounds, progress)
    rows = [row for direction in directions for row in measurement.run(direction, len(directions))]
    return Report(
        compilation.attention.name,
        name_device(call.device),
        find_versions(),
        str(call.q.dtype).removeprefix("torch."),
        call.numbers,
        call.made_up,
        measurement.judge,
        tuple(rows),
        tuple(measurement.left_out),
        rounds,
    )


class Measurement:
    """A benchmark under way: what stays the same from one direction to the next."""

    def __init__(
        self,
        call: Call,
        contenders: Sequence[Contender],
        left_out: Sequence[LeftOut],
        clock: Clock,
        rounds: int,
        progress: Progress | None = None,
    ) -> None:
        self.call, self.contenders, self.left_out = call, contenders, list(left_out)
        self.clock, self.rounds, self.progress = clock, rounds, progress
        self.judge = "reference" if any(c.name == "reference" for c in contenders) else "attnc"
        self._done = 0

    def run(self, direction: Direction, directions: int = 1) -> list[Row]:
        """A row for everyone who computes this direction."""
        whole = directions * len(self.contenders) * (self.rounds + 2)

        def tick() -> None:
            self._done += 1
            if self.progress:
                self.progress(min(self._done, whole), whole)

        results: dict[str, Sequence[Tensor]] = {}
        for contender in self.contenders:
            computed = self._compute(contender, direction)
            if computed is not None:
                results[contender.name] = computed
            tick()
        expected, limit = results[self.judge], limit_of(self.call.q)
        differences = {name: find_difference(got, expected) for name, got in results.items()}
        del results, expected
        agreeing = [c for c in self.contenders if differences.get(c.name, limit + 1) <= limit]
        ready = {c.name: partial(self._ready, c.attend, direction) for c in agreeing}
        times = take_turns(ready, self.rounds, self.clock, tick)
        return [
            Row(direction, name, difference, limit, tuple(times.get(name, ())))
            for name, difference in differences.items()
        ]

    def _compute(self, contender: Contender, direction: Direction) -> Sequence[Tensor] | None:
        """The output or the gradients; None, and a reason, where it has none."""
        if direction == "backward" and contender.no_backward:
            self.left_out.append(LeftOut(contender.name, direction, contender.no_backward))
            return None
        try:
            result = self._ready(contender.attend, direction)()
        except Exception as problem:
            if contender.name in ("attnc", self.judge):
                _refuse_if_out_of_memory(problem)
                raise
            self.left_out.append(LeftOut(contender.name, direction, first_line(problem)))
            return None
        return result if isinstance(result, tuple) else (result,)

    def _ready(self, attend: Attend, direction: Direction) -> Callable[[], Any]:
        """The call that is timed. A backward call has a forward call of its own before it, which is not."""
        q, k, v = self.call.q, self.call.k, self.call.v
        match direction:
            case "forward":
                return partial(_without_gradients, attend, q, k, v)
            case "backward":
                leaves = [x.detach().requires_grad_() for x in (q, k, v)]
                out = attend(*leaves)
                return partial(torch.autograd.grad, out, leaves, self._dout(out))

    def _dout(self, out: Tensor) -> Tensor:
        generator = torch.Generator(out.device).manual_seed(1)
        return torch.randn(out.shape, generator=generator, device=out.device, dtype=out.dtype)


def _without_gradients(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    with torch.no_grad():
        return attend(q, k, v)


def _refuse_if_out_of_memory(problem: Exception) -> None:
    """That memory did not suffice is the caller's to know."""
    if isinstance(problem, RuntimeError | MemoryError) and "memory" in str(problem):
        what = f"the call does not fit in memory: {first_line(problem)}"
        helps = ("give smaller sizes, as in `--at N=8192`",)
        raise AttncError(Diagnostic("wrong-size", what, helps=helps)) from problem
