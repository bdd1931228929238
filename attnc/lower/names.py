"""Names of a spec in emitted code, which keeps them as they are unless it has them for itself.

Enters: an attention. Leaves: those of its names that are set apart whatever is made of it; what is made of it may have
others for itself (`taken.py`).
"""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Collection
from itertools import count

from attnc.ir.nodes import Attention

SIZES = ("B", "H", "HKV", "N", "M", "D", "DV")
MODULES = frozenset(["inspect", "math", "numbers", "os", "sys", "tl", "torch", "triton", "weakref"])
# What Triton takes beside the arguments of a kernel.
OF_TRITON = frozenset([
    "debug", "enable_fp_fusion", "instrumentation_mode", "maxnreg", "num_ctas", "num_stages", "num_warps", "warmup",
])  # fmt: skip
# What torch and people call, which is made of everything else, takes and binds.
OF_OPERATORS = frozenset([
    "backend", "backward", "changing", "ctx", "floats", "forward", "initial_state", "inputs", "mistake", "output",
    "return_lse", "return_state",
])  # fmt: skip
RESERVED = frozenset((*dir(builtins), *keyword.softkwlist, *MODULES, *OF_TRITON, *OF_OPERATORS))


def reserved_names(attention: Attention) -> tuple[str, ...]:
    """The names of a spec that emitted code may have for itself whatever is computed.

    Its functions begin with an underscore, its constants are in capitals, and names that are set apart end in one.
    """
    names = (*[param.name for param in attention.params], *[name for name, _ in attention.lets])
    return tuple(
        name
        for name in names
        if name in RESERVED or "_" in (name[0], name[-1]) or (name.isupper() and len(name) > 1)
    )


def fresh_name(word: str, taken: Collection[str]) -> str:
    """The word, or `word_2`, `word_3` and so on where it is taken."""
    return word if word not in taken else next(x for n in count(2) if (x := f"{word}_{n}") not in taken)


def part_of(name: str) -> str:
    """What a share of the keys leaves of a number of a row, or of its values: `part_max` of `row_max`."""
    return f"part_{name.removeprefix('row_')}"
