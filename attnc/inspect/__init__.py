"""How good is the machine code of an emitted module, for a GPU that need not be there?

Enters: a compilation, and a target such as `sm_90`. Leaves: a `Report`: the figures of every kernel that a forward and
a backward call launch, and what a gate says of them. Nothing runs: launches are written down instead of done, Triton
builds them, and the figures are read from what its assembler wrote. How fast a kernel is takes a GPU to say.

    targets.py       the GPUs that code is built for
    call.py          arguments for a call of a spec
    launches.py      which kernels a call launches, with the arguments of the module's own launchers
    build.py         what Triton makes of a launch: a key, TTIR, machine code
    instructions.py  SASS, PTX and AMDGCN as instructions, and the loops among them
    figures.py       registers, spills, shared memory, and what the loops hold
    gate.py          the limits, and the reason for each
    report.py        all of it as a table and as JSON
    check.py         all of it, in order
    remember.py      figures that were read once, from the cache
    candidates.py    the tiles that are tried for each kernel and width, best first
    choose.py        the first of them that passes the gate
"""

from attnc.inspect.check import inspect, plan_launches
from attnc.inspect.choose import Choices, choose
from attnc.inspect.report import Report
from attnc.inspect.targets import find_target

__all__ = ["Choices", "Report", "choose", "find_target", "inspect", "plan_launches"]
