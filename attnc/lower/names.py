"""Names in emitted code.

Enters: names of the spec. Leaves: the same names, unless the frame of a kernel has them for itself: then with an
underscore behind. The public function keeps the name as the author wrote it.
"""

from __future__ import annotations

import builtins
import keyword

# fmt: off
FRAME = frozenset([
    "acc", "b", "backend", "col", "delta", "distance", "dk", "dlse", "dout", "dp", "dq", "ds", "dtype",
    "dv", "edge_end", "edge_left", "edge_tiles", "first", "first_row", "full_hi", "full_left",
    "full_lo", "full_tiles", "g", "group", "h", "h_kv", "hi", "i", "i_first", "i_last", "index", "j",
    "j_first", "j_last", "k", "k0", "key_hi", "key_lo", "live_hi", "live_lo", "lo", "lse", "math", "new_max",
    "os", "out",
    "p", "pair_row", "q", "q0", "q1", "qk", "query_hi", "query_lo", "rescale", "result", "return_lse", "row",
    "row_lse",
    "row_max", "row_sum", "rows", "scale", "score", "seen", "shift", "strip", "t", "tile", "tiles",
    "tl", "torch", "total", "triton", "v", "value", "visible",
])
# fmt: on
SIZES = ("B", "H", "HKV", "N", "M", "D", "DV")


def variable(name: str) -> str:
    """The variable of a parameter in a kernel."""
    taken = name in FRAME or keyword.issoftkeyword(name) or hasattr(builtins, name)
    return f"{name}_" if taken else name


def pointer(array: str) -> str:
    return f"{array}_ptr"


def stride(array: str, dim: int) -> str:
    return f"{array}_stride_{dim}"
