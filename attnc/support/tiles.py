"""What reads the table of tiles of a module: launch options of a kernel, for the widths of a call.

Copied into modules that have kernels; the table stands in front of it. Where tiles were chosen for one GPU, `_table` is
another one.
"""

import torch
import triton

from attnc.support.of_module import TILES


def _table(q):
    """The rows of TILES for tensors like q."""
    if q.element_size() > 2:
        return TILES["float32"]
    return TILES["wgmma" if _generation(q) in (9, 10) else "mma"]


def _generation(q):
    """Of matrix units for half precision: 9 is data center Hopper, 10 is Blackwell; 0 elsewhere."""
    is_narrow_cuda = q.element_size() <= 2 and q.is_cuda and torch.version.hip is None
    return torch.cuda.get_device_capability(q.device)[0] if is_narrow_cuda else 0


def _tiles(kernel, q, *widths):
    """Launch options of a kernel for these head widths."""
    rows = _table(q)[kernel]
    for name, size in widths:
        if size > max(rows):
            raise ValueError(f"`{name}` needs {max(rows)} or less in a kernel, got {size}")
    parts = {f"PARTS_{name}": _parts_of(size, kernel, q) for name, size in widths}
    needed = max((size for _, size in widths), default=0)
    widest = min(width for width in rows if width >= needed)
    block_q, block_k, warps, stages = rows[widest]
    options = {"BLOCK_Q": block_q, "BLOCK_K": block_k, "num_warps": warps, "num_stages": stages}
    return {**dict(widths), **parts, **options, "enable_fp_fusion": True}


def _parts_of(size, kernel, q):
    """A width as tiles have it, in powers of two: 96 columns are 64 and 32, and 112 are 128.

    Where products are those of single warps, two parts take more registers than one. dK/dV, which
    keeps two sums, has none to spare there, nor has any kernel beyond 128 columns.
    """
    whole = max(16, triton.next_power_of_2(size))
    rest = max(16, triton.next_power_of_2(max(1, size - whole // 2)))
    has_room = _generation(q) in (9, 10) or (kernel != "backward_keys" and whole <= 128)
    return (whole // 2, rest) if whole // 2 + rest < whole and has_room else (whole,)
