"""Names in emitted code.

Enters: names of the spec. Leaves: the same names, unless the frame of a kernel has them for itself: then with an
underscore behind. The public function keeps the name as the author wrote it.
"""

from __future__ import annotations

import builtins
import keyword
import re

from attnc.kernel.arguments import pointer_to, stride_of

# fmt: off
FRAME = frozenset([
    "acc", "again", "at", "b", "backend", "backward", "batch_id", "behind", "careful", "changing", "col", "column",
    "columns", "count", "delta", "device", "distance", "dk", "dlse", "dout", "dout_size", "dout_wide", "dp", "dq",
    "ds", "ds_narrow", "dtype", "dv", "edge_end", "edge_left", "edge_tiles", "edges", "every", "few", "finite",
    "first", "first_row", "floats", "forward", "found", "full_hi", "full_left", "full_lo", "full_tiles", "g",
    "greatest", "grid", "group", "h", "h_end", "h_first", "h_kv", "head_id", "heads", "here", "hi", "i", "i_first",
    "i_last", "index", "inside", "j", "j_first", "j_last", "k", "k0", "key_hi", "key_lo", "kinds", "kv_heads",
    "large", "largest", "late_k0", "late_p", "late_rescale", "least", "list_row", "live_hi", "live_lo", "lo", "lse",
    "math", "narrow", "new_max", "nothing", "o", "os", "otherwise", "out", "p", "p_narrow", "pair_row", "pairs",
    "part", "period", "place", "q", "q0", "q1", "qk", "query_hi", "query_lo", "r0", "reached", "rescale", "rest",
    "result", "results", "return_lse", "room", "row", "row_factor", "row_lse", "row_max", "row_sum", "rows",
    "scale", "score", "seen", "shape", "share", "share_hi", "share_lo", "shares", "shift", "shown", "some", "spans",
    "split", "splits", "spoiled", "strip", "t", "tile", "tile_id", "tiles", "tl", "torch", "total", "triton", "v",
    "value", "values", "visible", "wide",
    # What Triton takes beside the arguments of a kernel.
    "debug", "enable_fp_fusion", "instrumentation_mode", "maxnreg", "num_ctas", "num_stages",
    "num_warps", "warmup",
])
# fmt: on
SIZES = ("B", "H", "HKV", "N", "M", "D", "DV")


# Names that the frame makes of others: pointers, strides, bounds, gradients.
MADE = re.compile(
    r"\w+_(ptr|head|room)|\w+_stride_([bht]|\d+)|(BLOCK|PARTS)_\w+|D_\d+"
    r"|(key|query|live|full|whole|period|lo|hi)(_lo|_hi)?(_\d+)?|(edge|full)_((end|hi)_\d+|left|start|tiles)"
    r"|(q|query_\d+)_(k|key_\d+)"
    r"|(least|greatest)_\w+|(d|need|total)_\w+|d[qkv]\w*|part_\w+|d?sum_\d+|period_(last|step)"
    r"|[A-Z][A-Z0-9_]+|_\w*|\w+_"
)


def variable(name: str) -> str:
    """The variable of a parameter in a kernel."""
    is_pythons = keyword.issoftkeyword(name) or hasattr(builtins, name)
    return f"{name}_" if is_pythons or name in FRAME or MADE.fullmatch(name) else name


def pointer(array: str) -> str:
    return pointer_to(variable(array))


def stride(array: str, dim: int) -> str:
    return stride_of(variable(array), dim)


def part_of(name: str) -> str:
    """What a share of the keys leaves of a number of a row, or of its values: `part_max` of `row_max`."""
    return f"part_{name.removeprefix('row_')}"
