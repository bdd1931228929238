"""What launchers call: second looks, tiles ahead, strips of pairs, shares of work, and splits of keys.

Copied by name.
"""

import torch
import triton

from attnc.support.tiles import _generation


def _looks(tiles):
    """A launch, and a second one, whose programs go on where a sum is no number: tile by tile."""
    return (False, tiles), (True, {**tiles, "num_stages": 1})


def _ahead(q, tiles):
    """How many tiles ahead keys are read where products run beside other work; else None."""
    return tiles["num_stages"] if _generation(q) == 9 and tiles["BLOCK_Q"] >= 64 else None


def _strip_rows(pairs_of_a_row, block_q):
    """Queries in a strip whose pairs fill at most 64 MiB, in whole tiles."""
    return max(1, 2**24 // max(1, pairs_of_a_row) // block_q) * block_q


def _shares(q, programs):
    """Into how many shares the work of each program goes, so that two fall to a processor."""
    card = torch.cuda.get_device_properties(q.device) if q.is_cuda else None
    processors = card.multi_processor_count if card else 8
    return max(1, 2 * processors // max(1, programs))


def _splits(q, rows, heads, keys, tiles):
    """Shares of the keys in sight that fill the GPU, of four tiles or more; 0 for none."""
    programs = max(1, triton.cdiv(rows, tiles["BLOCK_Q"]) * heads)
    splits = min(_shares(q, programs), max(0, keys) // (4 * tiles["BLOCK_K"]))
    return splits if splits > 1 or rows <= tiles["BLOCK_Q"] else 0
