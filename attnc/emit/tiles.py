"""The table of tiles: how large they are for each kernel, kind of GPU and head width.

Enters: the last sweep, and tiles that were chosen for one GPU, where they were. Leaves: the text of TILES, and of the
functions that read it.
"""

from __future__ import annotations

from collections.abc import Iterator

from attnc.ir.nodes import Compare
from attnc.ir.walk import axes_of, walk
from attnc.lower.narrow import find_narrow
from attnc.lower.per_pair import LOADS, TOKENS, count_divisions, divides_much, reads_pair
from attnc.lower.sweep import Sweep
from attnc.tiles import ChosenTiles

TILES = '''
# Queries and keys of a tile, warps, pipeline stages: of each kernel, by the widest head they serve.
TILES = {
CHOSEN_ROWS
    "wgmma": {  # data center Hopper and Blackwell: 227 KiB of shared memory
        "forward": {
            64: HOPPER_FORWARD_64, 128: HOPPER_FORWARD_128, 192: HOPPER_FORWARD_192, 256: (128, 32, 8, 2),
        },
        "backward_keys": {64: HOPPER_KEYS_64, 128: HOPPER_KEYS_128, 256: HOPPER_KEYS_256},
        "backward_queries": {64: HOPPER_QUERIES_64, 128: HOPPER_QUERIES_128, 256: HOPPER_QUERIES_256},
    },
    "mma": {  # other GPUs: some have no more than 64 KiB
        "forward": {64: OTHER_FORWARD_64, 128: OTHER_FORWARD_128, 256: (64, 32, 4, 1)},
        "backward_keys": {64: OTHER_KEYS_64, 128: OTHER_KEYS_128, 256: (16, 32, 4, 1)},
        "backward_queries": {64: OTHER_QUERIES, 128: OTHER_QUERIES, 256: (32, 32, 4, 1)},
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
CHOSEN_CARD
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
    widest = min(width for width in rows if width >= max(size for _, size in widths))
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
'''.strip()


# Another version of Triton makes other code of the same tiles.
CHOSEN_CUDA = """
    is_cuda = q.is_cuda and torch.version.hip is None
    capability = torch.cuda.get_device_capability(q.device) if is_cuda else None
    if capability == CAPABILITY and triton.__version__ == "VERSION":
        return TILES["CHOSEN"]
""".strip("\n")
CHOSEN_AMD = """
    is_amd = q.is_cuda and torch.version.hip is not None
    name = torch.cuda.get_device_properties(q.device).gcnArchName if is_amd else ""
    if name.startswith("CHOSEN") and triton.__version__ == "VERSION":
        return TILES["CHOSEN"]
""".strip("\n")


def tile_table(sweep: Sweep, tiles: ChosenTiles | None) -> str:
    """TILES and what reads it: the usual tiles, and those that were chosen for one GPU."""
    rows = "\n".join(_chosen_rows(tiles)) if tiles else ""
    card = _chosen_card(tiles) if tiles else ""
    text = _usual_tiles(sweep)
    for place, lines in (("CHOSEN_ROWS\n", rows), ("CHOSEN_CARD\n", card)):
        text = text.replace(place, lines and f"{lines}\n")
    return text


def _chosen_rows(tiles: ChosenTiles) -> Iterator[str]:
    yield f'    "{tiles.arch}": {{  # the first that pass the static gate, of code that Triton {tiles.triton} makes'
    for kernel in dict.fromkeys(row.kernel for row in tiles.rows):
        yield f'        "{kernel}": {{'
        for row in tiles.of(kernel):
            fault = f"  # none passes: {row.fault}" if row.fault else ""
            yield f"            {row.width}: {tuple(row.tile)},{fault}"
        yield "        },"
    yield "    },"


def _chosen_card(tiles: ChosenTiles) -> str:
    if tiles.arch.startswith("sm_"):
        capability = divmod(int(tiles.arch.removeprefix("sm_")), 10)
        text = CHOSEN_CUDA.replace("CAPABILITY", str(capability))
    else:
        text = CHOSEN_AMD
    return text.replace("VERSION", tiles.triton).replace("CHOSEN", tiles.arch)


def _usual_tiles(sweep: Sweep) -> str:
    """TILES and what reads it. A number that is kept for each pair or token takes registers, and leaves smaller tiles.

    That of a token is kept where the mask asks which of two comes first; to be equal costs less, and so does a bound
    that fits 32 bits. A position that is divided by what only a call knows takes many instructions, and each thread has
    it for all keys of a tile. Bounds that hold for every period are kept while all of them are swept.
    """
    attention = sweep.attention
    masks_pairs = any(map(reads_pair, walk(attention.mask)))
    of_pairs = reads_pairs(sweep)
    bounds = [part for part in walk(attention.mask) if isinstance(part, Compare) and part.op in ("<", "<=")]
    reads = (part for bound in bounds for part in walk(bound) if isinstance(part, LOADS))
    narrow = find_narrow(attention)
    reads_bounds = any(axes_of(part) & TOKENS and part.array not in narrow for part in reads)
    # A table of each token has its row computed for each pair.
    reads_tables = any(token_map.table is not None for token_map in sweep.maps)
    many_divisions = divides_much(attention)
    reads_quotients = of_pairs and count_divisions(attention) > 0

    keeps_much = of_pairs or many_divisions or not sweep.fold.divides
    keeps_some = keeps_much or reads_bounds
    has_quotients = many_divisions or reads_quotients
    few_keys = masks_pairs or has_quotients
    keeps_bounds = reads_tables or sweep.keys.periods is not None
    stages = 2 if of_pairs else 3
    chosen = {
        "HOPPER_FORWARD_64": (128, 32 if few_keys else 64, 8, stages),
        "HOPPER_FORWARD_128": (128, 32 if few_keys or keeps_bounds else 64, 8, stages),
        "HOPPER_FORWARD_192": (128, 32 if few_keys or keeps_bounds else 64, 8, 2),
        "HOPPER_KEYS_64": (16 if many_divisions else 32 if keeps_much or sweep.row_arrays else 64, 128, 8, 3),
        "HOPPER_KEYS_128": (16 if keeps_some else 32, 128, 8, 3),
        "HOPPER_KEYS_256": (16 if keeps_much else 32, 64, 8, 2),
        "HOPPER_QUERIES_64": (128, 32 if of_pairs or many_divisions else 64, 8, 2),
        "HOPPER_QUERIES_128": (
            128, 16 if reads_quotients else 32 if keeps_some or sweep.row_arrays else 64, 8, 2
        ),
        "HOPPER_QUERIES_256": (128, 16 if keeps_much else 32, 8, 2),
        "OTHER_FORWARD_64": (32 if has_quotients else 64, 32, 4, 2) if few_keys else (128, 64, 8, 2),
        "OTHER_FORWARD_128": (32 if has_quotients else 64, 32, 4, 2) if few_keys else (128, 32, 8, 2),
        "OTHER_KEYS_64": (32, 32 if keeps_much else 64, 4, 2),
        "OTHER_KEYS_128": (16 if keeps_much else 32, 32, 4, 2),
        "OTHER_QUERIES": (32 if has_quotients else 64, 32, 4, 2),
    }  # fmt: skip
    table = TILES
    for name, tile in chosen.items():
        table = table.replace(name, str(tile))
    return table


def reads_pairs(sweep: Sweep) -> bool:
    """Is a number read for each pair, and kept until the pair is done?"""
    return any(map(reads_pair, (*walk(sweep.attention.score), *walk(sweep.attention.mask))))
