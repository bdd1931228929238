"""How fast is an attention beside what torch offers, on the device at hand?

Enters: a compilation, and sizes and arguments of a call. Leaves: a `Report`. Every contender that can compute the call
does so first, and its values are compared; those that agree take turns within every round, so that whatever else the
machine does meets all of them. Who is left out is said, with the reason.

    call.py        tensors and arguments of a call
    bias.py        a mask as a tensor, and what is added to the product of q and k: what SDPA takes
    flex.py        the functions that FlexAttention takes, as text
    contenders.py  who takes part, and who cannot
    compare.py     how far two results are apart, and how far they may be
    timing.py      rounds in which calls take turns; the clocks of a CPU and of a GPU
    machine.py     where it was measured, and by what
    tune.py        tiles by the clock, for `attnc build --time`
    report.py      a table and JSON
    figure.py      a picture
    measure.py     all of it, in order
"""

from attnc.bench.call import Call, find_device, find_dtype, make_call
from attnc.bench.machine import check_card
from attnc.bench.measure import DIRECTIONS, bench
from attnc.bench.report import Report
from attnc.bench.timing import find_clock
from attnc.bench.tune import refine

__all__ = [
    "DIRECTIONS",
    "Call",
    "Report",
    "bench",
    "check_card",
    "find_clock",
    "find_device",
    "find_dtype",
    "make_call",
    "refine",
]
