"""The masks that people use: where each comes from, and how its arguments are drawn.

The masks themselves are in `specs/`, as a user would write them. `GYM` is attention-gym, `FLASHMASK` the families of
that paper, `FORTY` the list that attnc began with. `LISTED` says for which masks tiles are listed before a kernel runs:
the others have a closed form, and lose it only by an edit here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from compilations import one_of
from draws import (
    Drawer,
    arrays,
    chosen,
    column_intervals,
    columns,
    cross_documents,
    documents,
    hashed_tokens,
    images,
    kept_tokens,
    marks,
    numbers,
    oblong,
    offset_documents,
    only,
    ordered_by_hash,
    questions,
    scales,
    shared_prefixes,
    shown_images,
    square,
    with_context,
)
from draws_of_grids import (
    bits,
    guesses,
    image,
    morton_image,
    noisy_and_clean,
    ordered_tree,
    pooled_image,
    shifts,
    slashes,
    spatial_video,
    table,
    temporal_video,
    tiled_image,
    tiles_of_pixels,
    tree,
    walked_tree,
    wide_image,
    windows_1d,
    windows_2d,
    windows_3d,
)
from truth import Role

from attnc.compiler import Compilation

SPECS = Path(__file__).parent / "specs"
GYM, FLASHMASK, FORTY, PAPER = "attention-gym", "FlashMask", "first 40", "more"


@dataclass(frozen=True)
class Mask:
    """`spec` is the name of the attention, where a row of the corpus draws another kind of arguments for it."""

    name: str
    origins: tuple[str, ...]
    draw: Drawer
    spec: str = ""

    def compilation(self) -> Compilation:
        return one_of(file_of(self), self.spec or self.name)


@cache
def _files() -> dict[str, Path]:
    return {
        line.removeprefix("attention ").split("(")[0]: path
        for path in sorted(SPECS.glob("*.attn"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("attention ")
    }


def file_of(mask: Mask) -> Path:
    return _files()[mask.spec or mask.name]


WINDOW, BLOCK, DILATION = (1, 200), (1, 150), [1, 2, 3, 8, 64, 100]

POSITIONS = (
    Mask("full", (FLASHMASK, FORTY), oblong),
    Mask("causal", (GYM, FLASHMASK, FORTY), oblong),
    Mask("causal_at_the_end", (FORTY,), with_context),
    Mask("causal_by_offset", (PAPER,), arrays(oblong, offset=("B", 0, 200))),
    Mask("sliding_window", (GYM, FLASHMASK, FORTY), numbers(oblong, window=WINDOW)),
    Mask("window_on_both_sides", (FORTY,), numbers(oblong, window=WINDOW)),
    Mask("lopsided_window", (PAPER,), numbers(oblong, left=(0, 100), right=(0, 100))),
    Mask("window_by_head", (PAPER,), arrays(oblong, window=("H", *WINDOW))),
    Mask("window_by_token", (PAPER,), arrays(oblong, window=("BN", 0, 100))),
    Mask("sinks_and_window", (FORTY,), numbers(oblong, window=WINDOW, sinks=(1, 8))),
    Mask(
        "retrieval_heads", (PAPER,), marks(numbers(oblong, window=WINDOW, sinks=(1, 8)), 0.5, retrieves="H")
    ),
    Mask("prefix_lm", (GYM, FLASHMASK, FORTY), arrays(square, prefix=("B", 0, 300))),
    Mask("padded_causal", (FORTY,), arrays(oblong, length=("B", 0, 300))),
    Mask("padded_on_both_sides", (PAPER,), arrays(square, length=("B", 0, 300))),
    Mask("local_blocks", (FORTY,), numbers(oblong, block=BLOCK)),
    Mask("block_causal", (FORTY,), numbers(oblong, block=BLOCK)),
    Mask("chunked_causal", (PAPER,), numbers(oblong, chunk=BLOCK)),
    Mask("causal_with_previous_chunk", (FORTY,), numbers(oblong, chunk=BLOCK)),
    Mask("batchified_causal", (GYM,), numbers(oblong, length=BLOCK)),
    Mask("shifted_blocks", (FORTY,), numbers(oblong, block=(2, 100))),
    Mask("longformer", (FLASHMASK, FORTY), numbers(square, window=WINDOW, shared=(0, 40))),
    Mask("marked_and_window", (GYM,), marks(numbers(square, window=WINDOW), 0.01, marked="N")),
    Mask("dilated_window", (GYM, FORTY), chosen(numbers(oblong, window=WINDOW), dilation=DILATION)),
    Mask("dilated_causal", (FORTY,), chosen(numbers(oblong, window=WINDOW), dilation=DILATION)),
    Mask("strided_sparse", (FORTY,), chosen(numbers(square, window=WINDOW), stride=[5, 32, 100, 150])),
    Mask("fixed_sparse", (FORTY,), chosen(numbers(square, kept=(1, 20)), block=[32, 100, 150])),
    Mask("sink_in_every_chunk", (FORTY,), chosen(numbers(square, window=WINDOW), chunk=[50, 120, 200])),
    Mask("power_tokens", (FORTY,), numbers(square, window=(1, 40))),
    Mask("power_blocks", (FORTY,), chosen(numbers(square, window=(1, 2)), block=[16])),
    Mask("compressed_keys", (PAPER,), numbers(oblong, stride=(1, 16), length=(1, 32))),
    Mask("striped_causal", (PAPER,), numbers(square, devices=(4, 8), query_device=(0, 3), key_device=(0, 3))),
    Mask("block_diffusion", (GYM, FORTY), noisy_and_clean),
)

DOCUMENTS = (
    Mask("documents", (FLASHMASK,), only(documents, doc="doc")),
    Mask("documents_causal", (FLASHMASK, FORTY), only(documents, doc="doc")),
    Mask("documents_in_any_order", (FORTY,), only(documents, doc="label")),
    Mask("documents_window", (GYM,), only(documents, doc="doc", window="window")),
    Mask("documents_by_start", (GYM,), only(documents, start="start")),
    Mask("documents_by_start_and_end", (FORTY,), only(documents, start="start", end="end")),
    Mask("documents_by_offsets", (FORTY,), offset_documents),
    Mask("documents_by_end", (FLASHMASK,), only(documents, end="end")),
    Mask("documents_by_columns", (FLASHMASK,), only(documents, start="start", end="end")),
    Mask("documents_cross", (PAPER,), cross_documents),
    Mask("documents_prefix_lm", (FLASHMASK,), offset_documents),
    Mask(
        "documents_prefix_lm_by_ends", (FLASHMASK,), only(documents, start="start", prefix_end="prefix_end")
    ),
    Mask("documents_block_causal", (PAPER,), only(documents, start="start", end="end", block="block")),
    Mask("shared_prefix", (GYM,), shared_prefixes),
    Mask("share_question", (FLASHMASK,), questions),
    Mask("random_eviction", (FLASHMASK,), arrays(square, evicted=("BHM", 0, 480))),
    Mask("causal_blockwise", (FLASHMASK,), only(documents, end="end", last="last")),
    Mask("causal_columns", (FORTY,), column_intervals),
    Mask("columns", (FLASHMASK,), columns),
    Mask("qk_sparse", (FLASHMASK,), kept_tokens),
    Mask("hash_sparse", (FLASHMASK,), ordered_by_hash),
    Mask("hash_sparse_by_hash", (FLASHMASK,), hashed_tokens),
    Mask("next_scale", (PAPER,), scales),
    Mask("image_blocks", (FORTY,), images),
    Mask("image_blocks_by_end", (PAPER,), images),
    Mask("flamingo", (GYM,), shown_images),
    Mask("flamingo_by_time", (FORTY,), shown_images),
)

GRIDS = (
    Mask("natten_1d", (FORTY,), windows_1d),
    Mask("gna_1d", (FORTY,), windows_1d),
    Mask("natten_1d_dilated", (FORTY,), chosen(numbers(square, window=(1, 29)), dilation=[1, 2, 4, 50])),
    Mask("natten_2d", (PAPER,), windows_2d("wy", "wx")),
    Mask("natten_2d_by_center", (GYM,), windows_2d("ky", "kx")),
    Mask("natten_2d_tiled", (GYM,), tiled_image),
    Mask("natten_2d_morton", (GYM,), morton_image),
    Mask("natten_3d", (PAPER,), windows_3d),
    Mask("window_2d_flat", (FORTY,), numbers(image, radius=(0, 7))),
    Mask("window_2d_flat_wide", (FORTY,), numbers(wide_image, radius=(0, 7)), "window_2d_flat"),
    Mask("window_2d", (PAPER,), numbers(image, radius=(0, 7))),
    Mask("sliding_tiles_2d", (GYM,), tiles_of_pixels(2)),
    Mask("sliding_tiles_3d", (PAPER,), tiles_of_pixels(3)),
    Mask("video_spatial", (GYM,), spatial_video),
    Mask("video_temporal", (GYM,), temporal_video),
    Mask("video_sparse", (GYM,), chosen(table(16, "tiles", "BH", 4), kept=[4], tile=[16])),
    Mask("frame_causal", (FORTY,), chosen(numbers(square, frames=(1, 5)), per_frame=[16, 30, 64])),
    Mask("maxvit_blocks", (FORTY,), chosen(image, size=[2, 4, 7])),
    Mask("maxvit_grid", (FORTY,), chosen(image, size=[2, 4, 7])),
    Mask("axial", (FORTY,), image),
    Mask("axial_wide", (PAPER,), wide_image, "axial"),
    Mask("rows_of_images", (PAPER,), image),
    Mask("shifted_windows", (PAPER,), shifts),
    Mask("pooled_queries", (PAPER,), pooled_image),
)

TABLES = (
    Mask("tree_of_guesses", (GYM,), tree),
    Mask("tree_in_any_order", (FORTY,), tree),
    Mask("tree_by_order", (PAPER,), ordered_tree),
    Mask("tree_by_times", (FORTY,), walked_tree),
    Mask("blocks_of_guesses", (GYM,), guesses),
    Mask("bigbird", (FORTY,), chosen(table(16, "table", "H", 3), block=[16], shared=[1, 2])),
    Mask("block_bits", (PAPER,), bits),
    Mask(
        "chosen_blocks", (PAPER,), chosen(table(32, "chosen", "BH", 2, by_block=False), kept=[2], block=[32])
    ),
    Mask("chosen_tokens", (GYM,), chosen(numbers(table(1, "chosen", "B", 8), window=(1, 60)), kept=[8])),
    Mask("vertical_slash", (PAPER,), slashes),
)

CORPUS = POSITIONS + DOCUMENTS + GRIDS + TABLES

KEYS: tuple[Role, ...] = ("keys",)
QUERIES: tuple[Role, ...] = ("queries",)
BOTH = KEYS + QUERIES

LISTED: dict[str, tuple[Role, ...]] = {
    "window_by_token": QUERIES,
    "marked_and_window": BOTH,
    "sink_in_every_chunk": QUERIES,
    "power_tokens": BOTH,
    "power_blocks": BOTH,
    "documents_in_any_order": BOTH,
    "documents_block_causal": QUERIES,
    "share_question": KEYS,
    "random_eviction": KEYS,
    "causal_columns": KEYS,
    "columns": KEYS,
    "hash_sparse_by_hash": BOTH,
    "image_blocks": BOTH,
    "natten_2d_tiled": BOTH,
    "natten_2d_morton": BOTH,
    "natten_3d": QUERIES,
    "sliding_tiles_3d": BOTH,
    "video_sparse": BOTH,
    "maxvit_grid": BOTH,
    "tree_of_guesses": BOTH,
    "tree_in_any_order": BOTH,
    "tree_by_order": KEYS,
    "tree_by_times": BOTH,
    "bigbird": BOTH,
    "block_bits": BOTH,
    "chosen_blocks": BOTH,
    "chosen_tokens": BOTH,
    "vertical_slash": BOTH,
}
