"""What support code finds in the module that it is copied into: its constants, and functions made for its spec.

They stand here so that the files beside this one are whole; none of these is copied.
"""

import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
MINUS_INF = tl.constexpr(float("-inf"))
TILE = 128
CHUNK = 64


def _pairs_seen(q, k):
    """How many pairs a call visits."""
    return q.shape[:3].numel() * k.shape[2]


TILES = {"float32": {"forward": {256: (16, 32, 8, 1)}}}
