"""All functions of the CPU path.

Enters: a sweep. Leaves: its functions in the order in which a module defines them.
"""

from __future__ import annotations

from attnc.kernel.nodes import Function
from attnc.lower.cpu.backward import lower_backward
from attnc.lower.cpu.forward import lower_forward
from attnc.lower.cpu.keys import lower_hide, lower_keys
from attnc.lower.cpu.tile import Called
from attnc.lower.tiled.sweep import TiledSweep


def lower_cpu(sweep: TiledSweep, check: Function | None, kinds: Function | None) -> tuple[Function, ...]:
    """What a tile sees, what of it is hidden, forward and backward; `check` comes before all of it."""
    keys, hide = lower_keys(sweep), lower_hide(sweep)
    called = Called(keys, hide[-1] if hide else None, kinds)
    backward = (lower_backward(sweep, called),) if sweep.has_gradient else ()
    return keys, *hide, lower_forward(sweep, called, check), *backward
