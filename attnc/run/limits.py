"""What the emitted module asks of a call beyond its meaning.

Enters: a call that has a meaning. Leaves: nothing, or an `AttncError` with the words of the module that refused it.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from attnc.analyze.call_check import requirement_check
from attnc.analyze.facts import Facts
from attnc.errors import AttncError, Diagnostic
from attnc.ir.nodes import Int
from attnc.ir.text import print_ir
from attnc.run import messages
from attnc.run.checks import check_condition
from attnc.run.values import int_value
from attnc.support.call import _choose

WIDEST = 256
FAR = 2**29


def check_limits(
    facts: Facts, backend: str, q: Tensor, numbers: Mapping[str, int], counts: tuple[Int, ...] = ()
) -> None:
    """`numbers` holds the sizes and int parameters of the call; `counts` is what a kernel keeps below `FAR`."""
    for required in (*facts.keys.requires, *facts.queries.requires):
        check_condition(requirement_check(required), numbers)
    if _choose(backend, q) == "triton":
        for name in ("D", "DV"):
            if numbers[name] > WIDEST:
                what = messages.wrong_type(name, f"{WIDEST} or less in a kernel", str(numbers[name]))
                raise AttncError(Diagnostic("wrong-shape", what))
        for count in counts:
            found = int_value(count, numbers)
            if found >= FAR:
                what = messages.wrong_type(print_ir(count), f"{FAR - 1} or less in a kernel", str(found))
                why = "kernels count positions and numbers in 32 bits"
                raise AttncError(Diagnostic("wrong-value", what, notes=(why,)))
