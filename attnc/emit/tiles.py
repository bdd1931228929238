"""The table of tiles: how large they are for each kernel, kind of GPU and head width.

Enters: a plan. Leaves: the text of TILES, and of the functions that read it.
"""

from __future__ import annotations

from attnc.ir.nodes import BoolLoad, Compare, IntLoad, RealLoad
from attnc.ir.walk import axes_of, walk
from attnc.lower.plan import Plan

LOADS = (RealLoad, IntLoad, BoolLoad)

TILES = '''
# Queries and keys of a tile, warps, pipeline stages: of each kernel, by the widest head they serve.
TILES = {
    "wgmma": {  # data center Hopper and Blackwell: 227 KiB of shared memory
        "forward": {64: (128, 64, 8, STAGES), 128: (128, FORWARD_KEYS, 8, STAGES), 256: (128, 32, 8, 2)},
        "backward_keys": {64: KEYS_64, 128: KEYS_128, 256: (16, 64, 8, 2)},
        "backward_queries": {64: QUERIES_64, 128: QUERIES_128, 256: (128, 16, 8, 2)},
    },
    "mma": {  # other GPUs: some have no more than 64 KiB
        "forward": {64: (64, 64, 4, 2), 128: (64, 64, 4, 2), 256: (64, 32, 4, 1)},
        "backward_keys": {64: (32, 64, 4, 2), 128: (32, 64, 4, 2), 256: (32, 32, 4, 1)},
        "backward_queries": {64: (64, 32, 4, 2), 128: (64, 32, 4, 2), 256: (32, 32, 4, 1)},
    },
    "float32": {  # exact products of float32, without matrix units
        "forward": {128: (32, 32, 8, 1), 256: (16, 32, 8, 1)},
        "backward_keys": {128: (32, 32, 8, 1), 256: (16, 16, 4, 1)},
        "backward_queries": {128: (32, 32, 8, 1), 256: (16, 16, 4, 1)},
    },
}


def _table(q):
    """The rows of TILES for tensors like q."""
    if q.element_size() > 2:
        return TILES["float32"]
    is_cuda = q.is_cuda and torch.version.hip is None
    has_wgmma = is_cuda and torch.cuda.get_device_capability(q.device)[0] in (9, 10)
    return TILES["wgmma" if has_wgmma else "mma"]


def _tiles(kernel, q, *widths):
    """Launch options of a kernel for these head widths."""
    rows = _table(q)[kernel]
    for name, size in widths:
        if size > max(rows):
            raise ValueError(f"`{name}` needs {max(rows)} or less in a kernel, got {size}")
    blocks = {f"BLOCK_{name}": max(16, triton.next_power_of_2(size)) for name, size in widths}
    widest = min(size for size in rows if size >= max(blocks.values()))
    block_q, block_k, warps, stages = rows[widest]
    options = {"BLOCK_Q": block_q, "BLOCK_K": block_k, "num_warps": warps, "num_stages": stages}
    return {**dict(widths), **blocks, **options, "enable_fp_fusion": True}
'''.strip()


def tile_table(plan: Plan) -> str:
    """TILES and what reads it. A number that is kept for each pair or token takes registers, and leaves smaller tiles.

    That of a token is kept where the mask asks which of two positions comes first; to be equal costs less.
    """
    attention = plan.attention
    parts = [*walk(attention.score), *walk(attention.mask)]
    reads_pairs = any(isinstance(part, LOADS) and {"i", "j"} <= axes_of(part) for part in parts)
    bounds = [part for part in walk(attention.mask) if isinstance(part, Compare) and part.op in ("<", "<=")]
    reads_bounds = any(
        isinstance(part, LOADS) and axes_of(part) & {"i", "j"} for b in bounds for part in walk(b)
    )
    # A table of each token has its row computed for each pair.
    reads_tables = any(token_map.table is not None for token_map in plan.maps)
    keeps_much = reads_pairs or plan.weights.kind == "sums"
    chosen = {
        "STAGES": "2" if reads_pairs else "3",
        "FORWARD_KEYS": "32" if reads_tables else "64",
        "KEYS_64": "(32, 128, 8, 3)" if keeps_much else "(64, 128, 8, 3)",
        "KEYS_128": "(16, 128, 8, 3)" if keeps_much or reads_bounds else "(32, 128, 8, 3)",
        "QUERIES_64": "(128, 32, 8, 2)" if reads_pairs else "(128, 64, 8, 2)",
        "QUERIES_128": "(128, 32, 8, 2)"
        if keeps_much or reads_bounds or plan.row_arrays
        else "(128, 64, 8, 2)",
    }
    table = TILES
    for name, tile in chosen.items():
        table = table.replace(name, tile)
    return table
