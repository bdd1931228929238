"""How large the chunks and blocks of linear attention are on a GPU: a table, and what reads it.

Copied whole into modules whose kernels go from chunk to chunk.
"""

import torch


def _dtype_of_products(f, g, v):
    """That of keys and values, if queries fit it: their features may be wide, and have any size."""
    fits = f.dtype == g.dtype or g.dtype == torch.bfloat16
    return g.dtype if g.dtype == v.dtype and fits else torch.float32


# Tokens of a chunk, features and values of a block, warps, pipeline stages: of each kernel, by the
# dtype of products and what is widest: values for outputs, features for gradients of features.
# Chunks are of one size. Wider than all rows is served by the last, in several blocks. No block is
# below 64 where products are wgmma: Triton 3.7.1 reads outside of shared memory (triton#11366).
CHUNKS = {
    "bfloat16": {
        "states": {64: (64, 64, 64, 4, 2)},
        "states_and_sums": {64: (64, 64, 64, 8, 2)},
        "outputs": {64: (64, 64, 64, 4, 2), 128: (64, 64, 128, 8, 2)},
        "features": {64: (64, 64, 64, 4, 2), 128: (64, 128, 64, 8, 2)},
    },
    "float16": {  # what rows are divided by takes registers too
        "states": {64: (64, 64, 64, 8, 1)},
        "states_and_sums": {64: (64, 64, 64, 8, 1)},
        "outputs": {64: (64, 64, 64, 8, 1)},
        "features": {64: (64, 64, 64, 8, 1)},
    },
    "float32": {  # exact products of float32, without matrix units
        "states": {32: (32, 32, 32, 4, 1)},
        "states_and_sums": {32: (32, 32, 32, 4, 1)},
        "outputs": {32: (32, 32, 32, 8, 1)},
        "features": {32: (32, 32, 32, 4, 1)},
    },
}


def _chunk_tiles(kernel, narrow, width=0):
    """Launch options of a kernel whose products have this dtype."""
    rows = CHUNKS[str(narrow).removeprefix("torch.")][kernel]
    row = min((widest for widest in rows if widest >= width), default=max(rows))
    chunk, block_f, block_v, warps, stages = rows[row]
    sizes = {"CHUNK": chunk, "BLOCK_F": block_f, "BLOCK_V": block_v}
    return {**sizes, "num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
